"""One training, fully described: the recipe's settings, then a file's, then the command line's, checked as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from ganforge.core.data import Data, DataRequest, DataSpec, chosen
from ganforge.core.errors import GanforgeError, nearest
from ganforge.core.latents import Latent
from ganforge.core.options import Options, parse
from ganforge.core.registry import Registry
from ganforge.core.specs import Conditioning, Recipe
from ganforge.core.words import Role


class Component(Options):
    """A registered spec's name, and its options beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class DataConfig(Component):
    """A data set, how it is loaded, and its own options beside that."""

    resolution: int | None = Field(None, ge=4, le=4096, description="side of the square pictures")
    root: str | None = Field(None, description="folder where downloaded data sets lie")
    download: bool = Field(False, description="may the data set be downloaded")
    flip: bool = Field(False, description="mirror half of the pictures left to right, at random")
    only: tuple[str | int, ...] = Field((), description="classes that are kept, by name or number")
    limit: int | None = Field(None, ge=1, description="samples kept for training; held-out ones all stay")

    def request(self, split: Literal["train", "test"] = "train") -> DataRequest:
        root = self.root or os.environ.get("GANFORGE_DATA")
        return DataRequest(split, self.resolution, Path(root) if root else None, self.download)


Decay = Annotated[float, Field(ge=0, lt=1)]


