"""The Open Inference Protocol, version 2, with Triton's extensions: what stock clients call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganforge.core.card import Card, Input, Output
from ganforge.core.versions import installed
from ganforge.serve.errors import Refused
from ganforge.serve.http import Answer, Request, as_json
from ganforge.serve.limits import Limits
from ganforge.serve.measures import ModelStats
from ganforge.serve.repository import Repository, Served
from ganforge.serve.tensors import DATATYPES, answer, parse

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
Names = Mapping[str, str]
"""What stands in an address: `model`, `version`."""


class Protocol:
    """One method for each call."""

    def __init__(self, repository: Repository, limits: Limits) -> None:
        self._repository, self._limits = repository, limits
        self.stopping = False
        """From the moment the server is told to stop it is no longer ready, though still alive."""

    async def live(self, request: Request, names: Names) -> Answer:
        return Answer()

    async def ready(self, request: Request, names: Names) -> Answer:
        return self._unless_stopping(bool(self._repository.loaded()))

    async def model_ready(self, request: Request, names: Names) -> Answer:
        self._served(names)
        return self._unless_stopping(True)

    async def server(self, request: Request, names: Names) -> Answer:
        return as_json({"name": "ganforge", "version": own_version(), "extensions": EXTENSIONS})

    async def metadata(self, request: Request, names: Names) -> Answer:
        served = self._served(names)
        versions = [one.version for one in self._repository.loaded(served.name)]
        inputs = [_tensor(one, one.sizes) for one in served.card.inputs]
        outputs = [_tensor(one, served.card.sizes(one)) for one in served.card.outputs]
        said = {"name": served.name, "versions": sorted(versions, key=int), "platform": PLATFORM}
        return as_json({**said, "inputs": inputs, "outputs": outputs})

    async def config(self, request: Request, names: Names) -> Answer:
        served = self._served(names)
        config = {
            "name": served.name,
            "platform": PLATFORM,
            "backend": "onnxruntime",
            "max_batch_size": self._limits.max_batch,
            "input": [_configured(one, one.sizes) for one in served.card.inputs],
            "output": [_configured(one, served.card.sizes(one)) for one in served.card.outputs],
            "dynamic_batching": {"max_queue_delay_microseconds": 0},
        }
        return as_json(config)

    async def infer(self, request: Request, names: Names) -> Answer:
        body = await request.body()
        # From here to the queue nothing waits: a model found is a model that has taken the request.
        served = self._served(names)
        served.batcher.check_room()
        asked = parse(body, request.header("inference-header-content-length"), served.card)
        check_pixels(asked.n, _sides(served.card, asked.feed), self._limits.max_pixels)
        deadline = request.deadline
        if asked.seconds is not None:
            deadline = min(deadline, asyncio.get_running_loop().time() + asked.seconds)
        output = await request.unless_gone(served.batcher.run(asked.feed, deadline))
        content, header_length = answer(served.name, served.version, asked, output, served.card)
        if header_length is None:
            return Answer(content)
        return Answer(
            content, "application/octet-stream", headers={"inference-header-content-length": str(header_length)}
        )

    async def index(self, request: Request, names: Names) -> Answer:
        wanted = await request.json()
        return as_json(self._repository.index(ready=wanted.get("ready") is True))

    async def load(self, request: Request, names: Names) -> Answer:
        await self._no_parameters(request)
        await self._repository.load(names["model"])
        return Answer()

    async def unload(self, request: Request, names: Names) -> Answer:
        await self._no_parameters(request, "unload_dependents")  # there are none, so either value is right
        await self._repository.unload(names["model"])
        return Answer()

    async def statistics(self, request: Request, names: Names) -> Answer:
        chosen = self._repository.loaded(names.get("model", ""), names.get("version", ""))
        return as_json({"model_stats": [_statistics(one) for one in chosen]})

    def _served(self, names: Names) -> Served:
        return self._repository.get(names["model"], names.get("version", ""))

    def _unless_stopping(self, ready: bool) -> Answer:
        return Answer() if ready and not self.stopping else as_json({"error": "not ready"}, 503)

    async def _no_parameters(self, request: Request, *known: str) -> None:
        """A client may load what the server's owner put there, as it is there, and nothing else."""
        parameters = (await request.json()).get("parameters", {})
        if not isinstance(parameters, dict) or parameters.keys() - set(known):
            raise Refused(400, "a model is loaded as it lies on the server's disk; leave the parameters out")


def check_pixels(n: int, sides: Sequence[int], most: int) -> None:
    """Raise Refused where `n` samples of such sides, none for points, are more than one answer may hold."""
    height, width = sides or (1, 1)
    if n * height * width > most:
        raise Refused(400, f"{n} samples of {height}×{width} are more than the {most} pixels an answer may have")


def _sides(card: Card, feed: Mapping[str, np.ndarray]) -> Sequence[int]:
    """Height and width of what is made of an inference's inputs."""
    if card.image is None:
        return card.data.shape[1:]
    return [card.scale * side for side in feed[card.image.name].shape[2:]]


def own_version() -> str:
    return installed("ganforge") or "0"


def _tensor(one: Input | Output, size: Sequence[int]) -> dict[str, Any]:
    return {"name": one.name, "datatype": DATATYPES[one.dtype], "shape": [-1, *size]}


def _configured(one: Input | Output, size: Sequence[int]) -> dict[str, Any]:
    return {"name": one.name, "data_type": f"TYPE_{DATATYPES[one.dtype]}", "dims": size}


def _statistics(served: Served) -> dict[str, Any]:
    stats: ModelStats = served.batcher.stats
    nothing = {"count": 0, "ns": 0}
    compute = {"compute_input": nothing, "compute_output": nothing}  # counted with the rest, not apart
    return {
        "name": served.name,
        "version": served.version,
        "last_inference": round(stats.last * 1000),
        "inference_count": stats.images,
        "execution_count": stats.executions,
        "inference_stats": {
            "success": stats.success.as_json(),
            "fail": stats.fail.as_json(),
            "queue": stats.queue.as_json(),
            "compute_infer": stats.infer.as_json(),
            **compute,
        },
        "batch_stats": [
            {"batch_size": size, "compute_infer": tally.as_json(), **compute}
            for size, tally in sorted(stats.batches.items())
        ],
    }
