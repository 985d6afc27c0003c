"""The GIF and TensorBoard's events, and all built-in observers together on a real training."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import observed
import pytest
import tiny
from observed import record
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganforge.core import resume, train
from ganforge.core.registry import Registry
from ganforge.plugins.builtin import BUILTIN
from ganforge.plugins.observers import gif, run_files
from ganforge.plugins.observers.alarms import AlarmOptions, rules
from ganforge.plugins.observers.alarms.observer import Alarms
from ganforge.plugins.observers.gif import Gif
from ganforge.plugins.observers.report import Report
from ganforge.plugins.observers.tensorboard import TensorBoard


def frames(directory: Path) -> list[Image.Image]:
    with Image.open(directory / "samples" / "progress.gif") as animation:
        shown = []
        for i in range(animation.n_frames):
            animation.seek(i)
            shown.append(animation.convert("RGB"))
    return shown


def finished(directory: Path, start: int) -> Gif:
    observer = Gif()
    observer.run_started(observed.info(directory, start=start))
    observer.run_finished("finished")
    return observer


def test_the_gif_shows_every_picture_in_order_and_stays_on_the_last(tmp_path: Path) -> None:
    for round_ in (5, 1, 3):
        observed.picture(tmp_path, round_, size=(16, 32))
    finished(tmp_path, start=5)
    assert [frame.getpixel((0, 0)) for frame in frames(tmp_path)] == [(37 * r,) * 3 for r in (1, 3, 5)]
    with Image.open(tmp_path / "samples" / "progress.gif") as animation:
        assert animation.size == (32, 16 + gif.CAPTION)
        assert animation.info["loop"] == 0
        assert animation.info["duration"] == gif.FRAME_MS
        animation.seek(2)
        assert animation.info["duration"] == gif.LAST_MS


def test_a_long_run_has_sixty_frames_with_the_first_and_the_last(tmp_path: Path) -> None:
    for round_ in range(130):
        observed.picture(tmp_path, round_)
    finished(tmp_path, start=129)
    shown = frames(tmp_path)
    assert len(shown) == gif.FRAMES
    assert shown[0].getpixel((0, 0)) == (0, 0, 0)
    assert shown[-1].getpixel((0, 0)) == (129 * 37 % 256,) * 3


def test_colours_of_each_frame_are_its_own(tmp_path: Path) -> None:
    colours = [(200, 10, 30), (10, 180, 60), (20, 40, 250)]
    (tmp_path / "samples").mkdir()
    for round_, colour in enumerate(colours):
        Image.new("RGB", (24, 24), colour).save(tmp_path / "samples" / f"{round_:06d}.png")
    finished(tmp_path, start=2)
    assert [frame.getpixel((5, 5)) for frame in frames(tmp_path)] == colours


def test_pictures_of_other_sizes_and_kinds_are_fitted_to_the_last(tmp_path: Path) -> None:
    observed.picture(tmp_path, 1, size=(64, 64), channels=1)
    observed.picture(tmp_path, 2, size=(10, 40), channels=3)
    observed.picture(tmp_path, 3, size=(20, 20), channels=3)
    finished(tmp_path, start=3)
    assert {frame.size for frame in frames(tmp_path)} == {(20, 20 + gif.CAPTION)}
    assert len(frames(tmp_path)) == 3


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    observed.picture(tmp_path, 1, size=(1500, 3000))
    finished(tmp_path, start=1)
    assert frames(tmp_path)[0].size == (640, 320 + gif.CAPTION)


def test_a_broken_picture_costs_a_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    observed.picture(tmp_path, 1)
    observed.picture(tmp_path, 2).write_bytes(b"no picture")
    (tmp_path / "samples" / "000003.png").mkdir()
    observed.picture(tmp_path, 4)
    finished(tmp_path, start=4)
    assert len(frames(tmp_path)) == 2
    assert caplog.text.count("is left out") == 2


def test_without_pictures_there_is_no_gif(tmp_path: Path) -> None:
    finished(tmp_path, start=3)
    assert list(tmp_path.rglob("*.gif")) == []


def test_pictures_beyond_the_resumed_round_are_not_shown(tmp_path: Path) -> None:
    for round_ in (1, 2, 3):
        observed.picture(tmp_path, round_)
    finished(tmp_path, start=2)
    assert len(frames(tmp_path)) == 2


def test_the_gif_is_rewritten_when_the_pictures_have_doubled(tmp_path: Path) -> None:
    observer = Gif()
    observer.run_started(observed.info(tmp_path))
    counts = []
    for round_ in range(9):
        observer.snapshot_saved(round_, observed.picture(tmp_path, round_))
        counts.append(len(frames(tmp_path)) if round_ else 0)
    assert counts == [0, 2, 2, 4, 4, 4, 4, 8, 8]
    observer.run_finished("interrupted")
    assert len(frames(tmp_path)) == 9


def test_a_gif_that_cannot_be_written_does_not_stop_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    observed.picture(tmp_path, 1)
    (tmp_path / "samples" / "progress.gif").mkdir()
    finished(tmp_path, start=1)
    assert "no animation: could not write" in caplog.text


def test_lines_that_are_no_records_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    good, bad = b'{"round": 1, "a": 2, "b": "x"}', [b"[]", b'{"a": 1}', b"", b"\xff"]
    lines = [good, *bad, b'{"round": 3}', b'{"round": 4']
    path.write_bytes(b"\n".join(lines))
    assert run_files.read_records(tmp_path, until=2) == [{"round": 1, "a": 2}]
    assert [line["round"] for line in run_files.read_lines(path)] == [1, 3]
    assert run_files.read_lines(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(("n", "chosen"), [(5, [0, 1, 2, 3]), (4, [0, 1, 2, 3]), (3, [0, 2, 3]), (2, [0, 3])])
def test_evenly_keeps_both_ends(n: int, chosen: list[int]) -> None:
    assert run_files.evenly(range(4), n) == chosen


def events(directory: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(directory / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def scalars(directory: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(directory).Scalars(name)]


def logged(directory: Path, start: int, rounds: range, d_real: float) -> None:
    observer = TensorBoard()
    observer.run_started(observed.info(directory, start=start))
    for round_ in rounds:
        observer.step_logged(record(round_, d_real=d_real))
    observer.snapshot_saved(rounds[-1], observed.picture(directory, rounds[-1], channels=3))
    observer.run_finished("finished")


def test_tensorboard_has_every_figure_under_its_name_and_the_pictures(tmp_path: Path) -> None:
    logged(tmp_path, 0, range(1, 4), d_real=0.5)
    found = events(tmp_path)
    assert set(found.Tags()["scalars"]) == set(record(1)) - {"round"}
    assert scalars(tmp_path, "d_real") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    (image,) = found.Images("samples")
    assert (image.step, image.width, image.height) == (3, 16, 16)


def test_after_a_resume_tensorboard_keeps_what_lies_before_and_drops_what_lies_beyond(tmp_path: Path) -> None:
    logged(tmp_path, 0, range(1, 6), d_real=0.25)
    logged(tmp_path, 3, range(4, 7), d_real=0.75)
    expected = [(round_, 0.25 if round_ <= 3 else 0.75) for round_ in range(1, 7)]
    assert scalars(tmp_path, "d_real") == expected
    assert [image.step for image in events(tmp_path).Images("samples")] == [6]


def test_a_run_that_starts_again_from_nothing_drops_everything(tmp_path: Path) -> None:
    logged(tmp_path, 0, range(1, 4), d_real=0.25)
    logged(tmp_path, 0, range(1, 3), d_real=0.75)
    assert scalars(tmp_path, "d_real") == [(1, 0.75), (2, 0.75)]


def test_without_the_package_there_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level(logging.WARNING):
        logged(tmp_path, 0, range(1, 4), d_real=0.5)
    assert caplog.messages == ["no TensorBoard events: the package is missing; pip install tensorboard"]
    assert not (tmp_path / "tensorboard").exists()


def test_a_place_in_the_way_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    logged(tmp_path, 0, range(1, 4), d_real=0.5)
    assert len(caplog.messages) == 1
    assert "no TensorBoard events in" in caplog.text


def test_a_full_disk_ends_the_events_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def add_scalar(self, *args: object) -> None:
            raise OSError(28, "No space left on device")

    observer = TensorBoard()
    observer.writer = Full()  # type: ignore[assignment]
    observer.step_logged(record(1))
    observer.step_logged(record(2))
    observer.run_finished("finished")
    assert len(caplog.messages) == 1
    assert "No space left on device" in caplog.text


WATCHED = ("report", "gif", "tensorboard", "alarms")


@pytest.fixture(scope="module")
def toys() -> Registry:
    return Registry(files=[tiny.FILE], fallback=BUILTIN)


def rounds(path: Path) -> list[int]:
    return [json.loads(line)["round"] for line in path.read_text().splitlines()]


def test_a_training_and_its_resume_are_watched_as_one(tmp_path: Path, toys: Registry) -> None:
    run = tmp_path / "run"
    train(tiny.request(observers=WATCHED), run, registry=toys)
    assert len(frames(run)) == 3
    assert "Round 4 of 4" in (run / "report.html").read_text()

    resume(run, steps=8, registry=toys)
    assert rounds(run / "metrics.jsonl") == list(range(1, 9))
    assert [step for step, _ in scalars(run, "loss/generator")] == list(range(1, 9))
    assert [image.step for image in events(run).Images("samples")] == [0, 2, 4, 6, 8]
    assert len(frames(run)) == 5
    page = (run / "report.html").read_text()
    assert "Round 8 of 8" in page
    assert page.count('src="data:image/png;base64,') == 5


def test_an_alarm_of_a_real_run_reaches_its_report(
    tmp_path: Path, toys: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "LIMITS", [replace(limit, level=1e-9) for limit in rules.LIMITS[:1]])
    strict = Alarms(AlarmOptions(patience=1))
    train(tiny.request(), tmp_path / "run", observers=[strict, Report()], registry=toys)
    assert rounds(tmp_path / "run" / "alarms.jsonl") == [1, 1]
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("<li><strong>Round 1</strong> The gradient norm of the ") == 2
