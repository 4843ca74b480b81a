"""A run on another machine, opened by its address: maps follow the mouse, tunnels break."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_cryodeco.explore.codebook import make_codebook, save_codebook
from napari_cryodeco.explore.server import DecodeServer
from napari_cryodeco.explore.wire import Address
from napari_cryodeco.gui import remote_run
from napari_cryodeco.gui.evidence_panel import EvidencePanel
from napari_cryodeco.gui.export_plan import Order, What, make_plan
from napari_cryodeco.gui.scatter import Mode
from napari_cryodeco.runs.run import Run

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def way(server, tunnel, monkeypatch, tmp_path):
    """A tunnel to the server; copies go to a folder of the test."""
    monkeypatch.setattr(remote_run, "FOLLOW_MS", 100)
    monkeypatch.setattr(remote_run, "default_home", lambda: tmp_path / "home")
    made = tunnel(server.address.port)
    made.address = str(Address(made.port, server.address.token))
    return made


@pytest.fixture
def remote(panel, way, qtbot):
    """The panel after an address was typed."""
    panel.run_bar.ask_address()
    panel.run_bar.address.setText(way.address)
    qtbot.keyClick(panel.run_bar.address, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.session.snapshot is not None, timeout=30_000)
    qtbot.waitUntil(lambda: "on" in panel.map_bar.status.text(), timeout=30_000)
    yield panel
    panel.remote.close()


def point(panel, across):
    rect = panel.scatter.frame().rect
    return QPoint(round(rect.left() + across * rect.width()), round(rect.center().y()))


def drag(qtbot, panel, start=0.2, stop=0.8):
    """Drag the cursor over the plot with the mouse; the maps that came while it moved."""
    panel.selection.set_mode(Mode.POINT)
    answers = []
    panel.decoding.decoded.connect(answers.append)
    qtbot.mousePress(panel.scatter, LEFT, NONE, point(panel, start))
    for across in np.linspace(start, stop, 25):
        qtbot.mouseMove(panel.scatter, point(panel, across))
        qtbot.wait(10)
    moving = len(answers)
    qtbot.mouseRelease(panel.scatter, LEFT, NONE, point(panel, stop))
    qtbot.waitUntil(lambda: bool(answers) and answers[-1].full, timeout=20_000)
    panel.decoding.decoded.disconnect(answers.append)
    return answers[:moving], answers[-1]


def test_an_address_opens_the_run_and_maps_follow_the_mouse(remote, qtbot, server):
    assert not remote.run_bar.address.isVisible() and remote.run_bar.address.text() == ""
    host = server.service.host
    assert f"on {host}" in remote.run_bar.name.text()
    qtbot.waitUntil(lambda: "Maps are decoded on" in remote.run_bar.connection.text())
    while_moving, last = drag(qtbot, remote)
    assert while_moving and last.device == f"{host}: cpu"
    assert f"on {host}: cpu" in remote.map_bar.status.text()
    z = last.volume.request.z
    from napari_cryodeco.explore.volumes import VolumeDecoder

    here = VolumeDecoder(Run.open(server.service.run).epoch().field_path, "cpu")
    assert np.array_equal(here.decode(last.volume.request).data, last.volume.data)
    assert np.allclose(z, remote.session.wanted().z)


def test_fifty_points_at_once_leave_one_map_the_newest(remote, qtbot):
    answers = []
    remote.decoding.decoded.connect(answers.append)
    latents = remote.session.loaded().latents
    for row in range(50):
        remote.decoding.request(latents[row], f"particle {row}")
    qtbot.waitUntil(lambda: bool(answers) and answers[-1].full, timeout=20_000)
    qtbot.wait(200)
    whole = [one.caption for one in answers if one.full]  # the first map of the run may end, too
    assert [name for name in whole if name.startswith("particle")] == ["particle 49"]
    assert remote.message.text() == ""


def test_a_cut_tunnel_is_told_loses_nothing_and_comes_back_by_itself(remote, qtbot, way):
    mask = np.arange(60) % 2 == 0
    remote.session.select(mask, "replace")
    before = remote.session.selected.copy()
    way.cut()
    qtbot.waitUntil(lambda: "Not up to date" in remote.run_bar.connection.text(), timeout=20_000)
    remote.session.move_cursor_to(11)
    qtbot.waitUntil(lambda: "No decode server answers" in remote.message.text(), timeout=20_000)
    assert f"localhost:{way.port}" in remote.message.text()
    assert np.array_equal(remote.session.selected, before)
    with qtbot.waitSignal(remote.decoding.decoded, timeout=20_000):
        way.mend()
    qtbot.waitUntil(lambda: "Maps are decoded on" in remote.run_bar.connection.text())
    assert remote.message.text() == ""
    assert np.array_equal(remote.session.selected, before)


def test_a_codebook_stands_in_while_the_tunnel_is_cut(planted_run, panel, way, qtbot, server):
    save_codebook(make_codebook(planted_run, centres=4, side=2, box=12), planted_run)
    panel.open_address(way.address)
    qtbot.waitUntil(lambda: "cpu" in panel.map_bar.status.text(), timeout=30_000)
    assert "codebook" not in panel.map_bar.status.text()
    way.cut()
    qtbot.waitUntil(lambda: "codebook" in panel.map_bar.status.text(), timeout=20_000)
    way.mend()
    there = f"on {server.service.host}: cpu"
    qtbot.waitUntil(lambda: there in panel.map_bar.status.text(), timeout=20_000)
    panel.remote.close()


def test_a_new_epoch_of_the_training_appears(remote, qtbot, add_epoch):
    add_epoch(2, 0.5)
    qtbot.waitUntil(lambda: remote.session.epoch == 2, timeout=20_000)
    qtbot.waitUntil(lambda: remote.run_bar.scrubber.maximum() == 1, timeout=20_000)


def test_a_server_that_was_started_again_keeps_the_selection(remote, qtbot, server, planted_run):
    remote.session.select(np.arange(60) < 9, "replace")
    opened = []
    remote.session.opened.connect(opened.append)
    with DecodeServer(planted_run.path) as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        with qtbot.waitSignal(remote.remote.ready, timeout=20_000):
            remote.open_address(str(other.address))
        with qtbot.waitSignal(remote.decoding.decoded, timeout=20_000):
            remote.session.move_cursor_to(5)
        remote.remote.close()
        other.shutdown()
    assert len(remote.session.selected) == 9 and not opened


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-4] + "AAAA", "paste the whole address"),
        (lambda text: "http://node7:1/#" + "a" * 43, "`cryodeco serve RUN` printed"),
        (lambda text: "http://localhost:1/#" + "a" * 43, "No decode server answers at localhost:1"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(panel, way, qtbot, change, words):
    panel.open_address(change(way.address))
    qtbot.waitUntil(lambda: words in panel.message.text(), timeout=20_000)
    assert panel.session.snapshot is None and panel.run_bar.connection.text() == ""


def test_evidence_says_where_it_can_be_had(remote, qtbot, server):
    remote.session.select(np.arange(60) < 40, "replace")
    evidence = EvidencePanel(remote.viewer_for_test)
    qtbot.addWidget(evidence)
    qtbot.mouseClick(evidence.start, LEFT)
    sentence = f"stay on {server.service.host}"
    qtbot.waitUntil(lambda: sentence in evidence.work.message.text(), timeout=20_000)


def test_an_export_says_where_its_images_are(remote, tmp_path, server):
    from napari_cryodeco.explore.figure import Group

    order = Order(What.PARTICLES, tmp_path / "a.star", (Group("a", np.arange(5), ""),))
    plan = make_plan(order, remote.session.loaded())
    assert any(f"as they lie on {server.service.host}" in one for one in plan.warnings)
    assert plan.obstacle == ""
    with_images = Order(What.PARTICLES, order.target, order.groups, with_images=True)
    assert "stay on" in make_plan(with_images, remote.session.loaded()).obstacle
