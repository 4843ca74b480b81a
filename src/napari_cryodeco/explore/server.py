"""A decode server: HTTP on the loopback of this machine only, to be reached through ssh.

Everyone who is logged in on the machine can reach its loopback: every request must carry the token.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from napari_cryodeco.explore import wire
from napari_cryodeco.explore.lanes import Unwanted
from napari_cryodeco.explore.served_files import blocks, hashed
from napari_cryodeco.explore.service import Service

LOOPBACK = "127.0.0.1"
_STRANGER_S = 10.0  # in which a connection has to show the token, however slowly it speaks
_KNOWN_S = 120.0  # how long a silent connection is kept
_ROOM_S = 1.0  # in which a connection ends that was told to
_LINGER_S = 1.0
_MOST_CONNECTIONS = 64


class DecodeServer(ThreadingHTTPServer):
    """Serves one run on 127.0.0.1 until it is shut down.

    Parameters
    ----------
    run
        Run directory.
    port
        0: any that is free.
    device
        As of `Service`.

    Attributes
    ----------
    address
        What a client needs.
    """

    daemon_threads = True
    request_queue_size = _MOST_CONNECTIONS
    allow_reuse_address = os.name == "posix"  # on Windows another program could take the port

    def __init__(self, run: Path, port: int = 0, device: str = "auto") -> None:
        self.service = Service(run, device)
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._strangers: dict[socket.socket, float] = {}  # since when, the oldest first
        super().__init__((LOOPBACK, port), _Handler)
        self.address = wire.Address(self.server_address[1], secrets.token_urlsafe(32))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection; if there are too many, in place of the oldest without the token."""
        if not self._free.acquire(blocking=False):
            self._hang_up(*list(self._strangers)[:1])
            if not self._free.acquire(timeout=_ROOM_S):
                self.shutdown_request(request)
                return
        self._strangers[request] = time.monotonic()
        super().process_request(request, client_address)

    def admit(self, request: socket.socket) -> None:
        """Keep a connection that has shown the token."""
        self._strangers.pop(request, None)

    def service_actions(self) -> None:
        """Hang up on those that did not; called twice a second."""
        late = time.monotonic() - _STRANGER_S
        self._hang_up(*[one for one, since in list(self._strangers.items()) if since < late])

    def _hang_up(self, *connections: socket.socket) -> None:
        for one in connections:
            self._strangers.pop(one, None)
            with suppress(OSError):  # it ended this moment
                one.shutdown(socket.SHUT_RDWR)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._strangers.pop(request, None)
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error, and nothing else comes here."""


class _Refused(Exception):
    """A request that is answered by a status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _STRANGER_S
    disable_nagle_algorithm = True  # it holds an answer back for 40 ms
    wbufsize = 2**16
    server: DecodeServer
    _begun = False  # whether a part of the answer is on its way

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def version_string(self) -> str:
        return wire.SERVER

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a log would be read by others."""

    # ---- what is asked

    def _answer(self, act: Callable[[], None]) -> None:
        self._begun = False
        try:
            self._admit()
            act()
        except _Refused as refused:
            self._refuse(refused.status, str(refused))
        except Unwanted:
            self._refuse(wire.OVERTAKEN, "A newer request has overtaken this one.")
        except (ValueError, OSError) as error:
            self._refuse(400, " ".join(str(error).split()) or type(error).__name__)
        except (RuntimeError, MemoryError) as error:
            last = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._refuse(500, f"The decode server could not do this: {last}")

    def _admit(self) -> None:
        """Refuse whoever does not know the token, before anything of the request is looked at."""
        given = self.headers.get(wire.TOKEN, "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self.server.address.token.encode()):
            raise _Refused(401, "The token is wrong.")
        self.server.admit(self.connection)
        self.connection.settimeout(_KNOWN_S)
        if self.headers.get(wire.AGREED) != str(wire.PROTOCOL):
            raise _Refused(426, f"The decode server is of version {wire.program()}.")

    def _get(self) -> None:
        if self.path == wire.PING:
            self._send_json({})
        elif self.path == wire.RUN:
            self._send_json(self.server.service.describe())
        elif self.path.startswith(wire.FILES):
            self._send_file(unquote(self.path.removeprefix(wire.FILES)))
        else:
            raise _Refused(404, "There is nothing of this name.")

    def _post(self) -> None:
        asked = self._body()
        if self.path == wire.OPEN:
            self._send_json(self.server.service.open(asked))
        elif self.path == wire.DECODE:
            found = self.server.service.decode(asked, self._gone)
            shape = ",".join(map(str, found.values.shape))
            where = found.where.encode("ascii", "replace").decode()
            body = np.ascontiguousarray(found.values, "<f4").data.cast("B")
            self._send(200, body, {wire.SHAPE: shape, wire.WHERE: where})
        else:
            raise _Refused(404, "There is nothing of this name.")

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _Refused(411, "A request says how long it is.")
        if int(length) > wire.MOST_BODY:
            raise _Refused(413, f"A request has at most {wire.MOST_BODY} bytes.")
        try:
            asked = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise _Refused(400, "A request is JSON.") from None
        if not isinstance(asked, dict):
            raise _Refused(400, "A request is a JSON object.")
        return asked

    def _gone(self) -> bool:
        """Whether the client has closed the connection; it sends nothing before the answer."""
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    # ---- what is answered

    def _send_file(self, name: str) -> None:
        path = self.server.service.file(name)
        if path is None:
            raise _Refused(404, "There is no file of this name to be had.")
        with path.open("rb") as file:  # writers replace files whole: what is open stays as it is
            size = os.fstat(file.fileno()).st_size
            self._send_head(200, size, {wire.SHA256: hashed(file, size)})
            sent = 0
            for block in blocks(file, size):
                self.wfile.write(block)
                sent += len(block)
        self.wfile.flush()
        if sent < size:
            raise OSError(f"{name} was cut short.")

    def _send_json(self, record: Any, status: int = 200) -> None:
        self._send(status, json.dumps(record).encode())

    def _send(
        self, status: int, body: bytes | memoryview, headers: Mapping[str, str] | None = None
    ) -> None:
        self._send_head(status, len(body), headers or {})
        self.wfile.write(body)
        self.wfile.flush()

    def _send_head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self._begun = True
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: int, sentence: str) -> None:
        self.close_connection = True  # what is left of the request is not read
        if self._begun:
            return  # the client sees an answer that is too short
        with suppress(OSError):  # nobody listens
            self._send_json({"error": sentence}, status)
            self.connection.shutdown(socket.SHUT_WR)
            self._drain()

    def _drain(self) -> None:
        """Take what the client still sends: a reset would throw away our answer unread."""
        self.connection.settimeout(_LINGER_S)
        left = wire.MOST_BODY
        while left > 0 and (block := self.connection.recv(65536)):
            left -= len(block)
