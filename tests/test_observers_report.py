"""The report: self-contained, right after a resume, honest about levels, and safe with hostile words."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import observed
import pytest
from observed import SCORE, record
from PIL import Image

from ganforge.core import Reading, RunInfo
from ganforge.core.config import Component, DataConfig
from ganforge.plugins.observers.report import Report, charts, page
from ganforge.plugins.observers.report.charts import Chart, Line, Mark

VOID = {"meta", "link", "img", "input", "br", "hr"}
EMPTY_SVG = {"path", "rect"}


class Page(HTMLParser):
    """Every element with its attributes, and every text with the element it is in; fails on wrong nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID | EMPTY_SVG
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]

    def text(self) -> str:
        return " ".join(data for inside, data in self.texts if inside not in ("style", "script"))


def written(directory: Path) -> str:
    return (directory / "report.html").read_text(encoding="utf-8")


def run(directory: Path, rounds: int = 5, info: RunInfo | None = None) -> Page:
    """The page of a run of some rounds with a picture after each."""
    report = Report()
    report.run_started(info or observed.info(directory))
    for round_ in range(1, rounds + 1):
        observed.log(directory, [record(round_)], report)
        report.snapshot_saved(round_, observed.picture(directory, round_))
    report.run_finished("finished")
    return Page(written(directory))


def figure(text: str, title: str) -> str:
    """The part of the page with the chart of this title."""
    return next(part for part in text.split('<figure class="chart">')[1:] if f"<h3>{title}</h3>" in part)


def test_the_page_asks_for_nothing_outside(tmp_path: Path) -> None:
    html = run(tmp_path)
    sources = [a[name] for _, a in html.elements for name in ("src", "href", "srcset", "action") if name in a]
    assert len(sources) > 5
    assert all(source.startswith("data:") for source in sources)
    text = written(tmp_path)
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in re.sub(r"url\(#clip-curve-\d+\)", "", text)
    assert "@import" not in text
    (policy,) = html.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_the_page_says_what_and_how_far(tmp_path: Path) -> None:
    html = run(tmp_path, info=observed.info(tmp_path, steps=20))
    text = html.text()
    assert "some-gan on pictures" in text
    assert "finished" in text
    assert "Round 5 of 20 (25 %)" in text
    assert "100 × 8×8 grey images" in text
    assert f"ganforge resume {tmp_path} --steps 40" in text
    assert f"ganforge sample {tmp_path} --n 64 --seed 1 -o grid.png" in text
    assert f"ganforge export {tmp_path} -o model.onnx" in text
    config = next(data for inside, data in html.texts if inside == "pre")
    assert "batch_size = 10" in config
    assert 'name = "some-gan"' in config


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    directory = tmp_path / "my run"
    report = Report()
    report.run_started(observed.info(directory))
    report.run_finished("failed: loss/generator is not finite in round 3")
    text = Page(written(directory)).text()
    assert "failed: loss/generator is not finite in round 3" in text
    assert f"ganforge resume '{directory}'" in text
    assert "--steps" not in text
    assert "No sample picture yet." in text
    assert "No figures yet" in text


def test_every_chart_has_both_axes_and_a_description(tmp_path: Path) -> None:
    html = run(tmp_path)
    svgs = html.all("svg", role="img")
    assert len(svgs) == 5
    assert all("last figures" in svg["aria-label"] for svg in svgs)
    assert len(html.all("g", class_="across")) == len(html.all("g", class_="epochs")) == 5
    titles = [data for inside, data in html.texts if inside == "text" and data in ("rounds", "epochs")]
    assert titles == ["rounds", "epochs"] * 5


def test_epochs_stand_where_their_rounds_are() -> None:
    line = Line("loss", np.arange(1.0, 101.0), np.ones(100))
    svg = charts.draw(Chart("curve-0", "Losses", "", [line]), epochs_per_round=0.1)
    rounds, epochs = (dict(re.findall(r'<text x="([\d.]+)"[^>]*>([\d.]+)<', part)) for part in _axes(svg))
    at = {float(value): float(x) for x, value in rounds.items()}
    assert {float(value): float(x) for x, value in epochs.items()} == {v / 10: x for v, x in at.items()}
    assert set(at) == {0, 20, 40, 60, 80, 100}


