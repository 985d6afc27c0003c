"""A generator from a file: load it, sample from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ganforge.core.card import Card, Input
from ganforge.core.data import check_labels
from ganforge.core.errors import GanforgeError
from ganforge.core.latents import Generator, picture_seeds
from ganforge.core.pictures import from_pixels, to_pixels
from ganforge.serve.runtime import Session

_GIVEN = {"z", "codes", "truncation", "label"}
_SEEDED = {"seed", "truncation", "label"}
_TRANSLATED = {"image"}
_OUTPUTS = {
    "images": {("images", "float32", "NCHW"), ("images", "uint8", "NHWC")},
    "points": {("points", "float32", "NK")},
}
_PATIENCE = 60.0  # seconds for the first sample; the largest generators take a few on a slow machine
_LARGEST = 2**31  # bytes; protobuf, in which ONNX is written, ends there


def load(path: str | Path, *, device: str = "auto", threads: int = 0, spin: bool = True) -> Model:
    """Open an exported file.

    Args:
        device: `cpu`, `cuda`, or `auto` for CUDA where it works.
        threads: processor threads that share one batch, 0 for one per core.
        spin: whether these keep a core busy while they wait; see `Session`.

    Raises:
        GanforgeError: no such file, not one that `ganforge export` wrote, damaged, or no such device.
    """
    path = Path(path)
    try:
        if (size := path.stat().st_size) >= _LARGEST:
            raise GanforgeError(f"{path} has {size} bytes, more than an ONNX model can have")
        content = path.read_bytes()
    except OSError as error:
        raise GanforgeError(f"cannot read {path}: {error.strerror or error}") from None
    return Model(Session(content, str(path), device, threads=threads, spin=spin))


class Model:
    """An exported generator. `card` says what it is; it may be used from several threads at once."""

    def __init__(self, session: Session) -> None:
        """Take a session whose card is known here and true: one sample is made to see that.

        Raises:
            GanforgeError: no card, another than the graph's, or one of a newer ganforge.
        """
        self._session = session
        self.card: Card = session.card()
        roles = {one.role for one in self.card.inputs}
        outputs = [(one.name, one.dtype, one.layout) for one in self.card.outputs]
        known = len(outputs) == 1 and outputs[0] in _OUTPUTS[self.card.data.kind]
        if not known or not (roles <= _GIVEN or roles <= _SEEDED or roles == _TRANSLATED):
            raise GanforgeError(f"{session.where} has inputs or outputs unknown to this ganforge: upgrade it")
        example = self.card.example(1)
        self._sized(example, session.try_out(example, _PATIENCE))

    @property
    def device(self) -> str:
        """Where it runs: `cpu` or `cuda`."""
        return self._session.device

    @property
    def image(self) -> Input:
        """The input for pictures, of a model that translates them.

        Raises:
            GanforgeError: it makes its pictures of latents.
        """
        if self.card.image is None:
            raise GanforgeError(f"{self._session.where} makes pictures of latents, and translates none")
        return self.card.image

    @property
    def generator(self) -> Generator:
        """This model for callers who choose latents, as far as it takes them, or take samples by number."""
        card = self.card
        return Generator(
            card.latent,
            card.data,
            card.labelled,
            self.generate,
            make_of_seeds=self.of_seeds if card.seeded else None,
            styled=card.styled,
            rounds=card.outputs[0].dtype == "uint8" or card.precision != "fp32",
        )

    def sample(
        self,
        n: int,
        seed: int = 0,
        *,
        start: int = 0,
        label: str | int | None = None,
        truncation: float | None = None,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Samples `start` … `start + n` of `seed`: the ones its run gives, in any split into batches.

        Args:
            label: the class of all samples, by name or number; by default a labelled model takes all in turn.
            truncation: keep |z| below this (Brock et al., arXiv 1809.11096, section 3.1), or in a model with styles
                these so near to their mean (ψ of Karras et al., arXiv 1812.04948, appendix B).
            batch_size: how many go through the network at once: memory against speed.

        Returns:
            Images as uint8 [n, H, W, C], points as float32 [n, 2].

        Raises:
            GanforgeError: a number out of range, a class that does not exist.
        """
        self._check_makes()
        for name, value, least in (("n", n, 1), ("start", start, 0), ("batch_size", batch_size, 1)):
            if value < least:
                raise GanforgeError(f"{name} must be at least {least}, not {value}")
        if truncation is not None and not truncation > 0:
            raise GanforgeError(f"truncation must be above 0, not {truncation}")
        labels = self._labels(label, n, start)
        seeds = picture_seeds(seed, n, start=start)
        pieces = []
        for at in range(0, n, batch_size):
            rows = slice(at, at + batch_size)
            piece = None if labels is None else labels[rows]
            samples = self._session.run(self.card.feed_seeds(seeds[rows], piece, truncation=truncation))
            pieces.append(to_pixels(samples) if self.card.outputs[0].layout == "NCHW" else samples)
        return np.concatenate(pieces)

    def generate(
        self, latents: np.ndarray, labels: np.ndarray | None = None, *, truncation: float | None = None
    ) -> np.ndarray:
        """What the network makes of latents: float32, images [N, C, H, W] in [-1, 1] or points [N, 2].

        Args:
            latents: [N, card.latent.width], z and then the codes.
            labels: class numbers [N], where the model takes them.
            truncation: ψ, where the model has styles.

        Raises:
            GanforgeError: arrays of another shape; labels missing, not wanted or out of range; a file that makes its
                own latents.
        """
        self._check_makes()
        if self.card.seeded:
            raise GanforgeError(f"{self._session.where} makes its own latents; export it with --inputs z to give them")
        width = self.card.latent.width
        if latents.ndim != 2 or latents.shape[1] != width or not len(latents):
            raise GanforgeError(f"latents must be an array [N, {width}], not {list(latents.shape)}")
        self._check_labels(labels, len(latents))
        return self._floats(self._session.run(self.card.feed(latents, labels, truncation=truncation)))

    def of_seeds(
        self, seeds: np.ndarray, labels: np.ndarray | None = None, truncation: float | None = None
    ) -> np.ndarray:
        """What `generate` gives for the latents of picture seeds, int64 [N] as from `latents.picture_seeds`."""
        self._check_makes()
        self._check_labels(labels, len(seeds))
        return self._floats(self._session.run(self.card.feed_seeds(seeds, labels, truncation=truncation)))

    def translate(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures as the network translates them: uint8 [N, H, W, C] to the same, of `card.scale` times the sides.

        Sides that the network cannot take are filled up at the bottom and the right with the picture's mirror image,
        which is cut off again.

        Raises:
            GanforgeError: a model that makes pictures of latents; arrays of another shape or type.
        """
        image = self.image
        if pictures.ndim != 4 or pictures.shape[3] != image.width or pictures.dtype != np.uint8 or not pictures.size:
            raise GanforgeError(
                f"pictures must be uint8 [N, H, W, {image.width}], not {pictures.dtype} {list(pictures.shape)}"
            )
        height, width = pictures.shape[1:3]
        filled = np.pad(
            pictures, ((0, 0), (0, _missing(height, image)), (0, _missing(width, image)), (0, 0)), "symmetric"
        )
        images = self.run(self.card.feed_images(from_pixels(filled)))
        translated = images if images.dtype == np.uint8 else to_pixels(images)
        return translated[:, : self.card.scale * height, : self.card.scale * width]

    def _check_makes(self) -> None:
        if self.card.image is not None:
            raise GanforgeError(
                f"{self._session.where} translates pictures, and makes none of latents: ganforge translate "
                f"{self._session.where} PICTURES OUT"
            )

    def _floats(self, samples: np.ndarray) -> np.ndarray:
        return from_pixels(samples) if samples.dtype == np.uint8 else samples

    def run(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        """The graph's output for its inputs by name, which nobody checks: for callers who have.

        Raises:
            GanforgeError: onnxruntime could not run it, or a translation has not the size that the card says.
        """
        return self._sized(feed, self._session.run(feed))

    def _sized(self, feed: Mapping[str, np.ndarray], output: np.ndarray) -> np.ndarray:
        if self.card.image is not None:
            wanted = self.card.translated(feed[self.card.image.name].shape)
            if output.shape != wanted:
                raise GanforgeError(
                    f"{self._session.where} gives {list(output.shape)}, and its card says {list(wanted)}"
                )
        return output

    def _labels(self, label: str | int | None, n: int, start: int) -> np.ndarray | None:
        if not self.card.labelled:
            if label is not None:
                raise GanforgeError(f"{self._session.where} was trained without labels; leave the label out")
            return None
        return self.card.data.labels(n, label, start=start)

    def _check_labels(self, labels: np.ndarray | None, n: int) -> None:
        if (labels is not None) != self.card.labelled:
            rule = "needs" if self.card.labelled else "takes no"
            raise GanforgeError(f"{self._session.where} {rule} labels")
        if labels is not None:
            check_labels(labels, n, len(self.card.data.classes))


def _missing(side: int, image: Input) -> int:
    """By how many pixels a picture's side is too short for the network."""
    wanted = max(side, image.least)
    return wanted + -wanted % image.multiple - side
