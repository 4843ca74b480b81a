"""Strangers that keep a decode server busy, and servers that say what no server of ours would."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from napari_cryodeco.explore import server as serving
from napari_cryodeco.explore import wire
from napari_cryodeco.explore.connection import Connection, ServerRefused
from napari_cryodeco.explore.mirror import connect
from napari_cryodeco.explore.remote import RemoteField
from napari_cryodeco.explore.server import DecodeServer
from napari_cryodeco.explore.wire import Address
from napari_cryodeco.runs.progress import read_status
from napari_cryodeco.runs.run import Run


def test_strangers_that_take_every_connection_keep_nobody_out(server: DecodeServer) -> None:
    with ExitStack() as stack:
        port = server.address.port
        for _ in range(serving._MOST_CONNECTIONS + 6):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            line.sendall(b"GET /")
        known = Connection(server.address)
        assert known.get(wire.PING) == {}
        assert known.get(wire.RUN)["decoders"] == [1]


def test_a_stranger_who_speaks_slowly_is_hung_up_on(
    server: DecodeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_STRANGER_S", 0.3)
    known = Connection(server.address)
    assert known.get(wire.PING) == {}
    with socket.create_connection(("127.0.0.1", server.address.port)) as line:
        line.settimeout(0.05)
        line.sendall(b"GET /")
        ended, end = False, time.monotonic() + 20
        while not ended and time.monotonic() < end:
            try:
                line.sendall(b"a")
                ended = line.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
    assert ended
    kept = known._lines[threading.get_ident()]
    assert known.get(wire.PING) == {} and known._lines[threading.get_ident()] is kept


# ---- bad servers

Change = Callable[[dict[str, Any]], Any]


@contextmanager
def bad_server(good: DecodeServer, change: Change, of: str = wire.RUN) -> Iterator[Address]:
    """Says what `good` says, but for a changed record."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == wire.RUN:
                return self.say(json.dumps(self.changed(good.service.describe())).encode())
            path = good.service.file(self.path.removeprefix(wire.FILES))
            assert path is not None
            return self.say(path.read_bytes())

        def do_POST(self) -> None:
            self.say(json.dumps(self.changed(good.service.open({"epoch": 1}))).encode())

        def changed(self, record: dict[str, Any]) -> Any:
            return change(record) if self.path == of else record

        def say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header(wire.SHA256, hashlib.sha256(body).hexdigest())
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return wire.SERVER

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
        yield Address(other.server_address[1], "a" * 43)
        other.shutdown()


@pytest.mark.parametrize(
    "change",
    [
        lambda told: [],
        lambda told: {},
        lambda told: told | {"host": 5},
        lambda told: told | {"host": "node\x1b[2J"},
        lambda told: told | {"path": None},
        lambda told: told | {"identity": "../../x"},
        lambda told: told | {"identity": ["a"]},
        lambda told: told | {"files": ["run.yaml"]},
        lambda told: told | {"files": {"run.yaml": 5}},
        lambda told: told | {"files": {"run.yaml": ["1", 2]}},
        lambda told: told | {"files": {"run.yaml": [1, 2**80]}},
        lambda told: told | {"status": "running"},
        lambda told: told | {"decoders": 1},
    ],
)
def test_a_listing_that_is_none_is_one_sentence_and_leaves_nothing(
    server: DecodeServer, tmp_path: Path, change: Change
) -> None:
    home = tmp_path / "home"
    with bad_server(server, change) as address, pytest.raises(ServerRefused, match="no decode"):
        connect(address, home)
    assert not home.exists()


def test_a_status_of_other_kinds_and_a_name_without_end_do_no_harm(
    server: DecodeServer, tmp_path: Path
) -> None:
    def change(told: dict[str, Any]) -> dict[str, Any]:
        status = {"state": "running", "unit": "x", "units": [1], "eta_s": float("nan"), "new": {}}
        return told | {"status": status, "path": "/" + "a" * 300 + "/b" * 9 + "/" + "ü" * 300}

    with bad_server(server, change) as address:
        made = connect(address, tmp_path)
        made.sync()
    status = read_status(made.path)
    assert (status.state, status.unit, status.units, status.eta_s) == ("running", 0, 0, None)
    assert len(Run.open(made.path).particles) == 60


@pytest.mark.parametrize(
    "change",
    [
        lambda told: [],
        lambda told: told | {"latent_dim": "many"},
        lambda told: told | {"geometry": told["geometry"] | {"box": "64"}},
        lambda told: told | {"geometry": told["geometry"] | {"box": 2**40, "radius": 2**30}},
        lambda told: told | {"geometry": told["geometry"] | {"colour": "red"}},
    ],
)
def test_sizes_that_no_map_has_are_refused(server: DecodeServer, change: Change) -> None:
    refused = pytest.raises(ServerRefused, match="no decode server")
    with bad_server(server, change, wire.OPEN) as address, refused:
        RemoteField(Connection(address), 1)
