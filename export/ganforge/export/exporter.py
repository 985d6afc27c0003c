"""A run directory becomes a file: freeze the network, trace it, prove it, write it with its card."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from ganforge.core.card import CARD_KEY, Card, Input, Score, parse_card
from ganforge.core.config import images_per_round
from ganforge.core.errors import GanforgeError, unknown
from ganforge.core.files import atomic
from ganforge.core.game import Export, truncates
from ganforge.core.options import parse
from ganforge.core.run import Run
from ganforge.core.versions import own_version
from ganforge.export.directions import directions
from ganforge.export.form import Form
from ganforge.export.graph import Frozen, freeze, trace
from ganforge.export.passes import optimised
from ganforge.export.precision import halved, quantised
from ganforge.export.proof import prove
from ganforge.serve.model import Model
from ganforge.serve.runtime import Session


def export(
    run: Run,
    path: str | Path,
    *,
    network: str | None = None,
    inputs: str = "z",
    pixels: str = "float32",
    precision: str = "fp32",
    force: bool = False,
    judge: Callable[[Model], Sequence[Score]] | None = None,
) -> Card:
    """Write a run's averaged generator as one self-contained ONNX file.

    Args:
        path: the file to write, ending in `.onnx`; what stands there is replaced.
        network: which one, where the game trains several.
        inputs: `z` (and codes) for the caller to draw, or `seed`: the graph draws them, from a seed for each picture.
        pixels: images as `float32` [N, C, H, W] in [-1, 1], or as `uint8` [N, H, W, C].
        precision: `fp32`; `fp16`, for GPUs; `int8`, for CPUs with instructions for it.
        force: write what fp16 or int8 gives, however far it is from fp32.
        judge: scores the file before it is written, for its card.

    Returns:
        The card as it is in the file, with the figures of the proof.

    Raises:
        GanforgeError: bad arguments, a network that cannot be exported, or a graph that does not give what the
            network gives; nothing is written then.
    """
    form = parse(Form, {"inputs": inputs, "pixels": pixels, "precision": precision}, "export")
    path = checked(Path(path))
    if force and form.precision == "fp32":
        raise GanforgeError("there is nothing to force in fp32: it gives what the network gives, or is not written")
    name, wanted = _choose(run, network)
    card = _card(run, name, wanted, form)
    frozen = freeze(run.game.ema[wanted.network])
    model, card = _proved(frozen, card, force)
    if card.image is None:
        card = card.model_copy(update={"directions": directions(frozen, card.latent, labelled=card.labelled)})
    if judge is not None:
        scored = Model(Session(with_card(model, card), str(path)))
        card = card.model_copy(update={"scores": tuple(judge(scored))})
    with atomic(path) as temporary:
        temporary.write_bytes(with_card(model, card))
    return card


def checked(path: Path) -> Path:
    """The path, if a file may be written there.

    Raises:
        GanforgeError: it does not end in .onnx, or is a directory.
    """
    if path.suffix != ".onnx":
        raise GanforgeError(f"an exported file's name ends in .onnx; {path} does not")
    if path.is_dir():
        raise GanforgeError(f"{path} is a directory; give the name of a file")
    return path


def _proved(frozen: Frozen, card: Card, force: bool) -> tuple[onnx.ModelProto, Card]:
    """The graph in the precision wanted. It is proved in fp32 first: what is wrong there is not to be forced."""
    plain = card.model_copy(update={"precision": "fp32"})
    traced = trace(frozen, plain)
    model = optimised(traced)
    parity = prove(model, frozen, plain)
    if card.precision == "fp16":
        model = optimised(trace(halved(frozen), card))
    if card.precision == "int8":
        model = quantised(traced, card)
    if card.precision != "fp32":
        parity = prove(model, frozen, card, force=force)
    return model, card.model_copy(update={"parity": parity})


def write_scores(path: str | Path, scores: Sequence[Score]) -> Card:
    """Put scores on the card of an exported file, in the place of older ones of the same. All else stays as it is.

    Raises:
        GanforgeError: not a file that `export` wrote, or it cannot be written.
    """
    path = Path(path).resolve()
    try:
        model = onnx.load_model(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise GanforgeError(f"cannot read {path}: {error}") from None
    props = {prop.key: prop.value for prop in model.metadata_props}
    card = parse_card(props.get(CARD_KEY, ""), str(path))
    known = {_measured(score): score for score in (*card.scores, *scores)}
    card = card.model_copy(update={"scores": tuple(known.values())})
    with atomic(path) as temporary:
        temporary.write_bytes(with_card(model, card))
    return card


DECISIVE = (
    *("metric", "samples", "real", "split", "data", "seed", "truncation", "data compared with"),
    *("extractor", "weights", "preprocessing"),
)
"""What decides a file's score, beside options of the metric and of the features. The seed is there: other samples make
another score. Versions and the floor are not: what was measured again with a newer library replaces the older."""


def _measured(score: Score) -> tuple[object, ...]:
    """What has to differ for two scores to be two."""
    told = score.provenance
    options = (f"{told.get('metric')}.", "features.")
    return (score.name, frozenset((k, v) for k, v in told.items() if k in DECISIVE or k.startswith(options)))


def with_card(model: onnx.ModelProto, card: Card) -> bytes:
    """The whole file."""
    others = {prop.key: prop.value for prop in model.metadata_props}
    onnx.helper.set_model_props(model, {**others, CARD_KEY: card.model_dump_json()})
    return bytes(model.SerializeToString(deterministic=True))


def offered(run: Run) -> Mapping[str, Export]:
    """The networks a run has for users, by name.

    Raises:
        GanforgeError: none.
    """
    if not (exports := run.game.exports()):
        raise GanforgeError(f"{run.directory} has nothing to export: its generator is another run's; export that one")
    return exports


def _choose(run: Run, name: str | None) -> tuple[str, Export]:
    exports = offered(run)
    if name is None and len(exports) > 1:
        raise GanforgeError(f"this game has several networks to export; choose one of {', '.join(exports)}")
    name = next(iter(exports)) if name is None else name
    if name not in exports:
        raise unknown("network", name, exports)
    return name, exports[name]


def _card(run: Run, name: str, wanted: Export, form: Form) -> Card:
    config = run.config
    recipe = run.registry.find("recipe", config.recipe.name)
    owner = run.registry.owner("recipe", config.recipe.name)
    return Card(
        recipe=recipe.name,
        # A single-file plugin's "distribution" is its path, which is nobody's business but its owner's.
        plugin=f"{owner.name} ({Path(owner.distribution).name})",
        paper=recipe.paper,
        architecture=config.architecture.name,
        network=name,
        data=run.data,
        dataset=config.data.name,
        dataset_options=_shareable(config.data.values),
        data_fingerprint=run.fingerprint,
        latent=config.latent,
        inputs=_inputs(run, wanted, form),
        outputs=(form.output_of(run.data, wanted.scale),),
        precision=form.precision,
        rounds=run.round,
        images_seen=run.round * images_per_round(config),
        config_sha256=config.digest(),
        ganforge=own_version(),
    )


def _inputs(run: Run, wanted: Export, form: Form) -> tuple[Input, ...]:
    if wanted.multiple:
        return form.image_of(run.data.shape[0], wanted.multiple, wanted.least)
    classes = len(run.data.classes) if wanted.labelled else 0
    return form.inputs_of(run.config.latent, classes, styled=truncates(run.game.ema[wanted.network]))


def _shareable(options: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's options without those that name a place on this machine."""
    plain = {key: value for key, value in options.items() if isinstance(value, bool | int | float | str)}
    return {key: value for key, value in plain.items() if not (isinstance(value, str) and os.sep in value)}
