"""A run directory becomes a file: freeze the network, trace it, prove it, write it with its card."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from ganforge.core.card import CARD_KEY, Card, Input, Output, Score, parse_card
from ganforge.core.config import images_per_round
from ganforge.core.errors import GanforgeError, unknown
from ganforge.core.files import atomic
from ganforge.core.game import Export
from ganforge.core.latents import Latent
from ganforge.core.run import Run
from ganforge.export.graph import freeze, trace
from ganforge.export.proof import prove

_IMAGES = Output(name="images", dtype="float32", layout="NCHW", low=-1, high=1)
_POINTS = Output(name="points", dtype="float32", layout="NK")


def export(run: Run, path: str | Path, *, network: str | None = None) -> Card:
    """Write a run's averaged generator as one self-contained ONNX file.

    Args:
        path: the file to write, ending in `.onnx`; what stands there is replaced.
        network: which one, where the game trains several.

    Returns:
        The card as it is in the file, with the figures of the proof.

    Raises:
        GanforgeError: no such network, a network that cannot be exported, or a graph that does not give what
            the network gives; nothing is written then.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise GanforgeError(f"an exported file's name ends in .onnx; {path} does not")
    if path.is_dir():
        raise GanforgeError(f"{path} is a directory; give the name of a file")
    name, wanted = _choose(run, network)
    card = _card(run, name, wanted)
    frozen = freeze(run.game.ema[wanted.network])
    model = trace(frozen, card)
    card = card.model_copy(update={"parity": prove(model, frozen, card)})
    _write(model, card, path)
    return card


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
    _write(model, card, path)
    return card


def _measured(score: Score) -> tuple[object, ...]:
    """What has to differ for two scores to be two."""
    return (score.name, *(score.provenance.get(key) for key in ("data", "split", "real", "seed", "truncation")))


def _write(model: onnx.ModelProto, card: Card, path: Path) -> None:
    others = {prop.key: prop.value for prop in model.metadata_props}
    onnx.helper.set_model_props(model, {**others, CARD_KEY: card.model_dump_json()})
    with atomic(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _choose(run: Run, name: str | None) -> tuple[str, Export]:
    exports = run.game.exports()
    if name is None and len(exports) > 1:
        raise GanforgeError(f"this game has several networks to export; choose one of {', '.join(exports)}")
    name = next(iter(exports)) if name is None else name
    if name not in exports:
        raise unknown("network", name, exports)
    return name, exports[name]


def _card(run: Run, name: str, wanted: Export) -> Card:
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
        inputs=_inputs(config.latent, len(run.data.classes) if wanted.labelled else 0),
        outputs=(_IMAGES if run.data.kind == "images" else _POINTS,),
        rounds=run.round,
        images_seen=run.round * images_per_round(config),
        config_sha256=config.digest(),
        ganforge=_own_version(),
    )


def _shareable(options: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's options without those that name a place on this machine."""
    plain = {key: value for key, value in options.items() if isinstance(value, bool | int | float | str)}
    return {key: value for key, value in plain.items() if not (isinstance(value, str) and os.sep in value)}


def _inputs(latent: Latent, classes: int) -> tuple[Input, ...]:
    bound = {"uniform": 1.0, "truncated-normal": latent.truncation}.get(latent.name)
    low = None if bound is None else -bound
    inputs = [Input(name="z", role="z", dtype="float32", width=latent.dim, low=low, high=bound)]
    if latent.codes:
        inputs.append(Input(name="codes", role="codes", dtype="float32", width=latent.codes, low=-1, high=1))
    if classes:
        inputs.append(Input(name="label", role="label", dtype="int64", width=1, low=0, high=classes - 1))
    return tuple(inputs)


def _own_version() -> str:
    try:
        return version("ganforge")
    except PackageNotFoundError:
        return "source tree"
