"""Frames as a video that every player and browser shows: H.264, yuv420p. Needs the extra `video`, which has ffmpeg."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np

from ganforge.core.files import atomic
from ganforge.core.pictures import FRAME_MS, GROUND

SHARP = ["-crf", "14", "-movflags", "+faststart"]  # small pictures: detail costs little


def save_video(frames: Sequence[np.ndarray], path: Path) -> None:
    """Write uint8 [h, w, C] frames of one size as MP4, atomically; an odd side gets a line more, as the format wants.

    Raises:
        GanforgeError: it cannot be written there; an older file stays.
    """
    height, width, channels = frames[0].shape
    size = (width + width % 2, height + height % 2)
    with atomic(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            temporary,
            size,
            pix_fmt_in="gray" if channels == 1 else "rgb24",
            fps=1000 / FRAME_MS,
            quality=None,
            codec="libx264",
            macro_block_size=2,
            output_params=SHARP,
        )
        with closing(writer):
            writer.send(None)
            for frame in frames:
                even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=GROUND)
                writer.send(np.ascontiguousarray(even))
