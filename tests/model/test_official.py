"""Fetching official weights from a host on this machine that answers as Hugging Face does."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from napari_cryodeco.model import official
from napari_cryodeco.model.official import FILE, REPOSITORY, RemoteFile, download, find

CONTENT = bytes(range(256)) * 5000
FOLDER = "cryo_ief_checkpoint/DECO_ief_vit_s"  # the second place that is tried


class Host(ThreadingHTTPServer):
    """`files` by path in the repository; `cut` breaks an answer off after so many bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files = {f"{FOLDER}/{FILE}": CONTENT, f"{FOLDER}/config.json": b"{}"}
        self.hashes = {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}
        self.cut: int | None = None
        self.starts: list[int] = []


class Answers(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        listing, stored = f"/api/models/{REPOSITORY}/tree/main/", f"/{REPOSITORY}/resolve/main/"
        if path.startswith(listing):
            self.list(path.removeprefix(listing))
        elif path.removeprefix(stored) in self.server.files:
            self.send(path.removeprefix(stored))
        else:
            self.send_error(404)

    def list(self, folder: str) -> None:
        inside = [name for name in self.server.files if name.startswith(f"{folder}/")]
        if not inside:
            self.send_error(404)
            return
        entries = [{"type": "directory", "path": folder, "size": 0}]
        for name in inside:
            size = len(self.server.files[name])
            lfs = {"oid": self.server.hashes[name], "size": size}
            entries.append({"type": "file", "path": name, "size": size, "lfs": lfs})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(entries).encode())

    def send(self, name: str) -> None:
        data = self.server.files[name]
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.server.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start : self.server.cut])

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    server = Host()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_weights_arrive_whole_with_their_licence(host: Host, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = download("cryo-ief", tmp_path / "a" / "b", lambda *done: seen.append(done))
    assert (folder / FILE).read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    source = (folder / "SOURCE.txt").read_text()
    assert "academic research only" in source
    assert hashlib.sha256(CONTENT).hexdigest() in source
    assert sorted(path.name for path in folder.iterdir()) == ["SOURCE.txt", FILE]


def test_a_broken_download_goes_on_where_it_was(host: Host, tmp_path: Path) -> None:
    host.cut = 700_000
    with pytest.raises(OSError, match=r"broke off after 0\.7 of 1\.3 MB|cannot be reached"):
        download("cryo-ief", tmp_path)
    assert not (tmp_path / FILE).exists()
    host.cut = None
    download("cryo-ief", tmp_path)
    assert host.starts == [0, 700_000]
    assert (tmp_path / FILE).read_bytes() == CONTENT


def test_a_cancelled_download_leaves_no_file(host: Host, tmp_path: Path) -> None:
    class Cancelled(Exception):
        pass

    def cancel(done: int, of: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        download("cryo-ief", tmp_path, cancel)
    assert not (tmp_path / FILE).exists()


def test_what_is_not_what_was_announced_is_thrown_away(host: Host, tmp_path: Path) -> None:
    host.hashes[f"{FOLDER}/{FILE}"] = "0" * 64
    with pytest.raises(ValueError, match="not what the host announced"):
        download("cryo-ief", tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_there_are_kept(host: Host, tmp_path: Path) -> None:
    download("cryo-ief", tmp_path)
    download("cryo-ief", tmp_path)
    assert host.starts == [0]
    (tmp_path / FILE).write_bytes(b"the user's own")
    with pytest.raises(FileExistsError, match="holds other weights: choose another folder"):
        download("cryo-ief", tmp_path)
    assert (tmp_path / FILE).read_bytes() == b"the user's own"


def test_weights_that_were_moved_away_are_told(host: Host, tmp_path: Path) -> None:
    host.files.clear()
    with pytest.raises(ValueError, match=r"no longer holds .*by hand"):
        download("cryo-ief", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_address_is_found_among_the_folders(host: Host) -> None:
    remote = find("cryo-ief")
    expected = hashlib.sha256(CONTENT).hexdigest()
    assert remote == RemoteFile(remote.address, len(CONTENT), expected)
    assert remote.address.endswith(f"/{REPOSITORY}/resolve/main/{FOLDER}/{FILE}")
    with pytest.raises(ValueError, match="No official prior is called 'alphafold'"):
        find("alphafold")


def test_without_a_network_it_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        OSError, match=r"^http://127.0.0.1:9 cannot be reached .*on another machine"
    ):
        download("cryo-ief", tmp_path / "priors")
    assert not (tmp_path / "priors").exists()


def test_the_default_folder_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert not official.is_downloaded("cryo-ief")
    download("cryo-ief", official.default_folder("cryo-ief"))
    assert official.is_downloaded("cryo-ief")
    assert not official.is_downloaded("bundled")
