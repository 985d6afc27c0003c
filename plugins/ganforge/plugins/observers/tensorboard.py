"""The run's figures and pictures for TensorBoard, in RUN/tensorboard."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.core import Observer, Options, Record, RunInfo, RunObserver, hookimpl
from ganforge.plugins.observers.run_files import open_picture

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger("ganforge")

SIDE = 2048


class TensorBoard(RunObserver):
    """Scalars under the record's names, the sample picture as `samples`; the step is the round."""

    writer: SummaryWriter | None = None

    def run_started(self, info: RunInfo) -> None:
        # What was written beyond the checkpoint will be written again: TensorBoard is to drop it.
        self.writer = _open(info.directory / "tensorboard", info.start + 1 if info.start else 0)

    def step_logged(self, record: Record) -> None:
        self._write(lambda writer: _add_scalars(writer, record))

    def snapshot_saved(self, round_: int, picture: Path) -> None:
        self._write(lambda writer: _add_picture(writer, round_, picture))

    def run_finished(self, status: str) -> None:
        self._write(lambda writer: writer.close())
        self.writer = None

    def _write(self, action: Callable[[SummaryWriter], None]) -> None:
        """Do it, and give up writing for good when the file system refuses."""
        if self.writer is None:
            return
        try:
            action(self.writer)
        except OSError as error:
            log.warning("no more TensorBoard events: %s", error)
            self.writer = None


def _add_scalars(writer: SummaryWriter, record: Record) -> None:
    for name, value in record.items():
        if name != "round":
            writer.add_scalar(name, value, int(record["round"]))


def _add_picture(writer: SummaryWriter, round_: int, picture: Path) -> None:
    import numpy as np

    image = open_picture(picture, SIDE)
    if image is not None:
        layout = "HW" if image.mode == "L" else "HWC"
        writer.add_image("samples", np.asarray(image), round_, dataformats=layout)
    writer.flush()


def _open(directory: Path, purge_step: int) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(directory), purge_step=purge_step)
    except ImportError:
        log.warning("no TensorBoard events: the package is missing; pip install tensorboard")
    except OSError as error:
        log.warning("no TensorBoard events in %s: %s", directory, error)
    return None


def build(options: Options) -> RunObserver:
    return TensorBoard()


@hookimpl
def ganforge_observers() -> list[Observer[Any]]:
    return [Observer(name="tensorboard", summary="figures and pictures for TensorBoard", build=build)]
