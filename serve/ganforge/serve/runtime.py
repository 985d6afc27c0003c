"""onnxruntime, quietly: how an exported file is opened, for its proof and its use. Imported when called."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganforge.core.card import ANY, CARD_KEY, Card, parse_card
from ganforge.core.errors import GanforgeError

DEVICES = ("auto", "cpu", "cuda")
_CUDA = "CUDAExecutionProvider"
_FATAL = 4  # whatever fails below comes back as an exception; what onnxruntime logs beside that is noise
_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}


class Session:
    """An ONNX model ready to run. `where` names it in errors."""

    def __init__(self, model: bytes, where: str, device: str = "cpu", *, threads: int = 0, spin: bool = True) -> None:
        """Load `model`.

        Args:
            model: the whole file. A model that keeps weights in other files is refused: whose file it is may
                be a stranger, and those other files anything on this machine.
            device: `cpu`, `cuda`, or `auto` for CUDA where it works.
            threads: processor threads that share one batch, 0 for one per core.
            spin: whether these threads keep a core busy while they wait for work. That is fastest where nothing
                else runs, and halves the speed where something does, as beside a server.

        Raises:
            GanforgeError: not a model, no onnxruntime, or no CUDA where it was asked for.
        """
        if device not in DEVICES:
            raise GanforgeError(f"there is no device '{device}'; there is {', '.join(DEVICES)}")
        self.where = where
        runtime = import_onnxruntime()
        self.version: str = runtime.__version__
        with contextlib.redirect_stdout(io.StringIO()):  # the search for CUDA prints what it does not find
            options = _options(runtime, threads, spin)
            self._session = self._load(runtime, model, options, _providers(runtime, device))
        self.device = "cuda" if self._session.get_providers()[0] == _CUDA else "cpu"
        if device == "cuda" and self.device != "cuda":
            raise GanforgeError(
                f"device cuda: onnxruntime {self.version} finds no working CUDA GPU here; use cpu or auto, "
                "or see in `ganforge doctor` what is missing"
            )

    def _load(self, runtime: Any, model: bytes, options: Any, providers: Sequence[str]) -> Any:
        try:
            return runtime.InferenceSession(model, options, providers=list(providers))
        except Exception as error:
            raise GanforgeError(f"{self.where} is not a whole ONNX model: {_reason(error)}") from None

    def card(self) -> Card:
        """The card the file carries, checked against what the graph really takes and gives.

        Raises:
            GanforgeError: there is none, it cannot be read, or it describes another graph.
        """
        text = self._session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
        if text is None:
            raise GanforgeError(f"{self.where} has no ganforge card: `ganforge export` did not write it")
        card = parse_card(text, self.where)
        self.check(card)
        return card

    def check(self, card: Card) -> None:
        """Raise GanforgeError unless the graph's inputs and outputs are the card's: names, types, shapes."""
        found = [_signature(node) for node in (*self._session.get_inputs(), *self._session.get_outputs())]
        wanted = [_described(one.name, one.dtype, one.sizes) for one in card.inputs]
        wanted += [_described(one.name, one.dtype, card.sizes(one)) for one in card.outputs]
        if found != wanted:
            has, says = ", ".join(found), ", ".join(wanted)
            raise GanforgeError(f"the graph in {self.where} has {has}, and its card says {says}")
        if not card.inputs:
            raise GanforgeError(f"{self.where} takes no input: nothing says how many samples it is to make")

    def try_out(self, feed: Mapping[str, np.ndarray], seconds: float) -> np.ndarray:
        """Run it once, and no longer than this: a stranger's graph may hold a loop without an end.

        Raises:
            GanforgeError: as `run`, or it took longer.
        """
        options = import_onnxruntime().RunOptions()
        timer = threading.Timer(seconds, setattr, (options, "terminate", True))
        timer.start()
        try:
            return self.run(feed, options)
        except GanforgeError as error:
            if options.terminate:
                raise GanforgeError(f"{self.where} makes no sample within {seconds:g} s") from error
            raise
        finally:
            timer.cancel()

    def run(self, feed: Mapping[str, np.ndarray], options: Any = None) -> np.ndarray:
        """The first output. May be called from several threads at once.

        Raises:
            GanforgeError: onnxruntime could not run it, or it gave another shape than the graph says.
        """
        n = len(next(iter(feed.values())))
        try:
            output: np.ndarray = self._session.run(None, dict(feed), options)[0]
        except Exception as error:
            raise GanforgeError(f"{self.where} cannot be run on a batch of {n}: {_reason(error)}") from None
        _, *sizes = self._session.get_outputs()[0].shape or ["a scalar"]
        if output.ndim != 1 + len(sizes):
            raise GanforgeError(f"{self.where} gives {list(output.shape)}, and its graph says {[n, *sizes]}")
        wanted = [
            n,
            *(size if isinstance(size, int) else got for size, got in zip(sizes, output.shape[1:], strict=True)),
        ]
        if list(output.shape) != wanted:  # onnxruntime would only warn
            raise GanforgeError(f"{self.where} gives {list(output.shape)}, and its graph says {wanted}")
        return output


def import_onnxruntime() -> Any:
    """The onnxruntime module.

    Raises:
        GanforgeError: it is not installed, or damaged (its two wheels overwrite each other's files).
    """
    try:
        import onnxruntime  # type: ignore[import-untyped]

        onnxruntime.set_default_logger_severity(_FATAL)
    except (ImportError, AttributeError):
        raise GanforgeError(
            "onnxruntime is missing or damaged; install one of ganforge[cpu] and, for a GPU, ganforge[gpu]"
        ) from None
    return onnxruntime


def _options(runtime: Any, threads: int, spin: bool) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    # Nothing can lie below the null device, so a file has no way to reach weights outside itself.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    return options


def _providers(runtime: Any, device: str) -> list[str]:
    if device == "cpu" or _CUDA not in runtime.get_available_providers():
        return ["CPUExecutionProvider"]
    if hasattr(runtime, "preload_dlls"):  # since 1.21; finds the CUDA libraries that came as wheels
        runtime.preload_dlls()
    return [_CUDA, "CPUExecutionProvider"]


def _signature(node: Any) -> str:
    first, *rest = node.shape or ["a scalar"]
    sizes = [
        str(first) if isinstance(first, int) else "N",
        *(str(one if isinstance(one, int) else ANY) for one in rest),
    ]
    return f"{node.name} {_TYPES.get(node.type, node.type)} [{', '.join(sizes)}]"


def _described(name: str, dtype: str, sizes: Sequence[int]) -> str:
    return f"{name} {dtype} [{', '.join(['N', *map(str, sizes)])}]"


def _reason(error: Exception) -> str:
    """onnxruntime's message on one line, without its `[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : `."""
    return " ".join(str(error).split(" : ", 3)[-1].split())[:200]
