"""What a person sees while a training runs."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from rich.console import Console

from ganforge.cli import progress
from ganforge.cli.main import _show_warnings
from ganforge.cli.progress import Progress, duration, figures, introduction, pace
from ganforge.core import Reading, RunInfo
from ganforge.core.config import resolve
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN

READING = Reading("D(x)", 0.5)


def info(reading: Reading = READING, start: int = 0, **changes: Any) -> RunInfo:
    registry = Registry(files=[tiny.FILE], fallback=BUILTIN)
    config, data = resolve(tiny.request(steps=100, batch_size=6, **changes), registry)
    return RunInfo(Path("runs/one"), config, data.spec, len(data), reading, start)


def record(round_: int, **changes: float) -> dict[str, float]:
    values = {"loss/discriminator": 1.25, "loss/generator": 0.5, "d_real": 0.75, "d_fake": 0.125}
    return {"round": round_, "images_per_second": 120.0, **values, **changes}


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def play(console: Console, rounds: list[int]) -> str:
    with Progress(console) as watcher:
        watcher.run_started(info())
        for round_ in rounds:
            watcher.step_logged(record(round_))
        watcher.run_finished("finished")
    return shown(console)


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=60)


def test_the_introduction() -> None:
    assert introduction(info(data={"name": "tiny-pictures", "classes": 3})) == [
        "tiny on tiny-pictures: 24 8×8 grey images, 3 classes",
        "into runs/one: 100 rounds, batches of 6 (25 epochs), cpu, 1 thread, fp32",
    ]
    assert "from round 40 to 100," in introduction(info(start=40))[1]
    assert "cpu, 2 threads, bf16" in introduction(info(machine={"device": "cpu", "threads": 2, "precision": "bf16"}))[1]
    assert "cuda, fp32" in introduction(info(machine={"device": "cuda", "threads": 2}))[1]


def test_a_line_of_figures() -> None:
    assert pace(record(40), info()) == "120 images/s  0:03 left"  # 60 rounds of 6 images
    assert figures(record(40), info()) == "D(x): real 0.750, fake 0.125  loss discriminator 1.250, generator 0.500"
    critic = info(Reading("critic score"))
    assert figures(record(40), critic).startswith("critic score: real 0.750, fake 0.125  ")
    assert figures({"round": 1, "images_per_second": 1.0}, critic) == ""


def test_a_score_is_told_with_its_record() -> None:
    console = plain()
    with Progress(console) as watcher:
        watcher.run_started(info())
        watcher.step_logged(record(10))
        watcher.step_logged(record(20) | {"score/kid@1k": 0.01234, "score/kid_std@1k": 0.1})
        watcher.step_logged(record(30))
    lines = shown(console).splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == ["round 10/100", "round 20/100"]
    assert lines[-1].endswith("  kid@1k 0.01234")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3599.6, "1:00:00"), (90_061, "25:01:01")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plain_lines_come_at_a_cadence_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 4.0, 11.0, 11.0, 15.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    lines = play(plain(), [10, 20, 30, 100]).splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == ["round 10/100", "round 30/100", "round 100/100"]
    assert lines[2] == f"round 10/100  {pace(record(10), info())}  {figures(record(10), info())}"  # not wrapped


def test_a_terminal_gets_a_live_display() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    text = play(console, [10, 100])
    assert "100/100" in text
    assert "0:00 left" in text
    assert "D(x): real 0.750, fake 0.125" in text
    assert "\x1b[?25l" in text  # the cursor is hidden …
    assert text.rstrip().endswith("\x1b[?25h")  # … and given back


def test_an_error_gives_the_terminal_back() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)

    def fail() -> None:
        with Progress(console) as watcher:
            watcher.run_started(info())
            raise ValueError("elsewhere")

    with pytest.raises(ValueError, match="elsewhere"):
        fail()
    assert "\x1b[?25h" in shown(console)
    assert not hasattr(sys.stderr, "rich_proxied_file")


def test_warnings_are_lines_above_the_live_display() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    _show_warnings()
    with Progress(console) as watcher:
        watcher.run_started(info())
        logging.getLogger("ganforge.any").warning("the samples have become all alike: %s", "[red]")
        watcher.step_logged(record(10))
    assert "warning: the samples have become all alike: [red]" in shown(console)


def test_warnings_go_to_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    _show_warnings()
    _show_warnings()
    logging.getLogger("ganforge").warning("look")
    logging.getLogger("ganforge").info("do not look")
    assert capsys.readouterr().err == "warning: look\n"