def _axes(svg: str) -> tuple[str, str]:
    bottom, _, top = svg.partition('<g class="epochs">')
    return bottom.partition('<g class="across">')[2], top.partition("</g>")[0]


def test_a_probability_has_its_even_line_and_band(tmp_path: Path) -> None:
    html = run(tmp_path)
    assert len(html.all("path", class_="even")) == len(html.all("rect", class_="healthy")) == 1
    part = figure(written(tmp_path), "Discriminator: D(x)")
    assert 'class="even"' in part
    assert "even: 0.5" in part
    assert "healthy: 0.3 to 0.7" in part


def test_a_wasserstein_critic_has_neither(tmp_path: Path) -> None:
    html = run(tmp_path, info=observed.info(tmp_path, SCORE))
    assert html.all("path", class_="even") == html.all("rect", class_="healthy") == []
    assert "even:" not in html.text()
    assert "No level means that it cannot tell" in figure(written(tmp_path), "Discriminator: critic score")


def test_the_even_line_is_drawn_at_its_level() -> None:
    line = Line("real", np.array([1.0, 2.0]), np.array([0.1, 0.9]))
    mark = charts.Mark("even", "even: 0.5", 0.5, 0.5)
    svg = charts.draw(Chart("curve-0", "D", "", [line], [mark], covers=(0, 1)), 1.0)
    (height,) = re.findall(r'class="even" d="M[\d.]+ ([\d.]+)H', svg)
    assert float(height) == pytest.approx((charts.TOP + charts.BOTTOM) / 2, abs=0.1)


def test_penalties_and_unknown_figures_get_their_charts(tmp_path: Path) -> None:
    report = Report()
    report.run_started(observed.info(tmp_path))
    extra = {"penalty/gradient-penalty": 0.3, "ada_p": 0.1, "code/first": 2.0, "code/second": 3.0}
    observed.log(tmp_path, [record(1) | extra, record(2)], report)
    report.run_finished("finished")
    titles = re.findall(r"<h3>(.*?)</h3>", written(tmp_path))
    assert titles[0] == "Losses"
    assert titles[4:] == ["Penalties", "Images a second", "Ada p", "Code"]


def test_pictures_are_inlined_and_described(tmp_path: Path) -> None:
    html = run(tmp_path, rounds=3)
    images = html.all("img")
    assert [image["alt"] for image in images] == [f"After round {n}: a grid of samples" for n in (3, 1, 2)]
    shown = Image.open(io.BytesIO(base64.b64decode(images[0]["src"].partition("base64,")[2])))
    assert (shown.format, shown.size, shown.getpixel((0, 0))) == ("PNG", (16, 16), 3 * 37)


def test_many_pictures_are_thinned_to_twelve(tmp_path: Path) -> None:
    for round_ in range(100):
        observed.picture(tmp_path, round_)
    report = Report()
    report.run_started(observed.info(tmp_path, start=99))
    report.run_finished("finished")
    images = Page(written(tmp_path)).all("img")
    assert len(images) == 12
    assert "round 99:" in images[0]["alt"]
    assert "round 0:" in images[1]["alt"]


def test_a_broken_picture_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = observed.picture(tmp_path, 0)
    broken.write_bytes(broken.read_bytes()[:40])
    html = run(tmp_path, rounds=2)
    assert len(html.all("img")) == 2
    assert f"{broken} is left out" in caplog.text


def test_after_a_resume_the_page_shows_what_lies_before_and_nothing_beyond(tmp_path: Path) -> None:
    run(tmp_path, rounds=4)
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record(r)) + "\n" for r in (1, 2)))
    report = Report()
    report.run_started(observed.info(tmp_path, start=2))
    observed.log(tmp_path, [record(3, d_real=0.123)], report)
    report.snapshot_saved(3, observed.picture(tmp_path, 3))
    html = Page(written(tmp_path))
    assert "Round 3 of" in html.text()
    assert "0.123" in html.text()
    assert "running" in html.text()
    assert [image["alt"][:13] for image in html.all("img")] == [f"After round {n}" for n in (3, 1, 2)]


