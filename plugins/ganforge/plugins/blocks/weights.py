"""Weights of fixed networks: files that are what they should be, and a hash of what a network holds."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from torch import nn

from ganforge.core import GanforgeError


def read_verified(file: Path, sha256: str) -> io.BytesIO:
    """The content of `file`, once its sha256 is known to be `sha256`.

    Raises:
        GanforgeError: it cannot be read, or is another file.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise GanforgeError(f"cannot read the weights {file}: {error.strerror or error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise GanforgeError(f"{file} is not the weights file known: its sha256 is {found[:16]}…, not {sha256[:16]}…")
    return io.BytesIO(content)


def hash_weights(network: nn.Module) -> str:
    """sha256 of all tensors of a network, with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
