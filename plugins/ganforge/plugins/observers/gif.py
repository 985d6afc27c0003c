"""The training as an animation: RUN/samples/progress.gif, made of the sample pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.core import GanforgeError, Observer, Options, RunInfo, RunObserver, hookimpl
from ganforge.core.files import atomic
from ganforge.plugins.observers.run_files import Snapshot, evenly, open_picture, snapshots

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger("ganforge")

FRAMES = 60
FRAME_MS, LAST_MS = 120, 2000
SIDE = 640
CAPTION = 18


class Gif(RunObserver):
    """Rewrites the animation at the end, and whenever there are twice as many snapshots as it was made of."""

    def run_started(self, info: RunInfo) -> None:
        self.directory, self.round, self.written = info.directory, info.start, 0

    def snapshot_saved(self, round_: int, picture: Path) -> None:
        self.round = round_
        shots = snapshots(self.directory, self.round)
        if len(shots) >= max(2, 2 * self.written):
            self._write(shots)

    def run_finished(self, status: str) -> None:
        self._write(snapshots(self.directory, self.round))

    def _write(self, shots: Sequence[Snapshot]) -> None:
        self.written = len(shots)
        try:
            animate(shots, self.directory / "samples" / "progress.gif")
        except (GanforgeError, ValueError) as error:
            log.warning("no animation: %s", error)


def animate(shots: Sequence[Snapshot], path: Path) -> None:
    """Write at most `FRAMES` pictures, evenly chosen, as a looping GIF; nothing if none is readable."""
    chosen = [(shot.round, open_picture(shot.path, SIDE)) for shot in evenly(shots, FRAMES)]
    readable = [(round_, picture) for round_, picture in chosen if picture is not None]
    if not readable:
        return
    last = readable[-1][1]
    first, *rest = [_frame(picture, last, f"round {round_:,}") for round_, picture in readable]
    durations = [FRAME_MS] * len(rest) + [LAST_MS]
    with atomic(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0)


def _frame(picture: Image, last: Image, caption: str) -> Image:
    """The picture, captioned, in the size and mode of the last one: other settings may have made another."""
    from PIL import Image, ImageDraw, ImageOps

    fitted = ImageOps.pad(picture.convert(last.mode), last.size)
    frame = Image.new(last.mode, (last.width, last.height + CAPTION))
    frame.paste(fitted)
    ImageDraw.Draw(frame).text((4, last.height + 3), caption, fill="white")
    return frame if last.mode == "L" else frame.quantize(256, dither=Image.Dither.NONE)


def build(options: Options) -> RunObserver:
    return Gif()


@hookimpl
def ganforge_observers() -> list[Observer[Any]]:
    return [Observer(name="gif", summary="samples/progress.gif, the training as an animation", build=build)]
