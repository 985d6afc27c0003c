"""A request becomes a complete config, in layers, and whatever is wrong is named by its key."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
from PIL import Image

from ganforge.core import GanforgeError
from ganforge.core.config import PlayerConfig, merge, parse_settings, read_toml, resolve
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(files=[tiny.FILE], fallback=BUILTIN)


def resolved(registry: Registry, **changes: Any) -> Any:
    return resolve(tiny.request(**changes), registry)[0]


def test_settings_are_toml_or_plain_words() -> None:
    settings = ["generator.lr=1e-4", "loss=hinge", "generator.betas=[0, 0.9]", "data.flip=true", "seed=3"]
    assert parse_settings(settings) == {
        "generator": {"lr": 1e-4, "betas": [0, 0.9]},
        "loss": {"name": "hinge"},
        "data": {"flip": True},
        "seed": 3,
    }


@pytest.mark.parametrize("setting", ["lr", "=3", ".lr=3", "a..b=1"])
def test_a_malformed_setting_is_named(setting: str) -> None:
    with pytest.raises(GanforgeError, match="--set takes key=value"):
        parse_settings([setting])


def test_another_component_drops_the_old_ones_options() -> None:
    base = {"loss": {"name": "a", "weight": 3}, "latent": {"name": "normal", "dim": 5}}
    assert merge(base, {"loss": "b"})["loss"] == {"name": "b"}
    assert merge(base, {"loss": "a"})["loss"] == {"name": "a", "weight": 3}
    assert merge(base, {"loss": {"weight": 4}})["loss"] == {"name": "a", "weight": 4}
    assert merge(base, {"latent": "uniform"})["latent"] == {"name": "uniform", "dim": 5}


def test_options_may_come_before_the_name() -> None:
    assert merge({"data": {"resolution": 32}}, {"data": "a"})["data"] == {"name": "a", "resolution": 32}
    asked = parse_settings(["architecture.width=64", "architecture=a", "discriminator.conditioning.dim=3"])
    assert asked["architecture"] == {"name": "a", "width": 64}
    named = merge(asked, {"discriminator": {"conditioning": "b"}})
    assert named["discriminator"]["conditioning"] == {"name": "b", "dim": 3}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (['observers=["report"]', "observers.scores.every=5"], {"report", "scores"}),
        (['observers=["report"]', "observers=[]", "observers.gif=true"], {"gif"}),
        (['observers=["report"]', "observers.report=false"], set()),
        (["observers.health=false"], {"alarms", "report", "gif", "tensorboard"}),
        (["observers=[]"], set()),
    ],
)
def test_settings_are_laid_on_a_list_of_names(registry: Registry, settings: list[str], names: set[str]) -> None:
    request = {k: v for k, v in tiny.request().items() if k != "observers"}
    assert resolve(merge(request, parse_settings(settings)), registry)[0].observers.keys() == names


def test_a_list_of_regularizers_keeps_its_names() -> None:
    asked = parse_settings(['regularizers=["r1"]', "regularizers.r2.gamma=1"])
    assert asked == {"regularizers": {"r1": True, "r2": {"gamma": 1}}}


@pytest.mark.parametrize("name", ["~/pictures", "~"])
def test_a_folder_may_lie_at_home(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = Path(name.replace("~", str(tmp_path)))
    folder.mkdir(exist_ok=True)
    for number in range(30):
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolved(registry, data=name).data.values["path"] == str(folder)


def test_the_resolved_config_holds_every_default_and_the_owners(registry: Registry) -> None:
    config = resolved(registry, architecture={"norm": True})
    assert config.architecture.model_dump() == {"name": "tiny", "dropout": 0.0, "norm": True}
    assert config.data.model_dump()["classes"] == 0
    assert config.plugins["architecture"] == str(tiny.FILE)


def test_a_resolved_config_resolves_to_itself(registry: Registry) -> None:
    config = resolved(registry, regularizers={"instance-noise": True})
    again, _ = resolve({**config.model_dump(mode="json"), "data_fingerprint": "from config.toml"}, registry)
    assert again == config


def test_a_runs_config_is_of_one_recipe(registry: Registry) -> None:
    config = {**resolved(registry).model_dump(mode="json"), "data_fingerprint": "from config.toml"}
    assert merge(config, {"recipe": "tiny", "seed": 3})["seed"] == 3
    with pytest.raises(GanforgeError, match="the config is a whole run of recipe 'tiny'"):
        merge(config, {"recipe": "vanilla"})


def test_what_a_plugin_raises_names_its_owner(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("oh")

    for kind, name, member in (("recipe", "tiny", "settings"), ("dataset", "tiny-pictures", "load")):
        spec, owner = registry._specs[kind][name]
        with monkeypatch.context() as patch:
            patch.setitem(registry._specs[kind], name, (dataclasses.replace(spec, **{member: broken}), owner))
            with pytest.raises(
                GanforgeError, match=rf"{kind} '{name}' of plugin 'tiny' .* raised in {member}: KeyError"
            ):
                resolved(registry)


@pytest.mark.parametrize(
    ("kind", "name", "member"), [("recipe", "tiny", "settings"), ("dataset", "tiny-pictures", "load")]
)
def test_a_forgotten_return_names_its_owner(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, member: str
) -> None:
    spec, owner = registry._specs[kind][name]
    nothing = dataclasses.replace(spec, **{member: lambda *_: None})
    monkeypatch.setitem(registry._specs[kind], name, (nothing, owner))
    with pytest.raises(GanforgeError, match=rf"{kind} '{name}' of plugin 'tiny' .* raised in {member}: .* must return"):
        resolved(registry)


def test_regularizers_switch_on_and_off(registry: Registry) -> None:
    assert "instance-noise" in resolved(registry, regularizers={"instance-noise": True}).regularizers
    assert resolved(registry, regularizers={"instance-noise": False}).regularizers == {}
    on = {"regularizers": {"instance-noise": {"sigma": 0.3}}}
    assert merge(on, {"regularizers": {"instance-noise": True}}) == on


def test_lengths(registry: Registry) -> None:
    wanted = tiny.request()
    del wanted["steps"]

    def steps(**length: Any) -> int:
        return resolve({**wanted, **length}, registry)[0].steps

    assert steps(epochs=2) == 12  # 24 pictures, batches of 4
    assert steps(images=9) == 3
    assert steps(epochs=2, discriminator={"moves": 3}) == 4
    with pytest.raises(GanforgeError, match="give one of steps, epochs and images, not epochs and images"):
        steps(epochs=1, images=5)
    with pytest.raises(GanforgeError, match="option 'epochs': must be a positive number, not -1"):
        steps(epochs=-1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"generator": {"lr": -1}}, r"option 'generator.lr': input should be greater than 0, not -1"),
        ({"generator": {"lr": "fast"}}, r"option 'generator.lr': input should be a valid number.*not 'fast'"),
        ({"generator": {"rate": 1}}, r"unknown option 'generator.rate'"),
        ({"generatr": {"lr": 1}}, r"unknown option 'generatr'; did you mean 'generator'"),
        ({"architecture": {"norms": 1}}, r"unknown option 'architecture.norms'; did you mean 'norm'"),
        (
            {"regularizers": {"instance-nose": True}},
            r"unknown regularizer 'instance-nose'; did you mean 'instance-noise'",
        ),
        ({"regularizers": {"instance-noise": {"sigm": 1}}}, r"unknown option 'regularizers.instance-noise.sigm'"),
        ({"loss": "hinges"}, r"unknown loss 'hinges'; did you mean 'hinge'"),
        ({"recipe": "dcgann"}, r"unknown recipe 'dcgann'; did you mean 'dcgan'"),
        ({"data": "digit"}, r"unknown dataset 'digit'; did you mean 'digits'"),
        ({"data": {"name": "tiny-pictures", "m": 3}}, r"unknown option 'data.m'"),
        ({"observers": ["reports"]}, r"unknown observer 'reports'; did you mean 'report'"),
        ({"steps": float("nan")}, r"option 'steps'"),
    ],
)
def test_mistakes_are_named(registry: Registry, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GanforgeError, match=sentence):
        resolved(registry, **changes)


@pytest.mark.parametrize("missing", ["recipe", "data"])
def test_what_is_missing_is_named(registry: Registry, missing: str) -> None:
    wanted = {k: v for k, v in tiny.request().items() if k != missing}
    with pytest.raises(GanforgeError, match=f"a training needs (a )?{missing}:"):
        resolve(wanted, registry)


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(GanforgeError, match=r"cannot read config file .*none.toml: No such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("steps = = 3")
    with pytest.raises(GanforgeError, match=r"bad.toml is not TOML"):
        read_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({}, {0: 1, 50: 1, 99: 1}),
        ({"lr_decay": "linear"}, {0: 1, 25: 0.75, 100: 0}),
        ({"lr_decay": "linear", "lr_hold": 0.5}, {49: 1, 50: 1, 75: 0.5, 100: 0}),
        ({"lr_decay": "linear", "lr_final": 0.2}, {0: 1, 50: 0.6, 100: 0.2}),
        ({"lr_decay": "cosine"}, {0: 1, 50: 0.5, 25: (1 + math.sqrt(0.5)) / 2, 100: 0}),
        ({"lr_decay": "exponential", "lr_final": 0.01}, {0: 1, 50: 0.1, 100: 0.01}),
        ({"lr_warmup": 4}, {0: 0.25, 2: 0.75, 3: 1, 50: 1}),
    ],
)
def test_learning_rates_follow_their_schedule(settings: dict[str, Any], rates: dict[int, float]) -> None:
    config = PlayerConfig.model_validate({"lr": 2.0, **settings})
    assert {r: config.rate(r, 100) for r in rates} == pytest.approx({r: 2 * share for r, share in rates.items()})


def test_a_misspelt_shorthand_is_named(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match=r"^unknown option 'conditionning'; did you mean 'conditioning'"):
        resolve(tiny.request(conditionning="concat"), registry)


def test_a_check_of_several_settings_names_them_once(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match=r"^option 'accumulate': fakes can be shared only in whole batches"):
        resolve(tiny.request(accumulate=2, fakes="shared"), registry)


def test_an_exponential_decay_needs_an_end(registry: Registry) -> None:
    with pytest.raises(GanforgeError, match="give lr_final"):
        resolve(tiny.request(generator={"lr_decay": "exponential"}), registry)
