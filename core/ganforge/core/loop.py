"""The loop that plays a game: one file, top to bottom, and no paper in it."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

import numpy as np
import torch

from ganforge.core import checkpoint, distributed
from ganforge.core.config import images_per_round
from ganforge.core.draw import Draw, Stream, hash64
from ganforge.core.errors import Interrupted, TrainingFailed
from ganforge.core.files import append_line, write_text
from ganforge.core.game import Clock, Game, Objective, Player
from ganforge.core.observers import RunInfo, RunObserver
from ganforge.core.pictures import save_samples
from ganforge.core.timing import Time


def play(game: Game, stream: Stream, info: RunInfo, observers: Sequence[RunObserver]) -> None:
    """Play from `info.start` to the config's last round, writing into the run directory.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the round in play was finished and saved.
        TrainingFailed: a loss or a weight is no longer finite; the last good checkpoint is named.
    """
    config = game.config
    recorder = Recorder(game, stream, info, observers)
    with _seeded(), _stop_signal() as stop, recorder:
        for round_ in range(info.start, config.steps):
            clock = Clock(round_, config.steps, round_ * images_per_round(config))
            done = round_ + 1
            log = done % config.log_every == 0 or done % config.every == 0 or done == config.steps
            moves = play_round(game, stream, clock, measure=log)

            # Nothing in a round waits for the device; reading a figure does, so that happens only when one is due.
            if log:
                recorder.log(done, moves)
            stopped = distributed.agree(stop.is_set()) if log or distributed.world() == 1 else False
            if done % config.every == 0 or done == config.steps or stopped:
                recorder.snapshot(done)
                recorder.checkpoint(done)
            if stopped and done < config.steps:
                raise Interrupted(f"stopped after round {done}; go on with: ganforge resume {info.directory}")


Move = tuple[Objective, torch.Tensor | None]
"""A player's last move in a round, and the norm of its gradient where it was measured."""


def play_round(game: Game, stream: Stream, clock: Clock, *, measure: bool = False) -> list[Move]:
    """Every player moves as often as the schedule says; then the averages follow."""
    game.before_round(clock)
    moves: list[Move] = []
    for player in game.moving(clock):
        for move in range(player.config.moves):
            player.optimizer.zero_grad(set_to_none=True)
            for piece in range(game.config.accumulate):
                objective = game.objective(player, _draw(game, stream, player, clock.round, move, piece), clock)
                _differentiate(player, objective, game.config.accumulate)
            norm = _descend(player, measure=measure)
            game.after_step(objective.step)
        moves.append((objective, norm))
    game.average(clock)
    return moves


def _draw(game: Game, stream: Stream, player: Player, round_: int, move: int, piece: int) -> Draw:
    pieces = game.config.accumulate
    n = game.config.batch_size // (distributed.world() * pieces)
    position = round_ * player.config.moves + move
    draw = Draw(
        game.config.seed, round_, player.name, move, n, game.device, stream, position, piece=piece, pieces=pieces
    )
    # Layers that draw from torch's own generator (dropout) follow the position too, each share on its own.
    torch.manual_seed(hash64(draw.key("layers"), draw.share))
    return draw


def _differentiate(player: Player, objective: Objective, pieces: int) -> None:
    """Add a piece's share to the gradient of the player's parameters."""
    loss = player.scaler.scale(objective.loss / pieces)
    loss.backward(inputs=player.parameters, retain_graph=objective.keep_graph)


def _descend(player: Player, *, measure: bool) -> torch.Tensor | None:
    """One optimizer step of one player; returns the norm of its gradient where asked."""
    distributed.average_gradients(player.parameters)
    norm = None
    if measure:
        player.scaler.unscale_(player.optimizer)
        norm = torch.nn.utils.get_total_norm([p.grad for p in player.parameters if p.grad is not None])
        if player.scaler.is_enabled() and not torch.isfinite(norm):
            norm = None  # fp16 has not found its scale yet, and skips this step
    player.scaler.step(player.optimizer)
    player.scaler.update()
    return norm


