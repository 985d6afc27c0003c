"""What one server takes on. The server's owner decides; a model's card has no say in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Every bound of a server, with defaults that a small machine bears."""

    max_batch: int = 32
    """Samples that go through the network at once, and so the most that one inference request may ask for."""
    max_queue: int = 256
    """Samples that wait for a model; a request over it is told to come back later."""
    max_body: int = 8 * 2**20
    """Bytes of a request's body, as sent and once decompressed."""
    max_pixels: int = 2**22
    """Height × width × samples of one answer."""
    max_connections: int = 512
    """Connections open at once; below the 1,024 files that a process may usually open."""
    timeout: float = 30.0
    """Seconds from a request's arrival to its answer; a client may ask for fewer."""
    read_timeout: float = 10.0
    """Seconds a client may take to send a request's head, and as many for its body and to take the answer."""
