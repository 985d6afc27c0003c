"""The verdict on a run: every alarm fires on its own evidence, and the exit code says the worst."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import observed
import pytest
import tiny
from command import ganforge
from observed import record

from ganforge.core import train
from ganforge.core.config import Config, merge, parse_settings
from ganforge.core.registry import Registry
from ganforge.core.run import begin
from ganforge.plugins.builtin import BUILTIN
from ganforge.plugins.observers.alarms import rules
from ganforge.plugins.observers.alarms.limits import LIMITS, Judged, Limit
from ganforge.plugins.observers.alarms.rules import Alarm, judge

HEALTH = {
    "variety/distance": 0.9,
    "variety/within_class": 0.9,
    "variety/coverage": 0.9,
    "variety/precision": 0.8,
    "support": 8000.0,
    "output/dead": 0.0,
    "output/saturated": 0.0,
    "variety/recall": 0.8,
    "overfitting/r_v": 0.1,
    "d_held_out": 0.6,
    "singular": 2.0,
}


def measured(n: int = 12, **changes: float) -> list[dict[str, float]]:
    """Records of a healthy run but for what is changed in all of them."""
    names = {name.replace("/", "_"): name for name in HEALTH}
    health = HEALTH | {names.get(name, name): value for name, value in changes.items()}
    return [record(500 + 50 * i) | health for i in range(n)]


def judged(records: list[dict[str, float]], **more: Any) -> list[Alarm]:
    return judge(records, observed.judged(), **more)


def test_a_healthy_run_raises_nothing() -> None:
    assert judged(measured()) == []


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.kind}-{limit.severity}")
def test_a_limit_is_told_when_it_is_crossed_for_long_enough(limit: Limit) -> None:
    figure = limit.figure + ("generator" if limit.figure.endswith("/") else "")
    beyond = limit.level * (1.05 if limit.side == "above" else 0.95)
    records = measured()
    for one in records[-3:]:
        one[figure] = beyond
    (alarm,) = [alarm for alarm in judged(records) if alarm.kind == limit.kind]
    assert alarm.severity == limit.severity
    assert f"{limit.side} {limit.level:g} since round 950" in alarm.message
    assert "Usual causes: " in alarm.message
    assert alarm.advice.startswith("Train again with --set ")
    records[-2][figure] = limit.level
    assert not [alarm for alarm in judged(records) if (alarm.kind, alarm.severity) == (limit.kind, limit.severity)]


def test_a_limit_waits_for_its_warm_up() -> None:
    early = [one | {"round": 50 * i} for i, one in enumerate(measured(variety_coverage=0.0), 1)]
    assert judged(early[:6]) == []
    assert {alarm.kind for alarm in judged(early[:9])} == {"data-not-covered"}


def test_figures_measured_now_and_then_are_judged_by_their_own_measurements() -> None:
    sparse = [record(500 + 50 * i) | ({"variety/coverage": 0.1} if i % 3 == 0 else {}) for i in range(8)]
    assert [alarm.kind for alarm in judged(sparse)] == ["data-not-covered"]


def test_exploding_singular_values() -> None:
    records = measured()
    records[-1]["singular"] = 30.0
    (alarm,) = judged(records)
    assert (alarm.kind, alarm.severity) == ("growing-weights", "suspicious")
    assert "was 30 after round 1,050, 15 times what it was at first" in alarm.message


def test_a_loss_that_jumps_more_than_it_used_to() -> None:
    records = measured(30)
    for i, one in enumerate(records):
        one["loss/generator"] = 1 + 0.1 * (i % 2) if i < 18 else 1 + 2.0 * (i % 2)
    (alarm,) = judged(records)
    assert (alarm.kind, alarm.about, alarm.severity) == ("unsteady-loss", "generator", "suspicious")
    assert judged(records[:18]) == []


def spiking(value: float, rounds: int = 12) -> list[dict[str, float]]:
    """Records of a discriminator's loss of 1 to 1.2 up to the last, which has another."""
    losses = [1.2 if i % 2 else 1.0 for i in range(rounds - 1)]
    return [record(500 + 50 * i) | {"loss/discriminator": loss} for i, loss in enumerate([*losses, value])]


def test_a_discriminator_loss_far_outside_its_own_past() -> None:
    (alarm,) = judged(spiking(7.0))
    assert (alarm.kind, alarm.about, alarm.severity) == ("loss-spike", "discriminator", "suspicious")
    assert "loss/discriminator was 7, after 10 records between 1 and 1.2" in alarm.message
    assert "--set discriminator.lr=0.0001, or --set regularizers.spectral-norm=true" in alarm.advice
    assert judged(spiking(6.0)) == []
    assert [alarm.kind for alarm in judged(spiking(-5.0))] == ["loss-spike"]


def test_a_spike_hides_no_other_and_is_over_after_it() -> None:
    records = spiking(7.0)
    records += [record(1100), record(1150) | {"loss/discriminator": 9.0}]
    assert judged(records[:-1]) == []
    assert [alarm.kind for alarm in judged(records)] == ["loss-spike"]


