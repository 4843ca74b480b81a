"""What a decode server and its clients say to each other. Standard library only.

HTTP/1.1 with JSON and raw little-endian arrays; nothing is pickled. Every request carries the token
and the number of this agreement in a header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

PROTOCOL = 1
SERVER = "cryodeco"  # how the server names itself
TOKEN, AGREED = "X-Cryodeco-Token", "X-Cryodeco-Protocol"
SHAPE, WHERE, SHA256 = "X-Cryodeco-Shape", "X-Cryodeco-Where", "X-Cryodeco-SHA256"
PING, RUN, FILES, OPEN, DECODE = "/ping", "/run", "/file/", "/open", "/decode"
MOST_BODY = 2**20  # bytes of a request
MOST_POINTS = 8  # maps of one request
OVERTAKEN = 409
_ADDRESS = re.compile(r"(?:http://)?(localhost|127\.0\.0\.1):(\d{1,5})/?#([A-Za-z0-9_-]{16,128})")


@dataclass(frozen=True)
class Address:
    """Where a server answers on this machine, and the token that it wants."""

    port: int
    token: str

    @property
    def place(self) -> str:
        """The address without the token, for people."""
        return f"localhost:{self.port}"

    def __str__(self) -> str:
        return f"http://{self.place}/#{self.token}"  # what follows # is not sent by any browser


def parse_address(text: str) -> Address:
    """Read the address that ``cryodeco serve`` printed.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or not 0 < int(found[2]) < 65536:
        raise ValueError(
            "This is no address of a decode server: paste the one that `cryodeco serve RUN` "
            "printed, http://localhost:PORT/#TOKEN."
        )
    return Address(int(found[2]), found[3])


def program() -> str:
    """Version of this program."""
    try:
        return version("napari-cryodeco")
    except PackageNotFoundError:
        return "unknown"