class PlayerConfig(Options):
    """One side of the game: its optimizer and how often it moves in a round."""

    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    lr: float = Field(2e-4, gt=0, description="learning rate")
    betas: tuple[Decay, Decay] = Field((0.5, 0.999), description="Adam's decay of the two moments")
    alpha: float = Field(0.99, ge=0, lt=1, description="RMSProp's smoothing")
    momentum: float = Field(0.0, ge=0, lt=1, description="SGD's and RMSProp's momentum")
    weight_decay: float = Field(0.0, ge=0)
    lr_decay: Literal["none", "linear", "cosine", "exponential"] = Field(
        "none", description="how the learning rate falls to lr × lr_final at the last round"
    )
    lr_final: float = Field(0.0, ge=0, le=1, description="what is left of the learning rate at the end of its decay")
    lr_hold: float = Field(0.0, ge=0, lt=1, description="share of the rounds before the decay begins")
    lr_warmup: int = Field(0, ge=0, description="rounds in which the learning rate rises from zero")
    moves: int = Field(1, ge=1, description="steps in a round")
    conditioning: Component = Field(Component(name="none"), description="how labels enter the network")

    @model_validator(mode="after")
    def _exponential_ends_above_zero(self) -> PlayerConfig:
        if self.lr_decay == "exponential" and self.lr_final == 0:
            raise ValueError("an exponential decay never reaches zero: give lr_final, as in lr_final=0.01")
        return self

    def rate(self, round_: int, rounds: int) -> float:
        """The learning rate in a round."""
        progress = max(0.0, (round_ / rounds - self.lr_hold) / (1 - self.lr_hold))
        shapes = {"none": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
        left = (
            self.lr_final**progress
            if self.lr_decay == "exponential"
            else self.lr_final + (1 - self.lr_final) * shapes[self.lr_decay]
        )
        warm = min(1.0, (round_ + 1) / self.lr_warmup) if self.lr_warmup else 1.0
        return self.lr * left * warm


class EmaConfig(Options):
    """The running average of the generator that is sampled and exported.

    Recipes have one unless they say otherwise, though most papers before 2018 tell of none: it costs little and
    steadies what is seen. With `decay` 0 it is the generator itself that is sampled and exported.
    """

    decay: float = Field(0.999, ge=0, lt=1, description="0 keeps the last weights")
    warmup: bool = Field(True, description="start with a smaller decay: min(decay, (1 + round) / (10 + round))")


class Machine(Options):
    """Where and how fast: nothing here changes what is learned beyond rounding."""

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; their number changes the last bits")
    channels_last: bool = True
    compile: bool = False

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError(f"takes auto, cpu, cuda or cuda:N, not '{device}'")
        return device


DEFAULT_OBSERVERS: dict[str, dict[str, Any]] = {"health": {}, "alarms": {}, "report": {}, "gif": {}, "tensorboard": {}}


class Config(Options):
    """Everything needed to train a run again; `config.toml` in the run directory."""

    recipe: Component
    data: DataConfig
    architecture: Component
    loss: Component
    regularizers: dict[str, dict[str, Any]] = Field({})
    latent: Latent = Latent()
    generator: PlayerConfig = PlayerConfig()
    discriminator: PlayerConfig = PlayerConfig()
    order: Literal["discriminator-first", "generator-first"] = Field(
        "discriminator-first", description="who moves first in a round (Goodfellow et al., Algorithm 1)"
    )
    fakes: Literal["fresh", "shared"] = Field("fresh", description="shared: a round's players see the same fakes")
    start: str | None = Field(None, description="a run, or one of its checkpoints, whose networks are trained further")
    batch_size: int = Field(64, ge=1, description="over all processes")
    accumulate: int = Field(1, ge=1, description="pieces a batch is computed in: less memory, the same gradient")
    steps: int = Field(1000, ge=1, description="rounds")
    seed: int = Field(0, ge=0, lt=2**63)
    ema: EmaConfig = EmaConfig()
    log_every: int = Field(50, ge=1, description="rounds between two lines of metrics.jsonl")
    every: int = Field(500, ge=1, description="rounds between two sample pictures and checkpoints")
    keep: int = Field(3, ge=1, description="checkpoints kept")
    samples: int = Field(64, ge=1, le=4096, description="pictures in the sample grid")
    machine: Machine = Machine()
    observers: dict[str, dict[str, Any]] = DEFAULT_OBSERVERS
    plugins: dict[str, str] = Field({}, description="which plugin each part came from; written, not read")

    def parts(self) -> dict[str, tuple[str, str]]:
        """The registered specs that make the game: key to (kind, name)."""
        parts = {key: (key, getattr(self, key).name) for key in ("recipe", "architecture", "loss")}
        for player in PLAYERS:
            if (name := getattr(self, player).conditioning.name) != UNCONDITIONED:
                parts[f"{player}.conditioning"] = ("conditioning", name)
        return parts | {f"regularizers.{name}": ("regularizer", name) for name in self.regularizers}

    @model_validator(mode="after")
    def _shared_fakes_are_whole(self) -> Config:
        if self.accumulate > 1 and self.fakes == "shared":
            raise ValueError("option 'accumulate': fakes can be shared only in whole batches; set fakes=fresh")
        return self

    def digest(self) -> str:
        """sha256 of what determines the result: all but the machine, the observers and the owners' names."""
        values = self.model_dump(mode="json", exclude={"machine", "observers", "plugins"})
        # What came later counts where it says something: the digests of older runs and files stay.
        for part, later in ((values, ("start",)), (values["data"], ("only", "limit"))):
            for name in later:
                if not part[name]:
                    del part[name]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


COMPONENTS = ("recipe", "data", "architecture", "loss")
PLAYERS: tuple[Role, Role] = ("generator", "discriminator")
UNCONDITIONED = "none"
SETS = {"regularizers": "regularizer", "observers": "observer"}
LENGTHS = ("epochs", "images")
SHORTHANDS = ("conditioning", *LENGTHS)  # keys of a request that stand for others of the config
NEEDED = {"recipe": "a recipe: give its name", "data": "data: name a data set or a folder of pictures"}
COMPLETE = "data_fingerprint"  # a run's own config.toml has it: every setting is there
RECORDED = ("plugins", "data_spec", COMPLETE)  # what a run's config.toml tells beside the settings


def read_toml(path: Path) -> dict[str, Any]:
    """A config file as nested mappings."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise GanforgeError(f"cannot read config file {path}: {getattr(error, 'strerror', None) or error}") from None
    except tomllib.TOMLDecodeError as error:
        raise GanforgeError(f"config file {path} is not TOML: {error}") from None


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`["generator.lr=1e-4", "loss=hinge"]` as nested mappings; values are TOML, and anything else is a string."""
    merged: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not all(key.split(".")):
            raise GanforgeError(f"--set takes key=value, as in generator.lr=1e-4, not '{setting}'")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        for part in reversed(key.split(".")):
            value = {part: value}
        merged = merge(merged, value)
    return merged


class Listed(dict[str, Any]):
    """What was given as a list of names: as a list does, it takes the place of what it is laid on."""


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`. A component may be given by its name alone; another name drops the old one's options.

    `conditioning` in `over`, which stands for both players', takes the place of each player's in `base`. A list of
    regularizers or observers takes the place of all in `base`; a mapping adds to them.
    """
    base, over = _named(base), _named(over)
    if COMPLETE in base and "recipe" in over and _lay(base["recipe"], over["recipe"]) != base["recipe"]:
        raise GanforgeError(
            f"the config is a whole run of recipe '{base['recipe'].get('name')}', down to every number: "
            "leave the file out to train another recipe, or change single settings"
        )
    base = _without_replaced(base, over, COMPONENTS)
    for key in SETS:
        if isinstance(base.get(key), list | tuple) and isinstance(over.get(key), Mapping):
            base[key] = Listed(dict.fromkeys(base[key], True))
    for player in PLAYERS:
        if "conditioning" in over and isinstance(base.get(player), Mapping):
            base[player] = {key: value for key, value in base[player].items() if key != "conditioning"}
        if isinstance(base.get(player), Mapping) and isinstance(over.get(player), Mapping):
            base[player] = _without_replaced(base[player], over[player], ("conditioning",))
    return _lay(base, over)


def _without_replaced(base: Mapping[str, Any], over: Mapping[str, Any], components: Sequence[str]) -> dict[str, Any]:
    """`base` without the components that have a name and to which `over` gives another."""

    def replaced(key: str) -> bool:
        old, new = base.get(key), over.get(key)
        if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
            return False
        return bool("name" in old and new.get("name", old["name"]) != old["name"])

    return {key: value for key, value in base.items() if key not in components or not replaced(key)}


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """`loss = "NAME"` as `loss = {name = "NAME"}`, and so a player's conditioning."""
    named = _with_names(values, (*COMPONENTS, "latent"))
    players = [player for player in PLAYERS if isinstance(values.get(player), Mapping)]
    return {**named, **{player: _with_names(values[player], ("conditioning",)) for player in players}}


def _with_names(values: Mapping[str, Any], components: Sequence[str]) -> dict[str, Any]:
    return {k: {"name": v} if k in components and isinstance(v, str) else v for k, v in values.items()}


def _lay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = Listed(base) if isinstance(base, Listed) else dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and not isinstance(value, Listed):
            # `true` switches on what may be on already: then with the options it has.
            value = old if value is True else _lay(old, value) if isinstance(value, Mapping) else value
        merged[key] = value
    return merged


def resolve(request: Mapping[str, Any], registry: Registry) -> tuple[Config, Data]:
    """The full config of what a user asked for, and the data it trains on.

    Args:
        request: nested mapping of config keys; `recipe` and `data` are needed, and a component may be just its
            name. `epochs` or `images` may stand in place of `steps`.

    Raises:
        GanforgeError: any unknown name or bad value, with its key.
    """
    request = merge({}, request)
    for key, what in NEEDED.items():
        if not isinstance(request.get(key), Mapping) or "name" not in request[key]:
            raise GanforgeError(f"a training needs {what}")
    recipe = registry.find("recipe", parse(Component, request["recipe"], "recipe").name)
    values = {k: v for k, v in request["recipe"].items() if k != "name"}
    options = parse(recipe.options, values, "recipe")
    data_config = parse(DataConfig, _data_request(request["data"], registry), "data")
    data = load_data(data_config, registry)
    _check_domains(recipe, data_config.name, data.spec, registry)
    if data_config.flip and data.spec.kind != "images":
        raise GanforgeError(f"option 'data.flip': mirrors pictures, and '{data_config.name}' has {data.spec}")
    wanted = {k: v for k, v in request.items() if k not in (*SHORTHANDS, *RECORDED)}
    if wrong := [key for key in wanted if key not in Config.model_fields]:
        raise GanforgeError(f"unknown option '{wrong[0]}'{nearest(wrong[0], [*Config.model_fields, *SHORTHANDS])}")
    with attributed(registry, "recipe", recipe.name, "settings"):
        numbers = recipe.settings(options, data.spec)
        if not isinstance(numbers, Mapping):
            raise TypeError(f"it must return a mapping, not {type(numbers).__name__}")
    settings = merge({"observers": DEFAULT_OBSERVERS}, numbers)
    settings = merge(merge(settings, _pair(request.get("conditioning"), registry)), wanted)
    settings["recipe"] = {"name": recipe.name, **options.model_dump(mode="json")}
    settings["data"] = data_config.model_dump()
    if COMPLETE in request:  # what a run's own config leaves out was left out on purpose
        settings |= {key: request.get(key, {}) for key in SETS}
    if COMPLETE not in request or "conditioning" in request:
        settings = with_companions(settings, registry)
    settings |= {key: _switched(settings.get(key, {})) for key in SETS}
    config = _components(parse(Config, settings), registry)
    _check_labels(config, data)
    return _with_length(config, request, len(data)), data


def _check_domains(recipe: Recipe[Any], name: str, data: DataSpec, registry: Registry) -> None:
    """See that a recipe gets the kind of data it takes.

    Raises:
        GanforgeError: domains or pairs that are missing, or that it could not tell apart.
    """
    has = "pairs" if data.paired else "domains" if data.domains else "samples"
    if _plays_on(recipe, has):
        return
    wants = {"samples": "single pictures", "domains": "pictures of two domains", "pairs": "pairs of pictures"}
    others = ", ".join(one.name for one in registry.all("recipe").values() if _plays_on(one, has))
    raise GanforgeError(
        f"recipe '{recipe.name}' takes {wants[recipe.takes]}, and '{name}' has {data}"
        + (
            f"; for that there is {others}"
            if data.domains
            else "; `ganforge datasets list` says which are for translation"
        )
    )


def _plays_on(recipe: Recipe[Any], has: str) -> bool:
    """Pairs are two domains as well, of which nobody has to know what belongs together."""
    return recipe.takes == has or (recipe.takes, has) == ("domains", "pairs")


def load_data(config: DataConfig, registry: Registry, split: Literal["train", "test"] = "train") -> Data:
    """Load a split of the data set a config names."""
    spec = registry.find("dataset", config.name)
    options = parse(spec.options, config.values, "data")
    with attributed(registry, "dataset", config.name, "load"):
        data: Data = spec.load(options, config.request(split))
        if data is None:
            raise TypeError("it must return data, not None")
    if config.only and not data.spec.classes:
        raise GanforgeError(f"option 'data.only': '{config.name}' has no classes")
    return chosen(data, split, config.only, config.limit) if config.only or config.limit else data


@contextlib.contextmanager
def attributed(registry: Registry, kind: str, name: str, doing: str) -> Iterator[None]:
    """Turn whatever a plugin's own code raises into a sentence that names its owner."""
    try:
        yield
    except GanforgeError:
        raise
    except Exception as error:
        owner = registry.owner(kind, name)
        raise GanforgeError(f"{kind} '{name}' of {owner} raised in {doing}: {type(error).__name__}: {error}") from error


def names_folder(name: str, registry: Registry) -> bool:
    """Whether what `--data` was given is a folder of pictures, and no data set's name."""
    known = not name or name in registry.all("dataset")
    return not known and ("/" in name or os.sep in name or _folder(name).is_dir())


def _folder(name: str) -> Path:
    """A user's folder, absolute; `~` is home, and what is no user's home stays as it is."""
    return Path(os.path.expanduser(name)).absolute()  # noqa: PTH111  pathlib's raises for an unknown user


def _data_request(values: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """`--data` takes a data set's name or a folder of pictures."""
    name = str(values["name"])
    if not names_folder(name, registry):
        spec = registry.find("dataset", name)
        known = [*DataConfig.model_fields, *spec.options.model_fields]
        if wrong := [key for key in values if key not in known]:
            raise GanforgeError(f"unknown option 'data.{wrong[0]}'{nearest(wrong[0], known)}")
        parsed = {k: v for k, v in values.items() if k not in DataConfig.model_fields}
        return {**values, **parse(spec.options, parsed, "data").model_dump(mode="json")}
    return _data_request({**values, "name": "folder", "path": str(_folder(name))}, registry)


def _switched(values: Any) -> Any:
    """`true` takes a regularizer or observer with its defaults, `false` leaves it out; a list is a set of names."""
    if isinstance(values, list | tuple):
        values = dict.fromkeys(values, True)
    if not isinstance(values, Mapping):
        return values
    return {name: {} if value is True else value for name, value in values.items() if value is not False}


def _pair(name: Any, registry: Registry) -> dict[str, Any]:
    """What `--conditioning NAME` stands for: a conditioning for each network."""
    if name is None:
        return {}
    pair = (name, name) if name == UNCONDITIONED else registry.find("conditioning", str(name)).pair
    return {player: {"conditioning": {"name": one}} for player, one in zip(PLAYERS, pair, strict=True)}


def with_companions(settings: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """The regularizers which the discriminator's conditioning brings along are on unless switched off."""
    name = parse(PlayerConfig, settings.get("discriminator", {}), "discriminator").conditioning.name
    if name == UNCONDITIONED:
        return settings
    brought = find_conditioning(registry, "discriminator", name).regularizers
    return merge({"regularizers": dict.fromkeys(brought, True)}, settings) if brought else settings


def _check_labels(config: Config, data: Data) -> None:
    for player in PLAYERS:
        name = getattr(config, player).conditioning.name
        if name != UNCONDITIONED and not data.spec.classes:
            raise GanforgeError(
                f"option '{player}.conditioning': '{name}' needs labels, and '{config.data.name}' has no classes; "
                "set it to none or choose labelled data"
            )


def find_conditioning(registry: Registry, player: Role, name: str) -> Conditioning[Any]:
    """The conditioning a player's config names.

    Raises:
        GanforgeError: nobody registered it, or it is not one for this player's network.
    """
    where = f"{player}.conditioning"
    spec: Conditioning[Any] = registry.find("conditioning", name, where)
    if getattr(spec, player) is None:
        fitting = [UNCONDITIONED, *(n for n, s in registry.all("conditioning").items() if getattr(s, player))]
        raise GanforgeError(f"option '{where}': '{name}' is not one for the {player}; those are: {', '.join(fitting)}")
    return spec


def _components(config: Config, registry: Registry) -> Config:
    """Check every component's options against its spec, fill in their defaults, and note who owns it."""
    filled: dict[str, Any] = {}
    for key in ("architecture", "loss"):
        component: Component = getattr(config, key)
        spec = registry.find(key, component.name)
        filled[key] = Component(name=spec.name, **parse(spec.options, component.values, key).model_dump(mode="json"))
    for player in PLAYERS:
        settings: PlayerConfig = getattr(config, player)
        component = settings.conditioning
        if component.name != UNCONDITIONED:
            options = find_conditioning(registry, player, component.name).options
            values = parse(options, component.values, f"{player}.conditioning").model_dump(mode="json")
            conditioning = Component(name=component.name, **values)
            filled[player] = settings.model_copy(update={"conditioning": conditioning})
    for key, kind in SETS.items():
        filled[key] = {}
        for name, values in getattr(config, key).items():
            spec = registry.find(kind, name)
            filled[key][name] = parse(spec.options, values, f"{key}.{name}").model_dump(mode="json", exclude_none=True)
    parts = {**config.parts(), "data": ("dataset", config.data.name)}
    filled["plugins"] = {key: registry.owner(kind, name).distribution for key, (kind, name) in parts.items()}
    return config.model_copy(update=filled)


def _with_length(config: Config, request: Mapping[str, Any], size: int) -> Config:
    given = [key for key in (*LENGTHS, "steps") if request.get(key) is not None]
    if len(given) > 1:
        raise GanforgeError(f"give one of steps, epochs and images, not {' and '.join(given)}")
    if not given or given == ["steps"]:
        return config
    amount = request[given[0]]
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount < math.inf:
        raise GanforgeError(f"option '{given[0]}': must be a positive number, not {amount!r}")
    images = amount * size if given[0] == "epochs" else amount
    return config.model_copy(update={"steps": math.ceil(images / images_per_round(config))})


def images_per_round(config: Config) -> int:
    """Real images the discriminator sees in a round: what an epoch and images/s count."""
    return config.batch_size * config.discriminator.moves
