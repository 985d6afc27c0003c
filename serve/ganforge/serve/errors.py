"""What a server refuses, with the HTTP status that says so. The sentence is the body."""

from __future__ import annotations

from ganforge.core.errors import GanforgeError


class Refused(GanforgeError):
    """A request that is not answered with what it asked for."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        """`headers` go with the answer; `Retry_After` is written `Retry-After`."""
        super().__init__(sentence)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Busy(Refused):
    """Nothing is wrong with the request; the same one may succeed in `seconds`."""

    def __init__(self, sentence: str, seconds: int = 1) -> None:
        super().__init__(503, f"{sentence}; try again in {seconds} s", Retry_After=str(seconds))


class Gone(Exception):
    """The client has hung up: there is nobody to answer."""
