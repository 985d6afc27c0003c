"""A run: a directory with everything one training produced. `train` makes one, `resume` goes on with one."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch

from ganforge.core import checkpoint, distributed
from ganforge.core.config import (
    PLAYERS,
    UNCONDITIONED,
    Component,
    Config,
    attributed,
    find_conditioning,
    load_data,
    merge,
    read_toml,
    resolve,
)
from ganforge.core.data import Data, DataSpec, Split, check_labels
from ganforge.core.draw import Stream, hash64
from ganforge.core.errors import GanforgeError
from ganforge.core.files import locked, write_text
from ganforge.core.game import AdversarialGame, Effect, Game, LossModule, Networks, Parts
from ganforge.core.loop import play
from ganforge.core.observers import RunInfo, RunObserver
from ganforge.core.options import parse
from ganforge.core.registry import Registry, default_registry
from ganforge.core.specs import Built, Spec
from ganforge.core.words import Role

log = logging.getLogger("ganforge")

BUILT = {"architecture": Networks, "loss": LossModule, "regularizer": Effect, "observer": RunObserver}
"""What the specs of a kind build."""


class Run:
    """A run directory that exists. `data` is what its networks were built for; `round` how far it got."""

    def __init__(self, directory: Path, config: Config, data: DataSpec, fingerprint: str, registry: Registry) -> None:
        self.directory, self.config, self.data, self.registry = directory, config, data, registry
        self.fingerprint, self.round = fingerprint, 0

    @classmethod
    def load(cls, directory: str | Path, *, device: str | None = None, registry: Registry | None = None) -> Run:
        """Open a run, on the device it was trained on or another.

        Raises:
            GanforgeError: not a run, a config that does not parse, or a part whose plugin is not installed.
        """
        directory = Path(directory)
        if not (directory / "config.toml").is_file():
            raise GanforgeError(f"{directory} is not a run directory: it has no config.toml")
        where, values = directory / "config.toml", read_toml(directory / "config.toml")
        data = parse(DataSpec, values.pop("data_spec", {}), f"{where}: data_spec")
        fingerprint = str(values.pop("data_fingerprint", ""))
        config = parse(Config, values, str(where))
        if device is not None:
            config = parse(Config, merge(config.model_dump(), {"machine": {"device": device}}))
        run = cls(directory, config, data, fingerprint, registry or default_registry())
        run._check_plugins(config.parts())
        return run

    @property
    def checkpoints(self) -> list[Path]:
        """Whole checkpoints, oldest first."""
        return checkpoint.available(self.directory / "checkpoints")

    @cached_property
    def game(self) -> Game:
        """The game as the last checkpoint left it.

        Raises:
            GanforgeError: there is no checkpoint yet, or it is damaged.
        """
        if not self.checkpoints:
            raise GanforgeError(
                f"{self.directory} has no checkpoint yet; train it with: ganforge resume {self.directory}"
            )
        game = build_game(self.config, self.data, self.registry)
        self.round = checkpoint.load(game, self.checkpoints[-1])
        return game

    @property
    def labelled(self) -> bool:
        """Whether the generator takes labels."""
        return self.game.labelled

    def sample(
        self,
        n: int,
        seed: int = 0,
        *,
        start: int = 0,
        truncation: float | None = None,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Samples of the averaged generator: float32 [n, *shape], images in [-1, 1].

        `labels` are class numbers int64 [n]; by default a generator that takes labels gets every class in turn.

        Raises:
            GanforgeError: labels of another number or out of range, or for a generator that takes none.
        """
        inputs = self.game.inputs(seed, n, start=start, truncation=truncation)
        return self.game.sample(inputs, self._labels(labels, n, start), truncation=self._style(truncation))

    def preview(
        self, n: int, seed: int = 0, *, truncation: float | None = None, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """The same samples as a sample picture shows them: of a translation, beside what was translated."""
        inputs = self.game.inputs(seed, n, truncation=truncation)
        return self.game.preview(inputs, self._labels(labels, n, 0), truncation=self._style(truncation))

    def _style(self, truncation: float | None) -> float | None:
        """What is left to the network: latents keep to any other truncation."""
        return truncation if self.game.styled else None

    def _labels(self, labels: np.ndarray | None, n: int, start: int) -> np.ndarray | None:
        if labels is not None:
            if not self.labelled:
                raise GanforgeError(f"{self.directory} takes no labels")
            check_labels(labels, n, len(self.data.classes))
        return self.data.labels(n, start=start) if labels is None and self.labelled else labels

    def save_config(self) -> None:
        recorded = {"data_fingerprint": self.fingerprint, "data_spec": self.data.model_dump(mode="json")}
        text = tomli_w.dumps({**_told(self.config.model_dump(mode="json")), **recorded})
        write_text(self.directory / "config.toml", text)

    def _check_plugins(self, parts: Mapping[str, tuple[str, str]]) -> None:
        for key, (kind, name) in parts.items():
            if name not in self.registry.all(kind):
                owner = self.config.plugins.get(key, "an unknown plugin")
                remedy = f"load it with --plugin {owner}" if owner.endswith(".py") else "which is not installed here"
                raise GanforgeError(f"{self.directory} needs the {kind} '{name}' of {owner}, {remedy}")


def _told(values: Any) -> Any:
    """Without what is None, however deep: TOML has no word for it."""
    if not isinstance(values, Mapping):
        return values
    return {key: _told(value) for key, value in values.items() if value is not None}


def train(
    request: Mapping[str, Any],
    out: str | Path | None = None,
    *,
    observers: Sequence[RunObserver] = (),
    registry: Registry | None = None,
) -> Run:
    """Train from the start.

    Args:
        request: what to train, as `ganforge.core.config.resolve` takes it: `{"recipe": "NAME", "data": "NAME"}` and
            any key of the config.
        out: the run directory; by default `runs/RECIPE-DATA-XXXX`.
        observers: watchers beside those the config names.

    Raises:
        GanforgeError: bad input; nothing was written.
        Interrupted, TrainingFailed: see `ganforge.core.loop.play`; the run is on disk.
    """
    registry = registry or default_registry()
    if out is not None:
        check_new(Path(out))
    config, data, game = begin(request, registry)
    directory = Path(distributed.same_text(str(out or _new_name(config))))
    run = Run(directory, config, data.spec, data.fingerprint, registry)
    return _play(run, game, data, 0, observers, save=True)


def resume(
    directory: str | Path,
    *,
    steps: int | None = None,
    device: str | None = None,
    observers: Sequence[RunObserver] = (),
    registry: Registry | None = None,
) -> Run:
    """Go on with a run from its last checkpoint, to the same weights as if it had never stopped (on a CPU).

    A run without a checkpoint starts again; a finished one is returned as it is. `steps` is a new total,
    `device` another device.
    """
    run = Run.load(directory, device=device, registry=registry)
    if steps is not None:
        run.config = parse(Config, {**run.config.model_dump(), "steps": steps})
    _set_threads(run.config)
    distributed.start(resolve_device(run.config.machine.device))
    if run.checkpoints:
        game, start = run.game, run.round
    else:
        game, start = _first_game(run.config, run.data, run.registry), 0
    if start >= run.config.steps:
        return run
    run._check_plugins({"data": ("dataset", run.config.data.name)})
    data = load_data(run.config.data, run.registry)
    if data.spec != run.data:
        raise GanforgeError(f"the data of {run.directory} was {run.data}; what is there now is {data.spec}")
    if data.fingerprint != run.fingerprint:
        log.warning(
            "the data of %s has changed since it was trained: it will not go on as if it had never stopped", directory
        )
    if steps is not None and distributed.rank() == 0 and any(p.config.lr_decay != "none" for p in game.players):
        log.warning("the learning rate's decay now ends at round %d: it is higher again than it was", steps)
    return _play(run, game, data, start, observers, save=start == 0 or steps is not None)


def begin(request: Mapping[str, Any], registry: Registry) -> tuple[Config, Data, Game]:
    """The whole config of what is asked for, its data, and its game before the first round; nothing is written.

    Raises:
        GanforgeError: bad input.
    """
    config, data = resolve(request, registry)
    config = _with_start(_with_machine(config))
    return config, data, _first_game(config, data.spec, registry)


def _first_game(config: Config, data: DataSpec, registry: Registry) -> Game:
    """A training's game before its first round, with the networks of the checkpoint it starts from, if any."""
    game = build_game(config, data, registry)
    if config.start is not None:
        checkpoint.load_networks(game, Path(config.start))
    return game


def build_game(config: Config, data: DataSpec, registry: Registry) -> Game:
    """The game of a config at its first round, seeded; a part that raises is an error naming its owner."""
    if config.batch_size % (distributed.world() * config.accumulate):
        among = [(distributed.world(), "processes"), (config.accumulate, "pieces (option 'accumulate')")]
        words = " of ".join(f"{n} {what}" for n, what in among if n > 1)
        raise GanforgeError(f"batch size {config.batch_size} does not divide among {words}")
    device = distributed.start(resolve_device(config.machine.device))
    with torch.random.fork_rng():
        torch.manual_seed(hash64(config.seed, "initialisation"))
        networks = _build_networks(config, data, registry)
        loss: LossModule = _build(registry, "loss", config.loss.name, config.loss.values)
        effects: dict[str, Effect] = {
            name: _build(registry, "regularizer", name, values) for name, values in config.regularizers.items()
        }
        reading = registry.find("loss", config.loss.name).reading
        build, load = partial(_build_again, config, registry), partial(load_data, config.data, registry)
        attaching = partial(attributed, registry, "regularizer", doing="attach")
        parts = Parts(config, data, networks, loss, effects, device, build, reading, load, attaching)
        make = registry.find("recipe", config.recipe.name).game
        with attributed(registry, "recipe", config.recipe.name, "game"):
            game: Game = make(config, parts) if make else AdversarialGame(parts)
    _check_limits(config, game)
    if distributed.world() > 1 and device.type == "cuda":
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(game.networks)
    if config.machine.compile:
        for network in game.networks.values():
            network.compile()
    return game


def _build_networks(config: Config, data: DataSpec, registry: Registry) -> Networks:
    """The architecture's networks, conditioned as the players' configs say."""
    built, architecture = Built(data=data, latent=config.latent), config.architecture
    own: frozenset[Role] = registry.find("architecture", architecture.name).own_conditioning

    def make(wanted: Built) -> Networks:
        if missing := sorted(wanted.labelled - own):
            raise GanforgeError(
                f"option '{missing[0]}.conditioning': architecture '{architecture.name}' takes no labels by itself "
                f"in its {missing[0]}; set it to concat"
            )
        networks: Networks = _build(registry, "architecture", architecture.name, architecture.values, wanted)
        return networks

    networks: dict[str, torch.nn.Module] = {}
    for player in PLAYERS:
        component: Component = getattr(config, player).conditioning
        if component.name != UNCONDITIONED:
            spec = find_conditioning(registry, player, component.name)
            options = parse(spec.options, component.values, f"{player}.conditioning")
            with attributed(registry, "conditioning", component.name, player):
                networks[player] = getattr(spec, player)(options, built, lambda b, p=player: getattr(make(b), p))
    if len(networks) < len(PLAYERS):
        networks = {**make(built)._asdict(), **networks}
    return Networks(**networks)


def _build_again(config: Config, registry: Registry, data: DataSpec, options: Mapping[str, Any]) -> Networks:
    """The same networks for other data, with `options` laid over the architecture's."""
    architecture = Component.model_validate(merge(config.architecture.model_dump(), options))
    return _build_networks(config.model_copy(update={"architecture": architecture}), data, registry)


def _check_limits(config: Config, game: Game) -> None:
    """What torch would only refuse in the middle of a round."""
    norms = [m for m in game.networks.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    if norms and config.batch_size == distributed.world() * config.accumulate:
        raise GanforgeError("option 'batch_size': batch norm needs at least two samples in each process and piece")
    twice = [name for name, effect in game.effects.items() if effect.differentiates_twice]
    if config.machine.compile and twice:
        raise GanforgeError(f"--compile: compiled networks cannot be differentiated twice, as '{twice[0]}' does")


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is a GPU.

    Raises:
        GanforgeError: CUDA was asked for and torch sees no GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise GanforgeError(f"--device {name}: torch {torch.__version__} sees no CUDA GPU; use --device cpu or auto")
    return torch.device(name)


def _build(registry: Registry, kind: str, name: str, values: Mapping[str, Any], *context: Any) -> Any:
    spec: Spec[Any] = registry.find(kind, name)
    options = parse(spec.options, values, kind)
    with attributed(registry, kind, name, "build"):
        built, wanted = spec.build(options, *context), BUILT[kind]  # type: ignore[attr-defined]
        if not isinstance(built, wanted):
            raise TypeError(f"it must return an object of type {wanted.__name__}, not {type(built).__name__}")
        return built


def _play(run: Run, game: Game, data: Data, start: int, observers: Sequence[RunObserver], *, save: bool) -> Run:
    config = run.config
    info, watching = watched(game, data, run.directory, start, run.registry, observers)
    stream = Stream(data, config.seed, flip=config.data.flip, channels_last=config.machine.channels_last)
    first_process = distributed.rank() == 0
    with locked(run.directory) if first_process else contextlib.nullcontext():
        if first_process and save:
            run.save_config()
        play(game, stream, info, watching)
    run.game, run.round = game, config.steps
    return run


def watched(
    game: Game, data: Data, directory: Path, start: int, registry: Registry, more: Sequence[RunObserver] = ()
) -> tuple[RunInfo, list[RunObserver]]:
    """What observers are told of a training, and those of its config and `more`, all of which can watch it.

    Raises:
        GanforgeError: one of them cannot.
    """
    config = game.config

    def load(split: Split) -> Data:
        return data if split == "train" else load_data(config.data, registry, split)

    reading = registry.find("loss", config.loss.name).reading
    info = RunInfo(directory, config, data.spec, len(data), reading, start, load, registry)
    chosen = [_build(registry, "observer", name, values) for name, values in config.observers.items()]
    if distributed.rank() == 0:
        for observer in (*chosen, *more):
            observer.check(info, game)
    return info, [*chosen, *more]


def _with_machine(config: Config) -> Config:
    """Start on the machine the config asks for, and write down what was left to choose."""
    device = distributed.start(resolve_device(config.machine.device))
    threads = config.machine.threads or torch.get_num_threads()
    name = device.type if config.machine.device == "auto" else config.machine.device
    machine = config.machine.model_copy(update={"device": name, "threads": threads})
    config = config.model_copy(update={"machine": machine})
    _set_threads(config)
    return config


def _with_start(config: Config) -> Config:
    """Write down the checkpoint to start from: a run's last one may be another tomorrow.

    Raises:
        GanforgeError: neither a run nor a checkpoint, or a run without one.
    """
    if config.start is None:
        return config
    path = Path(config.start).expanduser().absolute()
    if (path / "config.toml").is_file():
        known = checkpoint.available(path / "checkpoints")
        if not known:
            raise GanforgeError(f"option 'start' (--from): {path} has no checkpoint yet; train it first")
        path = known[-1]
    if not (path / "networks.safetensors").is_file():
        raise GanforgeError(f"option 'start' (--from): {path} is neither a run nor a checkpoint of one")
    return config.model_copy(update={"start": str(path)})


def _set_threads(config: Config) -> None:
    wanted = config.machine.threads
    if wanted is None:
        return
    torch.set_num_threads(wanted)
    if torch.get_num_threads() != wanted:
        log.warning("%d threads are not to be had here: the last bits will differ from the run's", wanted)


def check_new(directory: Path) -> None:
    """See that nothing is where a run is to be written.

    Raises:
        GanforgeError: there is.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise GanforgeError(
            f"{directory} exists already: go on with `ganforge resume {directory}` or give another --out"
        )


def _new_name(config: Config) -> Path:
    name = Path(str(config.data.values.get("path", config.data.name))).name
    return Path("runs") / f"{config.recipe.name}-{name}-{secrets.token_hex(2)}"
