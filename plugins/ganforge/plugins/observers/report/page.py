"""Fills the page's skeleton (report.html beside this file) from what lies in the run directory."""

from __future__ import annotations

import base64
import io
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from ganforge.core import Reading, RunInfo
from ganforge.core.config import Config, PlayerConfig, images_per_round
from ganforge.plugins.observers.report.charts import COLOURS, Chart, Line, Mark, draw, outside, short
from ganforge.plugins.observers.run_files import (
    Snapshot,
    evenly,
    open_picture,
    read_lines,
    read_records,
    read_verdict,
    snapshots,
)

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES = 12
LATEST_SIDE, EARLIER_SIDE = 1280, 480
POSITION = {"round", "images", "epoch", "seconds", "cpu_seconds"}

Records = Sequence[Mapping[str, float]]


def render(info: RunInfo, until: int, status: str) -> str:
    """The whole page, for the run up to round `until`."""
    records = read_records(info.directory, until)
    skeleton = Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    title = f"{info.config.recipe.name} on {_data_name(info.config)}"
    return skeleton.substitute(
        style=style(),
        title=escape(title),
        status=escape(status),
        state=escape(status.partition(":")[0]),
        lead=escape(_lead(info.config, until)),
        facts="".join(_facts(info, records, until)),
        alarms=_alarms(info, until),
        samples=_samples(info, until),
        charts="".join(_charts(info, records)),
        settings="".join(_row(name, value) for name, value in _settings(info)),
        config=escape(tomli_w.dumps(info.config.model_dump(mode="json", exclude_none=True))),
        commands="".join(_commands(info, status)),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def style() -> str:
    """The look that ganforge's pages share, as CSS."""
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def _data_name(config: Config) -> str:
    return Path(str(config.data.values.get("path", config.data.name))).name


def _epochs_per_round(info: RunInfo) -> float:
    return images_per_round(info.config) / max(1, info.data_size)


def _lead(config: Config, until: int) -> str:
    share = f" ({100 * until / config.steps:.0f} %)" if until < config.steps else ""
    return f"Round {until:,} of {config.steps:,}{share}"


def _facts(info: RunInfo, records: Records, until: int) -> Iterator[str]:
    """The run in figures, and the verdict on it."""
    if verdict := read_verdict(info.directory, "told"):
        yield _fact("verdict", verdict)
    yield _fact("epochs", f"{until * _epochs_per_round(info):,.1f}")
    yield _fact("images seen", short(until * images_per_round(info.config)))
    if records:
        yield _fact("time in training", _duration(sum(record.get("seconds", 0) for record in records)))
        speeds = [record.get("images_per_second", 0) for record in records]
        yield _fact("images a second", short(float(np.median(speeds))))
    labels = {"d_real": "D on real", "d_fake": "D on fake", "diversity": "diversity"}
    for name, label in labels.items():
        if records and name in records[-1]:
            yield _fact(label, f"{records[-1][name]:.3g}")


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"


def _alarms(info: RunInfo, until: int) -> str:
    alarms = [alarm for alarm in read_lines(info.directory / "alarms.jsonl") if alarm["round"] <= until]
    if not alarms:
        watched = "alarms" in info.config.observers
        return f'<p class="calm">{"No alarms." if watched else "Nobody watched for alarms."}</p>'
    return alarm_list(alarms)


def alarm_list(alarms: Sequence[Mapping[str, Any]]) -> str:
    """Alarms in words, each kind once, the latest first."""
    troubles: dict[tuple[object, object], list[Mapping[str, Any]]] = {}
    for alarm in alarms:
        troubles.setdefault((alarm.get("kind"), alarm.get("about")), []).append(alarm)
    return f'<ul class="alarms">{"".join(_trouble(times) for times in reversed(troubles.values()))}</ul>'


def _trouble(times: Sequence[Mapping[str, Any]]) -> str:
    """One kind of alarm: its latest, and how often it came before."""
    alarm, before = times[-1], len(times) - 1
    message = str(alarm.get("message", ""))
    sentence = message[:1].upper() + message[1:]
    advice = re.sub(r"--set \S*\w", r"<code>\g<0></code>", escape(str(alarm.get("advice", ""))))
    often = (
        f" It came {before + 1} times, first in round {times[0]['round']:,} (all in alarms.jsonl)." if before else ""
    )
    return f"<li><strong>Round {alarm['round']:,}</strong> {escape(sentence)}{often} <em>{advice}</em></li>"


def _samples(info: RunInfo, until: int) -> str:
    """The latest picture large, and earlier ones to look back at."""
    chosen = evenly(snapshots(info.directory, until), PICTURES)
    if not chosen:
        return "<p>No sample picture yet.</p>"
    *earlier, last = chosen
    latest = _picture(info, last, LATEST_SIDE)
    thumbs = "".join(_thumb(info, shot) for shot in earlier)
    strip = f'<ol class="thumbs" aria-label="Earlier samples, by round">{thumbs}</ol>' if thumbs else ""
    return (
        f'<figure id="latest" data-words="{_words(info, last)}">'
        f"{latest or '<p>The picture cannot be read.</p>'}"
        f'<figcaption aria-live="polite">{_words(info, last)}</figcaption>'
        f'<input id="history" type="range" aria-label="Which samples to show" hidden></figure>{strip}'
    )


def _thumb(info: RunInfo, shot: Snapshot) -> str:
    picture = _picture(info, shot, EARLIER_SIDE)
    words = f'data-words="{_words(info, shot)}"'
    return f'<li><button type="button" {words}>{picture}{shot.round:,}</button></li>' if picture else ""


def _words(info: RunInfo, shot: Snapshot) -> str:
    return f"Round {shot.round:,}, epoch {shot.round * _epochs_per_round(info):,.1f}"


def _picture(info: RunInfo, shot: Snapshot, side: int) -> str:
    """The picture as an <img> that carries its own data; empty if it cannot be read."""
    picture = open_picture(shot.path, side)
    if picture is None:
        return ""
    what = "a grid of samples" if info.data.kind == "images" else "samples in red over the data in grey"
    return embedded(picture, f"After round {shot.round:,}: {what}")


def embedded(picture: Image, words: str) -> str:
    """A picture as an <img> that carries its own data; `words` describe it."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/png;base64,{data}" width="{picture.width}" height="{picture.height}"'
        f' alt="{escape(words)}">'
    )


def _charts(info: RunInfo, records: Records) -> Iterator[str]:
    if not records:
        yield "<p>No figures yet: the first come after the first log step.</p>"
    for chart in _curves(info.reading, records):
        yield chart_figure(chart, _epochs_per_round(info))


def _curves(reading: Reading, records: Records) -> Iterator[Chart]:
    """A chart for every figure in the records: those every run has, then whatever plugins added."""
    names = list(dict.fromkeys(name for record in records for name in record if name not in POSITION))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_group(name), []).append(name)
    order = [*(key for key in KNOWN if key in groups), *(key for key in groups if key not in KNOWN)]
    for number, key in enumerate(order):
        title, note = KNOWN.get(key, (key.removeprefix("score/").replace("_", " ").capitalize(), ""))
        lines = [_line(name, records) for name in groups[key]]
        covers = (0.0, 1.0) if key in SHARES else ()
        chart = Chart(f"curve-{number}", title, note, lines, covers=covers, log=key == "gradient_norm")
        yield _reading_chart(chart, reading) if key == "critic" else chart


def _group(name: str) -> str:
    """Figures that share a chart. Every score has its own, for they share no scale."""
    if name in CRITIC or name == "separation":
        return "critic" if name in CRITIC else "accuracy"
    return name if name.startswith("score/") else name.partition("/")[0]


CRITIC = {"d_real": "real", "d_fake": "fake", "d_held_out": "held out"}

SHARES = {"diversity", "variety", "accuracy", "overfitting"}

KNOWN = {
    "loss": ("Losses", "They measure the balance of the game, not the quality of the samples."),
    "critic": ("", ""),
    "gradient_norm": ("Gradient norms", "Steady is good; far over 100 the learning rate is often too large."),
    "diversity": ("Diversity", "Spread of the samples: 1 is that of the data, 0 is one picture."),
    "variety": ("Variety", "Of the averaged generator: distances and coverage of the data, without features."),
    "support": ("Different pictures", "By the birthday paradox, up to as many as so few samples can show."),
    "accuracy": ("Discriminator: accuracy", "On real, held-out and generated samples, and of ranking the latter two."),
    "overfitting": (
        "Discriminator: overfitting",
        "r v: how generated held-out samples look to it; r t: mean sign of real ones (ADA).",
    ),
    "d_low": ("Discriminator: lowest tenth", "The 10 % quantile of its opinion."),
    "d_high": ("Discriminator: highest tenth", "The 90 % quantile of its opinion."),
    "singular": ("Largest singular value", "Of the generator's weights: it explodes in a collapse."),
    "output": ("Output", "Shares of values at the ends of the range, and of dead ones, beyond the data's."),
    "penalty": ("Penalties", "With their weights, as they enter the losses."),
    "images_per_second": ("Images a second", "Real images that the discriminator saw."),
}


def _reading_chart(chart: Chart, reading: Reading) -> Chart:
    """What the critic says of real and fake, with the levels that mean something for this loss."""
    marks: list[Mark] = []
    if reading.healthy:
        low, high = reading.healthy
        marks.append(Mark("healthy", f"healthy: {low:g} to {high:g}", low, high))
    if reading.even is not None:
        marks.append(Mark("even", f"even: {reading.even:g}", reading.even, reading.even))
        note = f"At {reading.even:g} it cannot tell real from fake."
    else:
        note = "No level means that it cannot tell: read the gap between the two."
    covers = (0.0, 1.0) if reading.even == 0.5 else ()
    return replace(chart, title=f"Discriminator: {reading.label}", note=note, marks=marks, covers=covers)


def _line(name: str, records: Records) -> Line:
    label = CRITIC.get(name, (name.partition("/")[2] or name).replace("_", " "))
    points = [(record["round"], record[name]) for record in records if name in record]
    rounds, values = np.array(points, dtype=np.float64).T
    return Line(label, rounds, values)


def chart_figure(chart: Chart, epochs_per_round: float | None = None) -> str:
    """A chart with its title, its legend and what to know of it."""
    keys = [
        f'<li><i class="c{i % COLOURS}"></i>{escape(line.label)} <b>{short(float(line.values[-1]))}</b></li>'
        for i, line in enumerate(chart.lines)
    ]
    keys += [f'<li><i class="{mark.kind}"></i>{escape(mark.label)}</li>' for mark in chart.marks]
    hidden = outside(chart)
    note = f"{chart.note} {hidden:,} extreme points lie outside the frame." if hidden else chart.note
    return (
        f'<figure class="chart"><figcaption><h3>{escape(chart.title)}</h3>'
        f'<ul class="legend">{"".join(keys)}</ul></figcaption>'
        f"{draw(chart, epochs_per_round)}<p>{escape(note)}</p></figure>"
    )


def _settings(info: RunInfo) -> Iterator[tuple[str, str]]:
    """What one wants to know of the config at a glance."""
    config = info.config
    yield "recipe", config.recipe.name
    yield "data", f"{_data_name(config)}: {info.data_size:,} × {info.data}"
    yield "architecture", config.architecture.name
    yield "loss", config.loss.name
    yield "regularizers", ", ".join(config.regularizers) or "none"
    yield "latent", f"{config.latent.name}, {config.latent.dim}"
    yield "batch size", f"{config.batch_size}"
    yield "discriminator", _player(config.discriminator)
    yield "generator", _player(config.generator)
    yield "seed", f"{config.seed}"
    yield "machine", f"{config.machine.device}, {config.machine.precision}"


def _player(player: PlayerConfig) -> str:
    knobs = {"adam": f"betas {player.betas[0]:g}, {player.betas[1]:g}", "rmsprop": f"alpha {player.alpha:g}"}
    detail = knobs.get(player.optimizer, f"momentum {player.momentum:g}")
    moves = f", {player.moves} moves a round" if player.moves > 1 else ""
    return f"{player.optimizer}, learning rate {player.lr:g}, {detail}{moves}"


def _row(name: str, value: str) -> str:
    return f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'


def _commands(info: RunInfo, status: str) -> Iterator[str]:
    run = shlex.quote(str(info.directory))
    if status == "finished":
        yield _command("Train longer", f"ganforge resume {run} --steps {2 * info.config.steps}")
    else:
        yield _command("Go on with the training", f"ganforge resume {run}")
    yield _command("Draw samples", f"ganforge sample {run} --n 64 --seed 1 -o grid.png")
    yield _command("Export the generator", f"ganforge export {run} -o model.onnx")


def _command(what: str, command: str) -> str:
    return f"<dt>{escape(what)}</dt><dd><code>{escape(command)}</code></dd>"
