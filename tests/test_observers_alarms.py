"""Alarms fire on what is wrong, stay silent on what is not, and are not repeated."""

from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import Any

import observed
import pytest
from observed import SCORE, record

from ganforge.core.config import Component, Config, Machine, merge, parse_settings
from ganforge.core.registry import Registry
from ganforge.plugins.observers.alarms import AlarmOptions
from ganforge.plugins.observers.alarms.observer import Alarms, Episodes
from ganforge.plugins.observers.alarms.rules import Alarm, judge

OPTIONS = AlarmOptions()


def kinds(alarms: list[Alarm]) -> list[str]:
    return [alarm.kind for alarm in alarms]


def last_three(**changes: float) -> list[dict[str, float]]:
    return [record(round_, **changes) for round_ in (400, 450, 500)]


def judged(records: list[dict[str, float]], **settings: Any) -> list[Alarm]:
    return judge(records, observed.judged(**settings))


def read(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "alarms.jsonl").read_text().splitlines()]


def test_a_healthy_run_raises_nothing() -> None:
    assert judged(last_three()) == []
    assert judged([]) == []


def test_discriminator_loss_at_zero() -> None:
    (alarm,) = judged(last_three(loss_discriminator=0.0004, d_real=0.999, d_fake=0.001))
    assert (alarm.round, alarm.kind, alarm.about) == (500, "discriminator-loss-zero", "discriminator")
    assert "loss/discriminator was 0.0004 and has been below 0.01 since round 400" in alarm.message
    assert "D(real) was 0.999 and D(fake) 0.001" in alarm.message
    assert alarm.advice == (
        "Train again with --set discriminator.lr=0.0001, or --set regularizers.instance-noise=true, "
        "or --set loss.smoothing=one-sided."
    )


def test_a_loss_at_zero_must_last() -> None:
    assert judged([record(400), *last_three(loss_discriminator=0.0)[1:]]) == []
    assert judged(last_three(loss_discriminator=0.0)[1:]) == []


def test_a_loss_at_zero_means_nothing_to_a_loss_that_says_so() -> None:
    assert judge(last_three(loss_discriminator=0.0), observed.judged(SCORE)) == []


def test_a_loss_far_below_zero_is_not_at_zero() -> None:
    assert judged(last_three(loss_discriminator=-3.0)) == []


def test_a_large_gradient_names_its_player() -> None:
    (alarm,) = judged(last_three(gradient_norm_generator=12_345.6))
    assert (alarm.kind, alarm.about) == ("large-gradient", "generator")
    assert "gradient norm of the generator was 1.23e+04 and has been above 1000 since round 400" in alarm.message
    assert "--set generator.lr=0.0001" in alarm.advice
    assert judged(last_three(gradient_norm_generator=1000.0)) == []


def test_one_large_gradient_is_none() -> None:
    assert judged([*last_three(), record(550, gradient_norm_generator=12_345.6)]) == []