def test_a_spike_wants_a_past_and_a_warm_up() -> None:
    assert judged(spiking(7.0, rounds=10)) == []
    assert judged([one | {"round": i} for i, one in enumerate(spiking(7.0), 1)]) == []
    # Of a loss of thousands a twentieth is no more than its own size makes usual.
    large = [one | {"loss/discriminator": 5000 + one["loss/discriminator"]} for one in spiking(100.0)]
    assert judged(large) == []


def test_what_a_critic_can_no_longer_show_is_no_alarm() -> None:
    records = measured(overfitting_r_v=0.9)
    assert [alarm.kind for alarm in judged(records)] == ["overfitting"]
    del records[-1]["overfitting/r_v"]
    assert judged(records) == []


def test_samples_that_are_right_and_few() -> None:
    (alarm,) = [a for a in judged(measured(variety_precision=0.95, variety_coverage=0.4)) if a.kind == "right-but-few"]
    assert "95% of the samples are like the data, but they cover 40% of it" in alarm.message
    kinds = [a.kind for a in judged(measured(variety_precision=0.5, variety_coverage=0.4))]
    assert "right-but-few" not in kinds


@pytest.mark.parametrize("figure", ["coverage", "recall"])
def test_variety_that_is_lost(figure: str) -> None:
    records = measured(variety_coverage=0.9, variety_recall=0.9)
    for one in records[-4:]:
        one[f"variety/{figure}"] = 0.35
    (alarm,) = [alarm for alarm in judged(records) if alarm.kind == "variety-lost"]
    assert alarm.about == f"variety/{figure}"
    assert alarm.message.startswith(f"{figure} was 90% around round 500 and is 35% now: the share of real samples")
    without = [{name: value for name, value in one.items() if name != f"variety/{figure}"} for one in records]
    assert [alarm for alarm in judged(without) if alarm.kind == "variety-lost"] == []


def test_variety_of_the_first_rounds_is_none_to_lose() -> None:
    early = [one | {"round": 50 * i} for i, one in enumerate(measured(), 1)]
    for one in early:
        one["variety/recall"] = 1.0 if one["round"] <= 300 else 0.3
    assert judged(early) == []


@pytest.mark.parametrize(("best", "then", "now", "worse"), [(0.01, 0.02, 0.05, True), (0.01, 0.012, 0.015, False)])
def test_a_score_that_went_wrong(best: float, then: float, now: float, worse: bool) -> None:
    records = measured()
    for round_, value in ((0, best), (5, then * 1.5), (11, now)):
        records[round_]["score/kid@1k"] = value
    alarms = judged(records, best={"figure": "kid@1k", "value": best, "round": 500})
    assert [alarm.kind for alarm in alarms] == (["score-worse"] if worse else [])


def test_every_setting_advised_is_one_that_there_is(registry: Registry) -> None:
    settings = [text for limit in LIMITS for text in limit.settings(observed.judged(), "generator")]
    advised = parse_settings([text.removeprefix("--set ") for text in settings])
    assert set(advised.pop("regularizers")) <= set(registry.all("regularizer"))
    Config.model_validate(merge(observed.config().model_dump(), advised))


@pytest.mark.parametrize(
    ("recipe", "data", "overfitting"),
    [
        ("vanilla", "ring", {"instance-noise"}),
        ("wgan-gp", "ring", {"instance-noise"}),
        ("dcgan", "digits", {"diffaugment", "ada"}),
        ("wgan-gp", "digits", {"diffaugment"}),
    ],
)
def test_every_setting_advised_can_be_applied(
    registry: Registry, recipe: str, data: str, overfitting: set[str]
) -> None:
    small = {"recipe": recipe, "data": data, "batch_size": 8, "observers": []}
    wanted = merge(registry.find("recipe", recipe).small if data == "digits" else {}, small)
    config, loaded, _ = begin(wanted, registry)
    run = Judged(config, loaded.spec, registry.find("loss", config.loss.name).reading)
    for limit in LIMITS:
        settings = [text.removeprefix("--set ") for text in limit.settings(run, "generator")]
        advised = parse_settings(settings)
        begin(merge(wanted, advised), registry)
        if limit.kind == "overfitting":
            assert set(advised["regularizers"]) == overfitting


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    train(tiny.request(observers=["alarms"]), tmp_path / "run", registry=Registry([tiny.FILE], BUILTIN))
    return tmp_path / "run"


def write(run: Path, records: list[dict[str, float]]) -> None:
    (run / "metrics.jsonl").write_text("".join(json.dumps(one | {"round": i}) + "\n" for i, one in enumerate(records)))


