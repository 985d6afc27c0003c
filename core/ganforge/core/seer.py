"""The extractor at work: features of samples, and those of real ones kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganforge.core.config import attributed
from ganforge.core.data import Data
from ganforge.core.errors import GanforgeError
from ganforge.core.evaluation import Asked, Extractor, Features, Side, Watch, side_of
from ganforge.core.files import atomic, cache_directory
from ganforge.core.options import parse
from ganforge.core.registry import Registry
from ganforge.core.specs import FeatureExtractor, Metric
from ganforge.core.versions import versions

log = logging.getLogger("ganforge")


class Seer:
    """The extractor, which remembers real sides: in files, each under a hash of all that changes its features."""

    def __init__(self, training: Data, asked: Asked, registry: Registry) -> None:
        if asked.extractor is None:
            raise GanforgeError("these metrics need features: pip install 'ganforge[evaluate]', or --features NAME")
        self.name, self.device, self.registry = asked.extractor, asked.device, registry
        spec: FeatureExtractor[Any] = registry.find("extractor", self.name)
        self.options = parse(spec.options, asked.extractor_options, "features")
        require(spec)
        self._versions = versions((*spec.requires, spec.build.__module__))
        with attributed(registry, "extractor", self.name, "build"):
            extractor: Extractor = spec.build(self.options, training)
            self.extractor = extractor.eval().requires_grad_(False).to(self.device)
            self._told = {"weights": extractor.weights, "preprocessing": extractor.preprocessing}
        self._known: Features | None = None
        self._seen: list[Features] = []

    def recall(self, side: Side) -> bool:
        """Begin with a side; whether its features are known."""
        self._known, self._seen = self._read(side), []
        return self._known is not None

    def look(self, side: Side, start: int, n: int, images: Tensor | None) -> Features:
        """Features of the `n` samples from `start` of the side begun with, on the CPU; images of those not known.

        A side is seen in order.
        """
        if self._known:
            rows = slice(start, start + n)
            return Features(*(None if part is None else part[rows] for part in self._known))  # type: ignore[arg-type]
        assert images is not None
        with attributed(self.registry, "extractor", self.name, "forward"):
            features, logits = self.extractor(images)
        seen = Features(features.cpu(), None if logits is None else logits.cpu())
        if side.key:
            self._seen.append(seen)
            if start + n == side.count:
                self._write(side)
        return seen

    def whole(self, name: str, data: Data, batch_size: int, watch: Watch, order: np.ndarray | None = None) -> Features:
        """Features of all of a split, in its order, or of some of it in another."""
        which = "all" if order is None else hashlib.sha256(order.tobytes()).hexdigest()
        side = side_of(name, data, np.arange(len(data)) if order is None else order, which)
        self.recall(side)
        if self._known is not None:
            watch(name, side.count, side.count)
            return self._known
        seen: list[Features] = []
        for start in range(0, side.count, batch_size):
            n = min(batch_size, side.count - start)
            samples = torch.from_numpy(np.ascontiguousarray(side.sample(start, n)[0]))
            seen.append(self.look(side, start, n, samples.to(self.device)))
            watch(name, start + n, side.count)
        logits = [batch.logits for batch in seen if batch.logits is not None]
        return Features(torch.cat([batch.features for batch in seen]), torch.cat(logits) if logits else None)

    def provenance(self) -> dict[str, str | int | float]:
        """Which features these are, and what computed them."""
        options = {f"features.{key}": plain(v) for key, v in self.options.model_dump(mode="json").items()}
        return {"extractor": self.name, **options, **self._told, **self.extractor.provenance, **self._versions}

    def _read(self, side: Side) -> Features | None:
        if not side.key:
            return None
        try:
            tensors = load_file(self._file(side))
            return Features(tensors["features"], tensors.get("logits"))
        except (OSError, KeyError, SafetensorError):
            return None

    def _write(self, side: Side) -> None:
        """Keep what was seen; where that cannot be, it will be seen again."""
        whole = {"features": torch.cat([seen.features for seen in self._seen])}
        if logits := [seen.logits for seen in self._seen if seen.logits is not None]:
            whole["logits"] = torch.cat(logits)
        self._seen = []
        try:
            with atomic(self._file(side)) as path:
                save_file(whole, path)
        except (GanforgeError, SafetensorError) as error:
            log.warning("features of real samples cannot be kept, and will be computed again: %s", error)

    def _file(self, side: Side) -> Path:
        parts = [side.key, self.provenance(), self.device]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return cache_directory() / "features" / f"{digest[:32]}.safetensors"


def require(spec: Metric[Any] | FeatureExtractor[Any]) -> None:
    """Raise ModuleNotFoundError for a module that is not installed: the command line knows what brings it."""
    for module in spec.requires:
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named '{module}'", name=module)


def plain(value: Any) -> str | int | float:
    """A value of an option as a score tells it."""
    return value if isinstance(value, int | float) else str(value)
