"""A decode server and the copies of its run: the same maps, nothing for strangers, nothing lost."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_cryodeco.cli import main
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore import shelf, subset, wire
from napari_cryodeco.explore.bundle import BundleOptions, write_bundle
from napari_cryodeco.explore.codebook import make_codebook, save_codebook
from napari_cryodeco.explore.columns import Columns
from napari_cryodeco.explore.connection import Connection, ServerGone, ServerRefused
from napari_cryodeco.explore.decoders import open_decoder
from napari_cryodeco.explore.exporting import export_maps
from napari_cryodeco.explore.figure import Group
from napari_cryodeco.explore.landscape import latest_clustering
from napari_cryodeco.explore.lanes import Lanes, Unwanted
from napari_cryodeco.explore.mirror import Mirror, connect
from napari_cryodeco.explore.montage import pictures
from napari_cryodeco.explore.selection import Selection
from napari_cryodeco.explore.served_files import is_served, served
from napari_cryodeco.explore.server import DecodeServer
from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest
from napari_cryodeco.explore.wire import Address, parse_address
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import write_tensors

AddEpoch = Callable[[int, float], None]


@pytest.fixture
def mirror(server: DecodeServer, tmp_path: Path) -> Mirror:
    made = connect(str(server.address), tmp_path / "home")
    made.sync()
    return made


def answer_to(
    server: DecodeServer,
    method: str,
    path: str,
    body: bytes | None = None,
    **headers: str,
) -> tuple[int, dict[str, Any]]:
    """What the server says to a request made by hand; a known one unless headers say otherwise."""
    line = http.client.HTTPConnection("127.0.0.1", server.address.port, timeout=20)
    given = {wire.TOKEN: server.address.token, wire.AGREED: str(wire.PROTOCOL)}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    line.request(method, path, body, given)
    answer = line.getresponse()
    text = answer.read()
    line.close()
    plain = answer.status != 200 or path == wire.RUN
    return answer.status, json.loads(text) if plain else {}


# ---- the copy, and its maps


@pytest.mark.parametrize(
    "asked",
    [{}, {"box": 40}, {"radius": 5, "box": 14}, {"low_pass": 30.0, "b_factor": 200.0}],
)
def test_maps_are_those_of_the_decoder_bit_for_bit(
    mirror: Mirror, planted_run: Run, asked: dict[str, Any]
) -> None:
    here = VolumeDecoder(planted_run.epoch().field_path, "cpu")
    there = open_decoder(Run.open(mirror.path).epoch())
    for z in planted_run.epoch().latents()[[0, 7, 31]]:
        expected, found = (one.decode(VolumeRequest(z, **asked)) for one in (here, there))
        assert np.array_equal(expected.data, found.data)
        assert expected.voxel_size == found.voxel_size
    assert there.where == f"{socket.gethostname()}: cpu"


def test_many_maps_at_once_and_previews(mirror: Mirror, planted_run: Run) -> None:
    here = VolumeDecoder(planted_run.epoch().field_path, "cpu")
    there = open_decoder(Run.open(mirror.path).epoch())
    requests = [VolumeRequest(z) for z in planted_run.epoch().latents()[:6]]
    pairs = zip(here.decode_many(requests), there.decode_many(requests), strict=True)
    assert all(np.array_equal(a.data, b.data) for a, b in pairs)
    assert 1 <= there.preview(requests[0].z, 0.05).radius <= planted_run.geometry.radius


def test_a_long_way_does_not_make_previews_small(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = Connection._ask

    def far(self: Connection, *words: Any) -> http.client.HTTPResponse:
        time.sleep(0.15)
        return at_once(self, *words)

    epoch = Run.open(mirror.path).epoch()
    monkeypatch.setattr(Connection, "_ask", far)
    knowing = open_decoder(epoch).preview_radius(0.08)
    monkeypatch.setattr(Connection, "latency", lambda self: 0.0)
    assert open_decoder(epoch).preview_radius(0.08) < knowing


def test_a_copy_holds_what_the_explorer_needs_and_no_images(
    mirror: Mirror, planted_run: Run
) -> None:
    copy = Run.open(mirror.path)
    assert np.array_equal(copy.epoch().latents(), planted_run.epoch().latents())
    assert torch.equal(copy.epoch().poses().rotations, planted_run.epoch().poses().rotations)
    names = {path.name for path in mirror.path.rglob("*") if path.is_file()}
    assert not names & {"images.npy", "field.safetensors", "metrics.jsonl", "log.txt"}
    copy.check_source()
    mine, theirs = Columns(copy), Columns(planted_run)
    assert [one.name for one in mine.listed] == [one.name for one in theirs.listed]
    defocus = [one.read(["rlnDefocusU"])["rlnDefocusU"] for one in (mine, theirs)]
    assert np.array_equal(*defocus)


def test_a_cs_file_comes_with_its_passthrough_files_and_nothing_beside(
    server: DecodeServer, planted_run: Run, tmp_path: Path
) -> None:
    job = tmp_path / "J5"
    job.mkdir()
    names = ("J5_particles.cs", "J5_passthrough_particles.cs", "other.cs", "passthrough.star")
    for name in names:
        (job / name).write_bytes(name.encode())
    record = json.loads(planted_run.paths.data.read_text())
    source = job / "J5_particles.cs"
    told = {"source": str(source), "fingerprint": hashlib.sha256(source.read_bytes()).hexdigest()}
    planted_run.paths.data.write_text(json.dumps(record | told))
    made = connect(str(server.address), tmp_path / "home")
    made.sync()
    copied = {path.name: path.read_bytes() for path in (made.path / "source").iterdir()}
    assert copied == {name: name.encode() for name in names[:2]}
    Run.open(made.path).check_source()


def test_exported_rows_lead_to_the_images_on_the_other_machine(
    mirror: Mirror, planted_run: Run, tmp_path: Path
) -> None:
    copy, rows = Run.open(mirror.path), np.array([3, 5, 40])
    written = subset.write(rows, copy.particles, tmp_path / "some.star")
    assert written.count == 3
    back = read_particles(tmp_path / "some.star")  # here the other machine is this one
    assert back.real_stacks(torch.arange(3)) == planted_run.particles.real_stacks(
        torch.from_numpy(rows)
    )
    assert back.slice_of.tolist() == planted_run.particles.slice_of[rows].tolist()


def test_bundles_and_maps_are_decoded_by_the_server(mirror: Mirror, tmp_path: Path) -> None:
    copy = Run.open(mirror.path)
    bundle = write_bundle(
        copy, [Group("a", np.arange(20), "#ff0000")], tmp_path / "b", BundleOptions()
    )
    assert (bundle.path / "maps" / "a.mrc").is_file()
    assert len(export_maps(copy, copy.epoch().latents()[:2], tmp_path / "maps")) == 2


def test_what_needs_images_is_refused_with_where_to_do_it(
    mirror: Mirror, planted_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Run.open(mirror.path)
    for treatment in ("raw", "aligned"):
        with pytest.raises(ValueError, match=f"stay on {socket.gethostname()}.*{planted_run.path}"):
            pictures(copy, np.arange(3), treatment)
    rows = tmp_path / "rows.txt"
    rows.write_text("\n".join(map(str, range(30))))
    asked = ["backproject", str(copy.path), "--rows", str(rows), "-o", str(tmp_path / "out")]
    assert main(asked) == 1
    assert "stay on" in capsys.readouterr().err
    for command in ("train", "submit", "check", "serve"):
        assert main([command, str(copy.path)]) == 1
        assert "without its images: do this there" in capsys.readouterr().err


# ---- following


def test_a_new_epoch_comes_whole_and_is_decoded(
    mirror: Mirror, planted_run: Run, add_epoch: AddEpoch
) -> None:
    add_epoch(2, 0.5)
    mirror.sync()
    copy = Run.open(mirror.path)
    assert copy.epochs() == [1, 2]
    assert np.array_equal(copy.epoch().latents(), planted_run.epoch(2).latents())
    z = copy.epoch().latents()[0]
    here = VolumeDecoder(planted_run.epoch(2).field_path)
    assert np.array_equal(open_decoder(copy.epoch()).decode(VolumeRequest(z)).data,
                          here.decode(VolumeRequest(z)).data)  # fmt: skip


def test_a_fresh_copy_begins_with_the_newest_epoch_and_earlier_ones_follow(
    server: DecodeServer, planted_run: Run, tmp_path: Path, add_epoch: AddEpoch
) -> None:
    for number in (2, 3):
        add_epoch(number, number)
    made = connect(str(server.address), tmp_path / "home")
    seen = []
    for _ in range(4):
        made.sync()
        seen.append(Run.open(made.path).epochs())
    assert seen == [[3], [2, 3], [1, 2, 3], [1, 2, 3]]


def test_a_run_that_was_made_anew_replaces_the_epochs(
    mirror: Mirror, planted_run: Run, add_epoch: AddEpoch
) -> None:
    add_epoch(2, 0.5)
    mirror.sync()
    shutil.rmtree(planted_run.paths.epoch(2))
    latents = planted_run.epoch(1).path / "latents.safetensors"
    write_tensors(latents, {"latents": torch.full((60, 4), 7.0)})
    mirror.sync()
    copy = Run.open(mirror.path)
    assert copy.epochs() == [1]
    assert (copy.epoch().latents() == 7).all()


def test_nothing_comes_twice_and_nothing_goes_back(mirror: Mirror, planted_run: Run) -> None:
    def stamps(root: Path) -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}

    here, there = stamps(mirror.path), stamps(planted_run.path)
    shelf.keep(Selection("mine", np.arange(5)), mirror.path / "selections")
    moved = []
    mirror.sync(lambda done, of: moved.append(done))
    assert moved == []
    assert stamps(planted_run.path) == there
    assert {path: time for path, time in stamps(mirror.path).items() if path in here} == here


def test_selections_made_here_are_never_replaced(mirror: Mirror, planted_run: Run) -> None:
    here, there = mirror.path / "selections", planted_run.paths.selections

    def names() -> dict[str, int]:
        return {one.name: len(one) for one in shelf.load_all(here)}

    shelf.keep(Selection("both", np.arange(5)), here)
    for name, count in (("both", 9), ("theirs", 7), ("edited", 7), ("deleted", 7)):
        shelf.keep(Selection(name, np.arange(count)), there)
    mirror.sync()
    assert names() == {"both": 5, "theirs": 7, "edited": 7, "deleted": 7}
    shelf.keep(Selection("edited", np.arange(2)), here, overwrite=True)
    shelf.delete(Selection("deleted", np.arange(7)), here)
    for name in ("theirs", "edited"):
        shelf.keep(Selection(name, np.arange(8)), there, overwrite=True)
    mirror.sync()
    assert names() == {"both": 5, "theirs": 8, "edited": 2}


def test_what_is_saved_here_while_it_is_copied_is_kept(
    mirror: Mirror, planted_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.keep(Selection("both", np.arange(9)), planted_run.paths.selections)
    at_once = Connection.download

    def slow(self: Connection, *words: Any) -> None:
        at_once(self, *words)
        shelf.keep(Selection("both", np.arange(5)), mirror.path / "selections")

    monkeypatch.setattr(Connection, "download", slow)
    mirror.sync()
    assert [len(one) for one in shelf.load_all(mirror.path / "selections")] == [5]
    monkeypatch.undo()
    mirror.sync()
    assert [len(one) for one in shelf.load_all(mirror.path / "selections")] == [5]


def test_the_newest_clusters_there_are_the_newest_here(mirror: Mirror, planted_run: Run) -> None:
    for count, method in ((2, "kmeans"), (3, "gmm")):  # not in the order of their names
        asked = ["cluster", str(planted_run.path), "-k", str(count), "--method", method]
        assert main(asked) == 0
        time.sleep(0.02)
    mirror.sync()
    found = latest_clustering(mirror.path / "views", 1)
    assert found is not None and len(found.centres) == 3


def test_a_copy_broken_off_goes_on_and_is_no_run_before(
    server: DecodeServer, tmp_path: Path
) -> None:
    made = connect(str(server.address), tmp_path / "home")

    def stop(done: int, of: int) -> None:
        if 2 * done > of:
            raise Unwanted

    with pytest.raises(Unwanted):
        made.sync(stop)
    with pytest.raises(ValueError, match="is no run"):
        Run.open(made.path)
    made.sync()
    assert len(Run.open(made.path).epoch().latents()) == 60
    assert not list(made.path.rglob("*.tmp*"))


def test_bytes_that_were_changed_on_the_way_are_not_kept(
    server: DecodeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "napari_cryodeco.explore.server.hashed",
        lambda file, size: hashlib.sha256(b"other").hexdigest(),
    )
    made = connect(str(server.address), tmp_path / "home")
    with pytest.raises(ServerGone, match="did not come whole"):
        made.sync()
    assert not (made.path / "run.yaml").exists()


def test_the_status_of_the_training_is_shown_whatever_the_clocks(
    mirror: Mirror, planted_run: Run
) -> None:
    from napari_cryodeco.runs.json_file import write_json
    from napari_cryodeco.runs.progress import Status, read_status

    beat = time.time()
    write_json(
        planted_run.paths.status,
        Status(state="running", stage="refine", host="elsewhere", pid=1, beat=beat, share=0.5),
    )
    mirror.sync()
    found = read_status(mirror.path)
    assert (found.state, found.stage, found.share) == ("running", "refine", 0.5)


# ---- the newest wins


def test_of_a_storm_in_one_lane_only_the_newest_is_answered(server: DecodeServer) -> None:
    lanes = server.service._lanes
    asked = json.dumps({"epoch": 1, "points": [[0.0] * 4], "lane": "mouse"}).encode()
    with ThreadPoolExecutor(50) as crowd, lanes.turn("another", lambda: False):
        waiting = [crowd.submit(answer_to, server, "POST", wire.DECODE, asked) for _ in range(50)]
        _wait(lambda: sum(one.done() for one in waiting) == 49)
        assert {one.result()[0] for one in waiting if one.done()} == {wire.OVERTAKEN}
        left = next(one for one in waiting if not one.done())
    assert left.result()[0] == 200


def test_work_ends_when_its_client_goes_away_or_is_overtaken() -> None:
    lanes, away = Lanes(), threading.Event()
    with pytest.raises(Unwanted), lanes.turn("a", away.is_set) as check:
        check()
        away.set()
        _wait_for_unwanted(check)
    with pytest.raises(Unwanted), lanes.turn("b", lambda: False) as check:
        check()
        lanes._enter("b")
        check()
    with lanes.turn("b", lambda: False):
        pass  # the device is free again


def test_the_server_notices_a_client_that_hangs_up(
    server: DecodeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def endless(self: VolumeDecoder, points: object, radius: object, check: Callable[[], None]):
        try:
            _wait_for_unwanted(check)
        finally:
            ended.set()

    monkeypatch.setattr(VolumeDecoder, "coefficients", endless)
    connection = Connection(server.address)
    asked = {"epoch": 1, "points": [[0.0] * 4], "lane": "mouse"}
    with ThreadPoolExecutor(1) as other:
        worker = other.submit(threading.get_ident).result()
        waiting = other.submit(connection.post_for_bytes, wire.DECODE, asked)
        _wait(lambda: server.service._lanes._device.locked())
        connection.abandon(worker)
        assert ended.wait(10)
        with pytest.raises(ServerGone):
            waiting.result()


def _wait_for_unwanted(check: Callable[[], None]) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        check()
        time.sleep(0.01)


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---- strangers


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", wire.RUN), ("GET", wire.FILES + "run.yaml"), ("POST", wire.DECODE), ("GET", "/")],
)
@pytest.mark.parametrize("token", ["", "wrong", "ä" * 43])
def test_without_the_token_nothing_is_told(
    server: DecodeServer, method: str, path: str, token: str
) -> None:
    headers = {wire.TOKEN: token}
    status, told = answer_to(server, method, path, b"{}" if method == "POST" else None, **headers)
    assert status == 401 and told == {"error": "The token is wrong."}


def test_it_listens_on_the_loopback_only(server: DecodeServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.socket.getsockname()[0] == "127.0.0.1"
    other = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    for address in other.stdout.split()[:1]:
        with pytest.raises(OSError):
            socket.create_connection((address, server.address.port), timeout=2).close()


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "epochs/../../secret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "source/../run.yaml",
        "images.npy",
        "epochs/0001/field.safetensors",
        "serve.txt",
        "log.txt",
        "views/link.safetensors",
        "run.yaml%00",
        "",
    ],
)
def test_no_file_but_the_listed_ones_can_be_had(
    server: DecodeServer, planted_run: Run, name: str
) -> None:
    outside = planted_run.path.parent / "secret.txt"
    outside.write_text("secret")
    (planted_run.path / "serve.txt").write_text("secret")
    (planted_run.paths.views / "link.safetensors").symlink_to(outside)
    status, _ = answer_to(server, "GET", wire.FILES + name)
    assert status == 404
    assert answer_to(server, "GET", wire.FILES + "run.yaml")[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/x", "a/b", "x\\y", "remote.json", "views/x.sh", "source/x.sh"),
        *("views/../x.safetensors", "views/.x.safetensors", "views\\..\\x.safetensors"),
        *("epochs/1/../latents.safetensors", "epochs/x/latents.safetensors"),
        *("epochs/1/latents.safetensors", "epochs/٠٠٠١/latents.safetensors"),
        *("epochs/00001/latents.safetensors", f"epochs/{'9' * 5000}/latents.safetensors"),
    ],
)
def test_a_client_writes_no_name_that_a_bad_server_makes_up(name: str) -> None:
    assert not is_served(name)


def test_every_file_that_is_listed_may_be_copied(planted_run: Run) -> None:
    shelf.keep(Selection("one", np.arange(3)), planted_run.paths.selections)
    names = served(planted_run.path)
    assert all(map(is_served, names))
    assert {"run.yaml", "epochs/0001/latents.safetensors", "source/particles_gt.star"} <= set(names)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"no json", {}, 400),
        (b"[1]", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"{}", {"Content_Length": str(2**40)}, 413),
        (b"{}", {"Content_Length": "-1"}, 411),
        (json.dumps({"epoch": 1, "lane": "a", "points": [[0.0] * 4] * 9}).encode(), {}, 400),
        (json.dumps({"epoch": 1, "lane": "a", "points": [[0.0] * 3]}).encode(), {}, 400),
        (json.dumps({"epoch": 1, "lane": "a", "points": [["a"]]}).encode(), {}, 400),
        (json.dumps({"epoch": 1, "lane": "a" * 999, "points": [[0.0] * 4]}).encode(), {}, 400),
        (json.dumps({"epoch": 9, "lane": "a", "points": [[0.0] * 4]}).encode(), {}, 400),
        (json.dumps({"epoch": "../1", "lane": "a", "points": [[0.0] * 4]}).encode(), {}, 400),
    ],
)
def test_wrong_requests_are_one_sentence_and_the_server_goes_on(
    server: DecodeServer, body: bytes, headers: dict[str, str], status: int
) -> None:
    found, told = answer_to(server, "POST", wire.DECODE, body, **headers)
    assert found == status
    assert told["error"].endswith(".") and "\n" not in told["error"]
    assert answer_to(server, "GET", wire.RUN)[0] == 200


def test_the_token_is_new_each_time_and_in_no_file_that_others_read(
    planted_run: Run, tmp_path: Path
) -> None:
    with DecodeServer(planted_run.path) as one, DecodeServer(planted_run.path) as two:
        assert one.address.token != two.address.token
        assert len(one.address.token) >= 40
        thread = threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        made = connect(str(one.address), tmp_path)
        made.sync()
        one.shutdown()
        for path in [*planted_run.path.rglob("*"), *made.path.rglob("*")]:
            if path.is_file() and one.address.token.encode() in path.read_bytes():
                assert path.name == "remote.json" and path.stat().st_mode & 0o077 == 0


# ---- sentences


def test_an_address_is_read_and_anything_else_refused() -> None:
    token = "a" * 43
    for text in (f"http://localhost:80/#{token}", f" http://127.0.0.1:80#{token}\n"):
        assert parse_address(text) == Address(80, token)
    wrong = ("", "localhost:80", f"http://node7:80/#{token}", f"http://localhost:99999/#{token}")
    for text in (*wrong, f"https://localhost:80/#{token}", "http://localhost:80/#short"):
        with pytest.raises(ValueError, match="`cryodeco serve RUN` printed"):
            parse_address(text)


def test_a_wrong_token_and_another_run_are_refused_in_one_sentence(
    mirror: Mirror, server: DecodeServer, planted_template: Run, tmp_path: Path
) -> None:
    other = Address(server.address.port, "b" * 43)
    with pytest.raises(ServerRefused, match="paste the whole address"):
        connect(str(other), tmp_path)
    server.service.run = planted_template.path
    with pytest.raises(ServerRefused, match="serves another run now"):
        mirror.sync()


def test_another_version_of_the_program_is_told(
    server: DecodeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_cryodeco.explore.connection.AGREEMENT", 2)
    with pytest.raises(ServerRefused, match="install the same version on both machines"):
        connect(str(server.address), tmp_path)


def test_a_tunnel_that_breaks_is_told_and_found_again(
    server: DecodeServer, planted_run: Run, tmp_path: Path, tunnel: Callable[[int], Any]
) -> None:
    way = tunnel(server.address.port)
    made = connect(str(Address(way.port, server.address.token)), tmp_path)
    made.sync()
    decoder, latents = open_decoder(Run.open(made.path).epoch()), planted_run.epoch().latents()
    decoder.decode(VolumeRequest(latents[0]))
    way.cut()
    for _ in range(2):
        with pytest.raises(ServerGone, match=f"No decode server answers at localhost:{way.port}"):
            decoder.decode(VolumeRequest(latents[1]))
    with pytest.raises(ServerGone):
        made.sync()
    way.mend()
    made.sync()
    here = VolumeDecoder(planted_run.epoch().field_path).decode(VolumeRequest(latents[1]))
    assert np.array_equal(decoder.decode(VolumeRequest(latents[1])).data, here.data)


def test_a_tunnel_that_breaks_while_a_map_is_decoded(
    server: DecodeServer,
    planted_run: Run,
    tmp_path: Path,
    tunnel: Callable[[int], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way = tunnel(server.address.port)
    made = connect(str(Address(way.port, server.address.token)), tmp_path)
    made.sync()
    decoder = open_decoder(Run.open(made.path).epoch())

    def endless(self: Any, points: object, radius: object, check: Callable[[], None]) -> None:
        _wait_for_unwanted(check)

    monkeypatch.setattr(VolumeDecoder, "coefficients", endless)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(decoder.decode, VolumeRequest(np.zeros(4)))
        _wait(lambda: server.service._lanes._device.locked())
        way.cut()
        with pytest.raises(ServerGone, match="No decode server answers"):
            waiting.result(20)
    _wait(lambda: not server.service._lanes._device.locked())  # and the work there ended


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\n\r\n{}"])
def test_what_is_no_decode_server_is_told(said: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def speak() -> None:
            line, _ = other.accept()
            line.recv(65536)
            line.sendall(said)
            line.close()

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        address = Address(other.getsockname()[1], "a" * 43)
        with pytest.raises((ServerGone, ServerRefused), match="decode server") as caught:
            connect(str(address), tmp_path)
        thread.join()
    assert "\n" not in str(caught.value)


def test_an_answer_that_breaks_off_is_no_map(server: DecodeServer, mirror: Mirror) -> None:
    from napari_cryodeco.explore.server import _Handler

    decoder = open_decoder(Run.open(mirror.path).epoch())
    whole = _Handler._send_head

    def too_long(self: Any, status: int, length: int, headers: Any) -> None:
        whole(self, status, length + 100, headers)
        self.close_connection = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Handler, "_send_head", too_long)
        with pytest.raises(ServerGone):
            decoder.decode(VolumeRequest(np.zeros(4)))
    assert decoder.decode(VolumeRequest(np.zeros(4))).data.any()


def test_without_a_server_the_codebook_stands_in(
    server: DecodeServer, planted_run: Run, tmp_path: Path
) -> None:
    from napari_cryodeco.gui.decoding import open_decoder as open_for_window

    save_codebook(make_codebook(planted_run, centres=4, side=2, box=12), planted_run)
    made = connect(str(server.address), tmp_path)
    made.sync()
    server.shutdown()
    server.server_close()
    decoder = open_for_window(Run.open(made.path), 1)
    assert "no server answers" in decoder.where and "codebook" in decoder.where
    assert decoder.decode(VolumeRequest(np.zeros(4))).data.any()


# ---- commands


@pytest.mark.parametrize("mode", [0o600, 0o644, None])
def test_the_token_is_said_only_where_nobody_else_reads(
    planted_run: Run, tmp_path: Path, mode: int | None
) -> None:
    log, note = tmp_path / "job.out", planted_run.path / "serve.txt"
    command = [sys.executable, "-m", "napari_cryodeco", "serve", str(planted_run.path)]
    with log.open("w") as file:
        log.chmod(mode or 0o600)
        job = subprocess.Popen(command, stdout=subprocess.PIPE if mode is None else file)
        try:
            _wait(note.is_file)
            token = parse_address(note.read_text().split()[-1]).token
            if job.stdout is not None:
                said = job.stdout.readline() + job.stdout.readline()
            else:
                _wait(lambda: log.read_text().count("\n") > 1)
                said = log.read_bytes()
            assert (token in said.decode()) == (mode == 0o600)
            assert mode == 0o600 or str(note) in said.decode()
        finally:
            job.terminate()
            job.wait(20)
            if job.stdout is not None:
                job.stdout.close()


def test_the_commands_serve_and_mirror(
    planted_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "napari_cryodeco", "serve", str(planted_run.path)]
    log, note = tmp_path / "job.out", planted_run.path / "serve.txt"
    with log.open("w") as stream:
        log.chmod(0o644)
        settings = os.environ | {"SLURM_SUBMIT_HOST": "login1"}
        job = subprocess.Popen(command, stdout=stream, stderr=stream, env=settings)
        try:
            _wait(lambda: note.is_file() and log.read_text() != "")
            assert note.stat().st_mode & 0o777 == 0o600
            ssh, window = note.read_text().strip().splitlines()
            address = window.split()[-1]
            port = parse_address(address).port
            assert f"-L {port}:127.0.0.1:{port} " in ssh and "@login1 " in ssh
            assert parse_address(address).token not in log.read_text()
            assert str(note) in log.read_text()
            assert main(["mirror", address, "-o", str(tmp_path / "home")]) == 0
            copy = Path(capsys.readouterr().out.split(" is a copy")[0])
            out = tmp_path / "map.mrc"
            assert main(["decode", str(copy), "--row", "3", "-o", str(out)]) == 0
            assert out.is_file()
        finally:
            job.terminate()
            job.wait(20)
    assert not note.exists()
    assert main(["mirror", address, "-o", str(tmp_path / "home")]) == 1
    assert "No decode server answers" in capsys.readouterr().err
    assert main(["mirror", "http://x"]) == 1
    assert "`cryodeco serve RUN` printed" in capsys.readouterr().err
