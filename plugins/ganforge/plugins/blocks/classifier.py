"""A small classifier: three convolutions; how it is trained, and where it is kept."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganforge.core import ArrayData, Data, DataSpec, GanforgeError
from ganforge.core.evaluation import Extractor, Features
from ganforge.core.files import atomic, cache_directory
from ganforge.plugins.blocks.settings import ClassifierOptions
from ganforge.plugins.blocks.weights import hash_weights

log = logging.getLogger("ganforge")

HELD_OUT = 10  # one training picture in ten tells the accuracy
BATCH = 128


def classifier_of(training: Data, options: ClassifierOptions) -> Classifier:
    """The classifier of labelled data, from where it is kept or trained now: a minute or two.

    Raises:
        GanforgeError: the data has too few samples to hold any out.
    """
    if len(training) < HELD_OUT:
        raise GanforgeError(f"a classifier needs at least {HELD_OUT} training samples, not {len(training)}")
    with torch.random.fork_rng():
        classifier = fresh(training.spec, options)
        if not _read(classifier, options, training):
            log.warning("training the classifier of this data set, once: a minute or two")
            classifier.teach(training, options)
            _keep(classifier, options, training)
    classifier.weights = hash_weights(classifier)
    classifier.provenance = {"classifier accuracy": round(float(classifier.accuracy), 4)}
    return classifier


def fresh(data: DataSpec, options: ClassifierOptions) -> Classifier:
    """One that knows nothing yet; what torch draws from here on, dropout among it, follows the seed."""
    torch.manual_seed(options.seed)
    return Classifier(options.width, data.shape[0], len(data.classes))


def _file(options: ClassifierOptions, training: Data) -> Path:
    """Its name hashes all that decides what the classifier learns."""
    parts = f"{training.fingerprint} {options.model_dump_json()} {torch.__version__} 1"
    return cache_directory() / "classifiers" / f"{hashlib.sha256(parts.encode()).hexdigest()[:32]}.safetensors"


def _read(classifier: Classifier, options: ClassifierOptions, training: Data) -> bool:
    """Whether it was there. Only data in memory has a fingerprint of its pixels."""
    if not isinstance(training, ArrayData):
        return False
    try:
        classifier.load_state_dict(load_file(_file(options, training)))
    except (OSError, SafetensorError):
        return False
    return True


def _keep(classifier: Classifier, options: ClassifierOptions, training: Data) -> None:
    try:
        with atomic(_file(options, training)) as path:
            save_file(classifier.state_dict(), path)
    except (GanforgeError, SafetensorError) as error:
        log.warning("the classifier cannot be kept, and will be trained again: %s", error)


class Classifier(Extractor):
    """[N, C, H, W] in [0, 255] to 4 × width × 4 features and a logit for each class."""

    preprocessing = "x / 127.5 - 1"
    accuracy: Tensor

    def __init__(self, width: int, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((channels, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.dim, self.classes = 16 * width, classes
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(self.dim, classes))
        self.register_buffer("accuracy", torch.zeros(()))

    def embed(self, pixels: Tensor) -> Features:
        features = self.trunk(pixels / 127.5 - 1)
        return Features(features, self.head(features))

    def teach(self, data: Data, options: ClassifierOptions) -> None:
        """Learn from nine tenths of the data, and measure the accuracy on the rest."""
        random = np.random.default_rng(options.seed)
        order = random.permutation(len(data))
        held, learned = order[: len(data) // HELD_OUT], order[len(data) // HELD_OUT :]
        self.learn(data, learned, options, random)
        self.accuracy.fill_(self.measure(data, held))

    def learn(self, data: Data, rows: np.ndarray, options: ClassifierOptions, random: np.random.Generator) -> None:
        """Learn from these rows of the data: Adam, over one cycle of its rate (Smith 2018, arXiv 1708.07120)."""
        optimizer, steps = torch.optim.Adam(self.parameters()), options.images // BATCH
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max(steps, 1))
        self.train()
        for _ in range(steps):
            pixels, labels = _batch(data, random.choice(rows, BATCH))
            optimizer.zero_grad()
            logits = self.embed(pixels).logits
            assert logits is not None
            nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()
            schedule.step()
        self.eval()

    @torch.no_grad()
    def measure(self, data: Data, rows: np.ndarray) -> float:
        """The share in [0, 1] of these rows whose largest logit is their label's."""
        right = 0
        for start in range(0, len(rows), 256):
            pixels, labels = _batch(data, rows[start : start + 256])
            logits = self.embed(pixels).logits
            assert logits is not None
            right += int((logits.argmax(dim=1) == labels).sum())
        return right / max(len(rows), 1)


def _batch(data: Data, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    images, labels = data.fetch(rows)
    assert labels is not None
    return torch.from_numpy(images).float(), torch.from_numpy(labels)
