"""Checkpoints: tensors in safetensors and one small JSON. Nothing here is a pickle, nothing is half-written."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganforge.core.errors import GanforgeError
from ganforge.core.files import atomic_directory
from ganforge.core.game import Game, Player

FORMAT = 1
log = logging.getLogger("ganforge")


def save(game: Game, directory: Path, round_: int, keep: int) -> Path:
    """Write `directory/step-ROUND` and let go of all but the last `keep`.

    Raises:
        GanforgeError: the disk refused; earlier checkpoints are untouched.
    """
    path = directory / f"step-{round_:06d}"
    with atomic_directory(path) as folder:
        _write(folder / "networks.safetensors", game.state_dict())
        _write(folder / "optimizers.safetensors", _optimizer_tensors(game))
        position = {"format": FORMAT, "round": round_, "threads": torch.get_num_threads(), "torch": torch.__version__}
        (folder / "position.json").write_text(json.dumps(position, indent=1))
    for old in available(directory)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def available(directory: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(directory.glob("step-*"), key=lambda path: (len(path.name), path.name))


def load(game: Game, path: Path) -> int:
    """Put a checkpoint into a game built from the same config; returns the round it was made after.

    Raises:
        GanforgeError: damaged, made by another config, or of a newer format.
    """
    try:
        position = json.loads((path / "position.json").read_text())
        round_, version = int(position["round"]), int(position["format"])
        if version > FORMAT:
            raise GanforgeError(f"checkpoint {path} has format {version}; this ganforge reads up to {FORMAT}")
        networks, optimizers = (load_file(path / f"{name}.safetensors") for name in ("networks", "optimizers"))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        hint = "delete that folder to go on from the checkpoint before it, or from the start"
        raise GanforgeError(f"checkpoint {path} is damaged ({error}); {hint}") from None
    if position.get("torch") != torch.__version__:
        log.warning(
            "%s was made by torch %s; the last bits may differ under torch %s",
            path,
            position.get("torch"),
            torch.__version__,
        )
    try:
        game.load_state_dict(networks, strict=True)
        _restore_optimizers(game, optimizers)
    except (RuntimeError, KeyError, ValueError) as error:
        reason = str(error).replace("\n", " ").replace("\t", "")[:300]
        raise GanforgeError(f"checkpoint {path} does not fit the run's config: {reason}") from None
    return round_


def load_networks(game: Game, path: Path) -> None:
    """Put the networks of a checkpoint of another run, and their averages, into a game, as far as it takes them; all
    else stays as it is.

    Raises:
        GanforgeError: damaged, or of networks of other layers or sizes.
    """
    try:
        tensors = load_file(path / "networks.safetensors")
    except (OSError, SafetensorError) as error:
        raise GanforgeError(
            f"option 'start' (--from): checkpoint {path} is damaged ({error}); choose another"
        ) from None
    theirs, ours = _taken(game, tensors), _taken(game, game.state_dict())
    for name in [*ours, *theirs]:
        there, here = (_shape(tensors.get(name)) for tensors in (theirs, ours))
        if there != here:
            raise GanforgeError(
                f"option 'start' (--from): the networks of {path} do not fit: {name} is {there} there and {here} "
                "here; train with the settings of its run"
            )
    game.load_state_dict(theirs, strict=False)


def _taken(game: Game, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the networks a game takes over, and of their averages."""
    found = {}
    for name, tensor in tensors.items():
        holder, network, *_ = [*name.split("."), ""]  # the game's own tensors have no dot
        if holder in ("networks", "ema") and (not game.taken or network in game.taken):
            found[name] = tensor
    return found


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"of shape {list(tensor.shape)}"


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    kept: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        # safetensors refuses shared memory, and networks may share layers: each name gets its own copy.
        kept[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    try:
        save_file(kept, path)
    except SafetensorError as error:  # it wraps the operating system's errors, disk full among them
        raise OSError(f"{error}") from error


def _names(game: Game) -> dict[Tensor, str]:
    return {parameter: name for name, parameter in game.named_parameters()}


def _optimizer_tensors(game: Game) -> dict[str, Tensor]:
    names, tensors = _names(game), {}
    for player in game.players:
        for parameter, state in player.optimizer.state.items():
            for key, value in state.items():
                if value is not None:
                    tensors[f"{player.name}/{names[parameter]}/{key}"] = torch.as_tensor(value)
        if player.scaler.is_enabled():
            scale = player.scaler.state_dict()
            tensors[f"{player.name}//scaler"] = torch.tensor(
                [scale["scale"], scale["_growth_tracker"]], dtype=torch.float64
            )
    return tensors


def _restore_optimizers(game: Game, tensors: dict[str, Tensor]) -> None:
    parameters = dict(game.named_parameters())
    players = {player.name: player for player in game.players}
    for player in game.players:
        player.optimizer.state.clear()
    for path, value in tensors.items():
        owner, _, rest = path.partition("/")
        name, _, key = rest.rpartition("/")  # a parameter's name may have a slash
        if key == "scaler":
            _restore_scaler(players[owner], value)
            continue
        parameter = parameters[name]
        fused = any(group.get("fused") for group in players[owner].optimizer.param_groups)
        if fused:
            value = value.to(parameter.device)  # a fused kernel keeps its count of steps beside the moments
        if value.shape == parameter.shape:
            # Fused kernels walk raw memory: a moment must have its parameter's layout, channels-last or not.
            value = torch.empty_like(parameter).copy_(value).detach()
        players[owner].optimizer.state[parameter][key] = value


def _restore_scaler(player: Player, value: Tensor) -> None:
    state: dict[str, Any] = player.scaler.state_dict()
    state["scale"], state["_growth_tracker"] = float(value[0]), int(value[1])
    player.scaler.load_state_dict(state)