@pytest.mark.parametrize(
    ("changes", "verdict", "code"),
    [
        ({}, "healthy", 0),
        ({"gradient_norm/generator": 3000.0}, "suspicious", 3),
        ({"loss/discriminator": 0.0, "gradient_norm/generator": 3000.0}, "failed", 4),
        ({"loss/generator": None}, "failed", 4),
    ],
)
def test_the_exit_code_is_the_verdict(trained: Path, changes: dict[str, Any], verdict: str, code: int) -> None:
    write(trained, [record(0) | changes for _ in range(5)])
    done = ganforge("diagnose", trained, "--json", "--plugin", tiny.FILE)
    assert done.code == code
    found = json.loads(done.out)
    assert found["verdict"] == verdict
    assert len(found["alarms"]) == len(changes)
    told = ganforge("diagnose", trained, "--plugin", tiny.FILE)
    assert told.out.startswith(f"{verdict} after round 4")
    for alarm in found["alarms"]:
        assert alarm["message"][1:] in told.out
        assert re.search(r"--set \S+=", alarm["advice"])


def test_an_alarm_can_be_ignored(tmp_path: Path) -> None:
    registry = Registry([tiny.FILE], BUILTIN)
    wanted = tiny.request(observers={"alarms": {"ignore": ["large-gradient"]}})
    train(wanted, tmp_path / "run", registry=registry)
    write(tmp_path / "run", [record(0) | {"gradient_norm/generator": 3000.0} for _ in range(5)])
    assert ganforge("diagnose", tmp_path / "run", "--plugin", tiny.FILE).code == 0


def test_what_cannot_be_diagnosed(tmp_path: Path, trained: Path) -> None:
    done = ganforge("diagnose", tmp_path / "nothing")
    assert done.code == 2
    assert "is not a run directory" in done.err
    (trained / "metrics.jsonl").unlink()
    done = ganforge("diagnose", trained, "--plugin", tiny.FILE)
    assert done.code == 2
    assert "has no records yet" in done.err


def test_the_page_names_every_alarm_and_limit() -> None:
    page = (Path(__file__).parent.parent / "docs/diagnosis.md").read_text()
    for limit in LIMITS:
        start = re.escape(f"| `{limit.kind}` | `{limit.figure}")
        assert re.search(rf"{start}.* {limit.side} {limit.level:g} \| {limit.severity} \|", page), limit.kind
    kinds = re.findall(r'_alarm\(\s+\S+,\s+"([a-z-]+)"', Path(rules.__file__).read_text())
    assert len(kinds) == 8
    for kind in kinds:
        assert f"| `{kind}` |" in page, kind


def test_the_verdict_is_in_the_run_and_in_its_report(tmp_path: Path) -> None:
    registry = Registry([tiny.FILE], BUILTIN)
    train(tiny.request(observers=["alarms", "report"]), tmp_path / "run", registry=registry)
    told = "healthy, as far as losses and gradients tell"
    written = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert written == {"verdict": "healthy", "round": 4, "told": told}
    assert f"<dt>verdict</dt><dd>{told}</dd>" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("observers", "n", "measured_in", "early", "why"),
    [
        (["alarms"], 4, range(0), False, "the observer `health` is off"),
        (["alarms", "health"], 99, range(0), True, None),
        (["alarms", "health"], 100, range(0), False, "`health` looks at a critic and a generator that takes latents"),
        (["alarms", "health"], 800, range(100, 600, 100), True, None),
        (["alarms", "health"], 900, range(100, 600, 100), False, "the training ended before 3 measurements after"),
        (["alarms", "health"], 800, range(100, 900, 100), False, None),
    ],
)
def test_what_was_not_measured_is_not_said_to_be_healthy(
    tmp_path: Path, observers: list[str], n: int, measured_in: range, early: bool, why: str | None
) -> None:
    run = tmp_path / "run"
    train(tiny.request(observers=observers), run, registry=Registry([tiny.FILE], BUILTIN))
    (run / "config.toml").write_text((run / "config.toml").read_text().replace("steps = 4", "steps = 900"))
    write(run, [record(0) | (HEALTH if i in measured_in else {}) for i in range(n + 1)])
    found = json.loads(ganforge("diagnose", run, "--json", "--plugin", tiny.FILE).out)
    assert (found["verdict"], found["early"]) == ("healthy", early)
    assert (found["unjudged"] or "").startswith(why or "")
    assert bool(found["unjudged"]) == bool(why)
    told = ganforge("diagnose", run, "--plugin", tiny.FILE)
    assert told.code == 0
    assert ("as far as losses and gradients tell" in told.out) == (early or bool(why))
    assert ("it is early" in told.out) == early
    assert (f"variety was not judged: {why}" in told.out) == bool(why)


def test_of_a_translation_it_is_said_that_variety_was_not_judged(tmp_path: Path, registry: Registry) -> None:
    asked = {"recipe": "cyclegan", "data": "negatives", "steps": 1, "batch_size": 2, "observers": ["alarms", "health"]}
    train(merge(registry.find("recipe", "cyclegan").small, asked), tmp_path / "run", registry=registry)
    done = ganforge("diagnose", tmp_path / "run")
    assert done.code == 0
    assert done.out.startswith("healthy after round 1, as far as losses and gradients tell")
    assert "variety was not judged: `health` looks at a critic and a generator that takes latents" in done.out
