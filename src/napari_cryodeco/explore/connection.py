"""A client's way to a decode server; whatever goes wrong is one sentence.

Standard library only: the window uses it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from napari_cryodeco.explore import wire
from napari_cryodeco.explore.wire import Address

AGREEMENT = wire.PROTOCOL
_PATIENCE_S = 120.0  # a full map of a large box takes long on a CPU
_SOON_S = 20.0  # what needs no work; a tunnel to a node that went down says nothing
_BLOCK = 2**18
_MOST_ANSWER = 2**31  # bytes

_Headers = http.client.HTTPMessage


class ServerGone(OSError):
    """No server answers: it may be back later."""


class ServerRefused(ValueError):
    """The server does not do what was asked."""


class Connection:
    """Speaks with one server; each thread has a line of its own, which is kept open.

    Parameters
    ----------
    address
        Where the server answers on this machine.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lines: dict[int, http.client.HTTPConnection] = {}  # by thread
        self._abandoned: set[int] = set()
        weakref.finalize(self, _close, self._lines)

    def latency(self) -> float:
        """Seconds that an answer takes of which nothing has to be computed: the best of three."""
        taken = []
        for _ in range(3):
            begun = time.perf_counter()
            self.get(wire.PING)
            taken.append(time.perf_counter() - begun)
        return min(taken)

    def get(self, path: str) -> Any:
        """Ask for a JSON record."""
        return self._json("GET", path, None)

    def post(self, path: str, asked: dict[str, Any]) -> Any:
        """Send one JSON record and take another."""
        return self._json("POST", path, asked)

    def post_for_bytes(self, path: str, asked: dict[str, Any]) -> tuple[_Headers, bytes]:
        """Send a JSON record and take raw bytes with their headers."""
        answer = self._ask("POST", path, asked)
        return answer.headers, self._read(answer)

    def abandon(self, thread: int) -> None:
        """Break off what a thread waits for: its call raises, and the server stops the work."""
        line = self._lines.get(thread)
        wire_end = None if line is None else line.sock
        if wire_end is not None:
            self._abandoned.add(thread)
            with suppress(OSError):  # it ended this moment
                wire_end.shutdown(socket.SHUT_RDWR)

    def download(self, name: str, part: Path, tell: Callable[[int], None]) -> None:
        """Write a file of the server to `part`; `tell` gets the size of each piece.

        Raises
        ------
        ServerGone
            When not all of it comes, or not what the server's checksum says.
        """
        answer = self._ask("GET", wire.FILES + quote(name), None)
        digest, whole = hashlib.sha256(), False
        try:
            with part.open("wb") as file:
                while block := self._piece(answer):
                    digest.update(block)
                    file.write(block)
                    tell(len(block))
            whole = True
        finally:
            if not whole:
                self._hang_up()  # what is left of the answer is not read
        if digest.hexdigest() != answer.headers.get(wire.SHA256):
            raise ServerGone(f"{name} did not come whole from {self.address.place}.")

    def _json(self, method: str, path: str, asked: dict[str, Any] | None) -> Any:
        body = self._read(self._ask(method, path, asked))
        try:
            return json.loads(body)
        except ValueError:
            raise self.not_understood() from None

    def _ask(
        self, method: str, path: str, asked: dict[str, Any] | None
    ) -> http.client.HTTPResponse:
        """Send a request, once more if the line kept open had been closed by the other side."""
        own = threading.get_ident()
        kept = own in self._lines
        self._abandoned.discard(own)
        try:
            answer = self._send(method, path, asked)
        except ConnectionError as error:  # RemoteDisconnected is one
            self._hang_up()
            if not kept or own in self._abandoned:
                raise self._gone() from error
            try:
                answer = self._send(method, path, asked)
            except (OSError, http.client.HTTPException) as again:
                self._hang_up()
                raise self._gone() from again
        except TimeoutError as error:
            self._hang_up()
            raise ServerGone(
                f"The decode server at {self.address.place} has not answered for "
                f"{_patience(path):.0f} s: look after `cryodeco serve` and the ssh tunnel."
            ) from error
        except http.client.HTTPException as error:
            self._hang_up()
            raise self.not_understood() from error
        except OSError as error:
            self._hang_up()
            raise self._gone() from error
        return self._checked(answer)

    def _send(
        self, method: str, path: str, asked: dict[str, Any] | None
    ) -> http.client.HTTPResponse:
        line = self._lines.get(threading.get_ident())
        if line is None:
            line = _Line("127.0.0.1", self.address.port, timeout=_SOON_S)
            self._lines[threading.get_ident()] = line
        if line.sock is None:  # new, or of a server that closes after each answer
            line.connect()
        line.sock.settimeout(_patience(path))
        headers = {wire.TOKEN: self.address.token, wire.AGREED: str(AGREEMENT)}
        line.request(method, path, None if asked is None else json.dumps(asked), headers)
        answer: http.client.HTTPResponse = line.getresponse()
        return answer

    def _checked(self, answer: http.client.HTTPResponse) -> http.client.HTTPResponse:
        if answer.headers.get("Server") != wire.SERVER:
            self._hang_up()
            raise self.not_understood()
        if answer.status == 200:
            return answer
        sentence = ""
        with suppress(ValueError, AttributeError):
            sentence = str(json.loads(self._read(answer)).get("error", ""))
        self._hang_up()
        if answer.status == 401:
            raise ServerRefused(
                f"The decode server at {self.address.place} does not know this token: paste the "
                "whole address that `cryodeco serve` printed last; each start makes a new one."
            )
        if answer.status == 426:
            raise ServerRefused(
                f"{sentence.rstrip('.')}, this program of {wire.program()}, and the two do not "
                "understand each other: install the same version on both machines."
            )
        raise ServerRefused(sentence or f"The decode server answered {answer.status}.")

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        length = answer.length
        if length is None or length > _MOST_ANSWER:
            self._hang_up()
            raise self.not_understood()
        pieces = []
        while block := self._piece(answer):
            pieces.append(block)
        return b"".join(pieces)

    def _piece(self, answer: http.client.HTTPResponse) -> bytes:
        """The next bytes; empty at the end of a whole answer."""
        try:
            block = answer.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            self._hang_up()
            raise self._gone() from error
        if not block and answer.length:
            self._hang_up()
            raise self._gone()
        return block

    def _hang_up(self) -> None:
        if (line := self._lines.pop(threading.get_ident(), None)) is not None:
            line.close()

    def _gone(self) -> ServerGone:
        return ServerGone(
            f"No decode server answers at {self.address.place}: is `cryodeco serve` running "
            "there, and the ssh tunnel open?"
        )

    def not_understood(self) -> ServerRefused:
        """An answer that is none of this agreement."""
        return ServerRefused(
            f"What answers at {self.address.place} is no decode server of this program: is the "
            "port of the ssh tunnel the right one?"
        )


class _Line(http.client.HTTPConnection):
    """Sends head and body of a request at once: in two pieces the second waits on slow ways."""

    _together: bytearray | None = None

    def request(self, *asked: Any, **named: Any) -> None:
        self._together = bytearray()
        super().request(*asked, **named)
        whole, self._together = bytes(self._together), None
        super().send(whole)

    def send(self, data: Any) -> None:
        if self._together is None:
            super().send(data)
        else:
            self._together += data


def _patience(path: str) -> float:
    return _SOON_S if path in (wire.PING, wire.RUN) else _PATIENCE_S


def _close(lines: dict[int, http.client.HTTPConnection]) -> None:
    for line in lines.values():
        line.close()