def test_two_players_with_large_gradients_are_two_alarms() -> None:
    alarms = judged(last_three(gradient_norm_generator=2000, gradient_norm_discriminator=3000))
    assert sorted(alarm.about for alarm in alarms) == ["discriminator", "generator"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite(value: float) -> None:
    (alarm,) = judged([record(50, loss_generator=value)])
    assert alarm.kind == "not-finite"
    assert f"loss/generator was {value}" in alarm.message
    assert "machine.precision" not in alarm.advice


def test_in_fp16_the_advice_is_another_precision() -> None:
    (alarm,) = judged([record(50, loss_generator=math.nan)], machine=Machine(precision="fp16"))
    assert "--set machine.precision=bf16" in alarm.advice


def test_an_infinite_gradient_is_one_alarm() -> None:
    assert kinds(judged([record(50, gradient_norm_generator=math.inf)])) == ["not-finite"]


def test_samples_all_alike() -> None:
    (alarm,) = judged(last_three(diversity=0.031))
    assert (alarm.kind, alarm.about) == ("samples-alike", "diversity")
    assert "spread of the samples over the data's was 0.031 and has been below 0.1 since round 400" in alarm.message
    assert "--set batch_size=20" in alarm.advice


def test_samples_may_be_alike_while_warming_up() -> None:
    assert judged([record(round_, diversity=0.01) for round_ in (200, 250, 300)]) == []
    assert kinds(judged([record(round_, diversity=0.01) for round_ in (301, 302, 303)])) == ["samples-alike"]


def test_advice_leaves_out_what_is_on_already() -> None:
    regularizers: dict[str, dict[str, Any]] = {"instance-noise": {}, "spectral-norm": {}}
    smooth = Component.model_validate({"name": "some-loss", "smoothing": "one-sided"})
    settings = {"regularizers": regularizers, "loss": smooth}
    (zero,) = judged(last_three(loss_discriminator=0.0), **settings)
    (large,) = judged(last_three(gradient_norm_discriminator=2000), **settings)
    assert zero.advice == large.advice == "Train again with --set discriminator.lr=0.0001."


def test_a_player_the_config_does_not_know_gets_general_advice() -> None:
    spectral: dict[str, dict[str, Any]] = {"spectral-norm": {}}
    (alarm,) = judged([one | {"gradient_norm/encoder": 2000.0} for one in last_three()], regularizers=spectral)
    assert alarm.about == "encoder"
    assert alarm.advice == "Train again with a smaller learning rate."


def test_every_advised_setting_is_one_that_the_config_takes(registry: Registry) -> None:
    worst = last_three(loss_discriminator=0.0, diversity=0.0, gradient_norm_generator=5000)
    worst[-1]["d_real"] = math.nan
    alarms = judged(worst, machine=Machine(precision="fp16"))
    assert len(alarms) == 4
    settings = [setting for alarm in alarms for setting in re.findall(r"--set (\S*\w)", alarm.advice)]
    assert len(settings) == 11
    advised = parse_settings(settings)
    switched_on = advised.pop("regularizers")
    assert switched_on == {"instance-noise": True, "spectral-norm": True}
    assert set(switched_on) <= set(registry.all("regularizer"))
    assert "one-sided" in str(registry.find("loss", "non-saturating").options.model_json_schema())
    Config.model_validate(merge(observed.config().model_dump(), advised))


def test_an_episode_is_news_once_and_again_after_a_calm() -> None:
    alarm = Alarm(1, "kind", "about", "suspicious", "", "")
    episodes = Episodes(calm=2)
    news = [len(episodes.news([alarm] if on else [])) for on in (1, 1, 0, 1, 0, 0, 1)]
    assert news == [1, 0, 0, 0, 0, 0, 1]


def test_alarms_are_told_once_and_written_once_an_episode(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alarms = Alarms(AlarmOptions(patience=1))
    alarms.run_started(observed.info(tmp_path))
    with caplog.at_level(logging.WARNING, logger="ganforge"):
        observed.log(tmp_path, [record(r, gradient_norm_generator=2000) for r in range(50, 500, 50)], alarms)
        observed.log(tmp_path, [record(r) for r in range(500, 700, 50)], alarms)
        observed.log(tmp_path, [record(700, gradient_norm_generator=3000)], alarms)
    written = read(tmp_path)
    assert [alarm["round"] for alarm in written] == [50, 700]
    assert set(written[0]) == {"round", "kind", "about", "severity", "message", "advice"}
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("round 50: the gradient norm of the generator was 2e+03")


def test_after_a_resume_later_alarms_go_and_the_episode_goes_on(tmp_path: Path) -> None:
    first = Alarms(AlarmOptions(patience=1))
    first.run_started(observed.info(tmp_path))
    observed.log(tmp_path, [record(50, gradient_norm_generator=2000)], first)
    observed.log(tmp_path, [record(100, gradient_norm_generator=2000, loss_generator=math.nan)], first)
    assert [alarm["round"] for alarm in read(tmp_path)] == [50, 100]
    with (tmp_path / "alarms.jsonl").open("a") as file:
        file.write('{"round": 100, "kind": "cut o')

    second = Alarms(AlarmOptions(patience=1))
    second.run_started(observed.info(tmp_path, start=50))
    assert [alarm["round"] for alarm in read(tmp_path)] == [50]
    second.step_logged(record(100, gradient_norm_generator=2000))
    assert [alarm["round"] for alarm in read(tmp_path)] == [50]
    second.step_logged(record(150, loss_discriminator=math.nan))
    assert [alarm["kind"] for alarm in read(tmp_path)] == ["large-gradient", "not-finite"]


def test_a_streak_goes_on_across_a_resume(tmp_path: Path) -> None:
    observed.log(tmp_path, [record(400, loss_discriminator=0), record(450, loss_discriminator=0)])
    alarms = Alarms(OPTIONS)
    alarms.run_started(observed.info(tmp_path, start=450))
    alarms.step_logged(record(500, loss_discriminator=0))
    assert "since round 400" in read(tmp_path)[0]["message"]


def test_a_directory_that_cannot_be_written_does_not_stop_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alarms = Alarms(AlarmOptions(patience=1))
    alarms.run_started(observed.info(tmp_path / "gone"))
    alarms.step_logged(record(50, gradient_norm_generator=2000))
    assert "the alarm is not in" in caplog.text
