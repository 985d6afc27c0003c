"""`digits`: 1,797 real handwritten digits, 8×8 in 17 grey levels, that come with the package.

Alpaydin and Kaynak's Optical Recognition of Handwritten Digits (UCI, 1998), CC BY 4.0, as scikit-learn
distributes it; see digits.ATTRIBUTION.txt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ganforge.core import ArrayData, DataRequest, Dataset, DataSpec, Options, hookimpl
from ganforge.plugins.datasets.common import resize, split_indices

FILE = Path(__file__).with_name("digits.npz")
RESOLUTION = 16  # unless asked otherwise: the least at which strokes look like strokes
LEVELS = 16  # the pictures' white; 0 is black


def load(options: Options, request: DataRequest) -> ArrayData:
    """The digits as grey images, 16×16 unless asked otherwise; 8 gives the originals."""
    with np.load(FILE, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    chosen = split_indices([image.tobytes() for image in images], request.split, "digits")
    pixels = np.rint(images[chosen, None] * (255 / LEVELS)).astype(np.uint8)
    pixels = resize(pixels, request.resolution or RESOLUTION, "digits")
    spec = DataSpec(shape=pixels.shape[1:], classes=tuple("0123456789"))
    return ArrayData(spec, pixels, labels[chosen].astype(np.int64))


@hookimpl
def ganforge_datasets() -> list[Dataset[Any]]:
    summary = f"1,797 real handwritten digits, built in; {RESOLUTION}×{RESOLUTION}, originals 8×8"
    return [Dataset(name="digits", summary=summary, load=load)]