class Recorder:
    """Writes a run's files and tells the observers; only the first process does."""

    def __init__(self, game: Game, stream: Stream, info: RunInfo, observers: Sequence[RunObserver]) -> None:
        self.game, self.info = game, info
        self.observers = observers if distributed.rank() == 0 else ()
        self.writes = distributed.rank() == 0
        self.latents, self.labels = _fixed_inputs(game)
        self.data = stream.data
        self.reference = (
            stream.data.fetch(np.arange(min(2000, len(stream.data))))[0] if game.data.kind == "points" else None
        )
        self.since, self.since_round = Time.now(), info.start

    def __enter__(self) -> None:
        if self.writes:
            self._drop_beyond(self.info.start)
        for observer in self.observers:
            observer.run_started(self.info)
        if self.info.start == 0:
            self.snapshot(0)
        self.since = Time.now()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        status = "finished" if error is None else f"failed: {error}"
        if isinstance(error, Interrupted | KeyboardInterrupt):
            status = "interrupted"
        for observer in self.observers:
            observer.run_finished(status)

    def log(self, done: int, moves: Sequence[Move]) -> None:
        """Read the round's figures, stop on non-finite ones, write a line and tell the observers."""
        figures: dict[str, torch.Tensor] = {}
        for objective, norm in moves:
            figures |= objective.scalars
            if norm is not None:
                figures[f"gradient_norm/{objective.step.player.name}"] = norm
            if objective.step.player.role == "discriminator" and len(objective.step.fake) > 1:
                figures["diversity"] = _spread(objective.step.fake) / _spread(objective.step.real)
        spent, images = Time.now().since(self.since), images_per_round(self.game.config)
        record = {
            "round": done,
            "images": done * images,
            "epoch": round(done * images / self.info.data_size, 4),
            "seconds": round(spent.clock, 3),
            "cpu_seconds": round(spent.cpu, 3),
            "images_per_second": round((done - self.since_round) * images / max(spent.clock, 1e-9), 1),
            **{name: float(value) for name, value in figures.items()},
        }
        for observer in self.observers:
            record |= observer.measure(self.game, done)
        if self.writes:
            append_line(self.info.directory / "metrics.jsonl", json.dumps(_without_nan(record)))
        for observer in self.observers:
            observer.step_logged(record)
        self.since, self.since_round = Time.now(), done
        bad = [name for name, value in record.items() if name.startswith("loss/") and not math.isfinite(value)]
        if bad:
            raise self.failed(done, f"{' and '.join(bad)} {'is' if len(bad) == 1 else 'are'} not finite")

    def snapshot(self, done: int) -> None:
        if not self.writes:
            return
        picture = self.info.directory / "samples" / f"{done:06d}.png"
        samples, labels = self.game.pictured(self.latents, self.labels, self.data)
        save_samples(samples, picture, labels=labels, reference=self.reference)
        for observer in self.observers:
            observer.snapshot_saved(done, picture)

    def checkpoint(self, done: int) -> None:
        broken = [name for name, value in self.game.state_dict().items() if not torch.isfinite(value).all()]
        if broken:
            raise self.failed(done, f"the weight {broken[0]} is not finite")
        if self.writes:
            checkpoint.save(self.game, self.info.directory / "checkpoints", done, self.game.config.keep)
        self.since = Time.now()  # the next figure for images/s is about playing, not about writing

    def failed(self, done: int, reason: str) -> TrainingFailed:
        known = checkpoint.available(self.info.directory / "checkpoints")
        good = f"the last good checkpoint is {known[-1]}" if known else "no checkpoint was made before"
        return TrainingFailed(
            f"training stopped in round {done}: {reason}; {good}; try a smaller learning "
            f"rate: ganforge train --config {self.info.directory / 'config.toml'} --set discriminator.lr=…"
        )

    def _drop_beyond(self, start: int) -> None:
        """What was written after the checkpoint we resume from will be written again."""
        for picture in (self.info.directory / "samples").glob("*.png"):
            if picture.stem.isdigit() and int(picture.stem) > start:
                picture.unlink()
        path = self.info.directory / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        write_text(path, "".join(line + "\n" for line in lines if 0 < _round_of(line) <= start))


def _fixed_inputs(game: Game) -> tuple[np.ndarray, np.ndarray | None]:
    """What every sample picture is made from. With classes: each class from the same latents, in turn."""
    seed, n = game.config.seed, game.config.samples
    if not game.labelled:
        return game.inputs(seed, n), None
    classes = len(game.data.classes)
    n = max(n - n % classes, classes)
    latents = game.inputs(seed, n // classes)
    return latents.repeat(classes, axis=0), game.data.labels(n)


def _without_nan(record: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: a value that is not finite is null in the file."""
    return {name: value if math.isfinite(value) else None for name, value in record.items()}


def _round_of(line: str) -> int:
    """The round of a line of metrics.jsonl; 0 for one a crash cut off."""
    try:
        return int(json.loads(line)["round"])
    except (ValueError, KeyError, TypeError):
        return 0


def _spread(samples: torch.Tensor) -> torch.Tensor:
    """Mean over all values of their standard deviation within the batch."""
    return samples.detach().float().std(dim=0, correction=0).mean()


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Leave torch's own random state as we found it."""
    with torch.random.fork_rng():
        yield


@contextlib.contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """The first Ctrl-C or SIGTERM asks for a stop after the round; the second stops at once."""
    stop = threading.Event()

    def handler(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