def test_alarms_are_told_in_words(tmp_path: Path) -> None:
    said = {"kind": "k", "advice": "Try --set a.b=1."}
    lines = [said | {"round": round_, "message": f"the loss was {round_}."} for round_ in (1, 9)]
    (tmp_path / "alarms.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{cut off")
    html = run(tmp_path, rounds=3)
    assert "The loss was 1." in html.text()
    assert "The loss was 9." not in html.text()
    assert ("code", "--set a.b=1") in html.texts


def test_a_trouble_that_returns_is_one_entry_with_its_count(tmp_path: Path) -> None:
    said = {"kind": "k", "about": "generator", "advice": "Wait."}
    lines = [said | {"round": round_, "message": f"the norm was {round_}00."} for round_ in (1, 2, 3)]
    (tmp_path / "alarms.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    html = run(tmp_path, rounds=3)
    assert "Round 3 The norm was 300. It came 3 times, first in round 1" in " ".join(html.text().split())
    assert "The norm was 100." not in html.text()


def test_no_alarms_is_said_only_where_somebody_watched(tmp_path: Path) -> None:
    assert "No alarms." in run(tmp_path / "a").text()
    alone = observed.info(tmp_path / "b", observers={"report": {}})
    assert "Nobody watched for alarms." in run(tmp_path / "b", info=alone).text()


HOSTILE = "<script>alert('1')</script>\"&$title${x}"


def test_hostile_words_are_only_words(tmp_path: Path) -> None:
    alarm = {"round": 1, "message": HOSTILE, "advice": f"--set {HOSTILE}"}
    (tmp_path / "alarms.jsonl").write_text(json.dumps(alarm))
    reading = Reading(HOSTILE, 0.5)
    names: dict[str, Any] = {
        "recipe": Component(name=HOSTILE),
        "data": DataConfig(name=HOSTILE.replace("/", "")),
        "loss": Component(name=HOSTILE),
        "regularizers": {HOSTILE: {HOSTILE: 1}},
    }
    report = Report()
    report.run_started(observed.info(tmp_path, reading, **names))
    observed.log(tmp_path, [record(1) | {f"penalty/{HOSTILE}": 1.0, HOSTILE: 2.0}], report)
    report.snapshot_saved(1, observed.picture(tmp_path, 1))
    report.run_finished(f"failed: {HOSTILE}")
    html = Page(written(tmp_path))
    assert len(html.all("script")) == 1
    assert "<script>alert" not in written(tmp_path)
    assert html.text().count(HOSTILE) >= 6


def test_values_that_are_not_finite_break_the_line() -> None:
    values = np.array([1.0, 2.0, math.nan, 3.0, math.inf, 4.0])
    svg = charts.draw(Chart("curve-0", "Losses", "", [Line("loss", np.arange(1.0, 7.0), values)]), 1.0)
    (path,) = re.findall(r'class="line c0" d="(.*?)"', svg)
    assert path.count("M") == 3
    assert path.count("L") == 1
    assert "nan" not in path
    assert "inf" not in path


def test_a_run_of_nothing_but_nan_still_has_a_page(tmp_path: Path) -> None:
    report = Report()
    report.run_started(observed.info(tmp_path))
    observed.log(tmp_path, [dict.fromkeys(record(1), math.nan) | {"round": 1}], report)
    report.run_finished("failed: loss")
    assert len(Page(written(tmp_path)).all("svg")) == 5


def test_few_points_are_drawn_as_they_are_and_many_smoothed_over_the_raw_line() -> None:
    def classes(n: int) -> list[str]:
        line = Line("loss", np.arange(1.0, n + 1), np.sin(np.arange(n)))
        return re.findall(r'class="(raw|line) c0"', charts.draw(Chart("curve-0", "x", "", [line]), 1.0))

    assert classes(charts.SMOOTH_FROM - 1) == ["line"]
    assert classes(charts.SMOOTH_FROM) == ["raw", "line"]


def test_smoothing_keeps_a_constant_and_calms_noise() -> None:
    assert charts.smooth(np.full(500, 3.0)) == pytest.approx(3.0)
    noise = np.random.default_rng(0).normal(size=2000)
    assert charts.smooth(noise)[200:].std() < 0.2
    assert np.isnan(charts.smooth(np.array([1.0, math.nan, 2.0]))).tolist() == [False, True, False]


def test_thinning_keeps_peaks_ends_and_gaps() -> None:
    values = np.zeros(10_000)
    values[4321], values[7000] = 9.0, math.nan
    thinned = charts.thin(Line("loss", np.arange(10_000.0), values))
    assert len(thinned.rounds) <= charts.POINTS + 3
    assert (thinned.rounds[0], thinned.rounds[-1]) == (0, 9999)
    assert thinned.values[thinned.rounds == 4321] == 9
    assert np.isnan(thinned.values[thinned.rounds == 7000]).all()
    assert 7000 in thinned.rounds


def test_a_long_run_has_a_small_page(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = [record(round_, loss_generator=float(random.normal())) for round_ in range(1, 5001)]
    observed.log(tmp_path, lines)
    assert len(page.render(observed.info(tmp_path), 5000, "finished")) < 200_000


def test_a_rare_peak_does_not_flatten_the_rest_and_is_owned_up_to(tmp_path: Path) -> None:
    lines = [record(r, loss_generator=1e6 if r == 50 else 1 + r % 7) for r in range(1, 301)]
    observed.log(tmp_path, lines)
    part = figure(page.render(observed.info(tmp_path), 300, "finished"), "Losses")
    assert "1 extreme points lie outside the frame." in part
    assert ">6<" in part


def test_gradients_that_span_decades_get_a_logarithmic_axis() -> None:
    line = Line("norm", np.arange(1.0, 5.0), np.array([0.1, 1.0, 100.0, 1000.0]))
    svg = charts.draw(Chart("curve-0", "x", "", [line], log=True), 1.0)
    heights = {label: float(y) for y, label in re.findall(r'<text x="\d+" y="([\d.]+)" dy[^>]*>(.*?)<', svg)}
    assert list(heights) == ["0.1", "1", "10", "100", "1k"]
    steps = np.diff(list(heights.values()))
    assert steps == pytest.approx(steps.mean(), abs=0.2)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (-0.3, 0.31, [-0.2, 0, 0.2]),
        (0, 3, [0, 1, 2, 3]),
        (0.99, 1.01, [0.99, 0.995, 1, 1.005, 1.01]),
    ],
)
def test_ticks_are_round_numbers_within_the_axis(low: float, high: float, ticks: list[float]) -> None:
    assert charts.Scale(low, high, 0, 1).ticks() == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.05, 1.6, [0.05, 0.1, 0.2, 0.5, 1]), (0.7, 1300, [1, 10, 100, 1000]), (1e-6, 1e6, [1e-6, 1e-3, 1, 1e3, 1e6])],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, ticks: list[float]) -> None:
    assert charts.Scale(low, high, 0, 1, log=True).ticks() == pytest.approx(ticks)


@pytest.mark.parametrize(("low", "log"), [(0.09, True), (0.11, False), (0.0, False), (-0.1, False)])
def test_an_axis_is_logarithmic_where_all_is_above_zero_and_spans_a_decade(low: float, log: bool) -> None:
    line = Line("kid", np.array([1.0, 2.0]), np.array([1.0, 0.5]))
    marked = Chart("c", "x", "", [line], marks=[Mark("even", "real data", low, low)], log=True)
    assert charts.bounds(marked)[2] == log
    assert charts.bounds(Chart("c", "x", "", [line], covers=[low], log=True))[2] == log


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12_000, "12k"), (-1_500_000, "-1.5M"), (0.05, "0.05"), (math.nan, "nan"), (2e9, "2G")],
)
def test_short_figures(value: float, text: str) -> None:
    assert charts.short(value) == text


def test_a_page_in_the_way_does_not_stop_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "report.html").mkdir()
    report = Report()
    report.run_started(observed.info(tmp_path))
    report.run_finished("finished")
    assert "the report is not up to date" in caplog.text
