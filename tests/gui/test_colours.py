"""Colour by anything: every column with its unit, directions as a hue, columns of one's own."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_cryodeco.explore import sphere
from napari_cryodeco.gui import colouring, style
from napari_cryodeco.gui.colours import DIRECTION
from napari_cryodeco.gui.explorer_view import QFileDialog
from napari_cryodeco.gui.latest import Latest
from napari_cryodeco.gui.view_bar import ADD


@pytest.fixture
def listed(opened, qtbot):
    qtbot.waitUntil(lambda: bool(opened.session.columns), timeout=20_000)
    return opened


def choose(panel, qtbot, key: str):
    panel.view_bar.colour_chosen.emit(key)
    qtbot.waitUntil(lambda: not panel.view.colours._reading.busy, timeout=20_000)
    qtbot.wait(20)  # its answer is on the way
    return panel.session.colouring


def keys(panel) -> list[str]:
    box = panel.view_bar.colour
    return [box.itemData(i) for i in range(box.count())]


def test_every_column_is_offered_once(listed):
    found = keys(listed)
    assert len(found) == len(set(found))
    assert {"density", "local density", DIRECTION, "defocus", "astigmatism", "shift"} <= set(found)
    assert {"rlnDefocusU", "PC1", "z1", "|z|"} <= set(found)
    assert listed.view_bar.colour.itemText(len(found) - 1) == ADD


def test_an_angle_comes_round_and_a_number_has_its_unit(listed, qtbot):
    angle = choose(listed, qtbot, "azimuth")
    assert angle.cyclic and angle.high - angle.low == 360 and "°" in angle.title
    defocus = choose(listed, qtbot, "defocus")
    ctf = listed.session.run.particles.ctf
    assert np.allclose(defocus.values, (ctf.defocus_u + ctf.defocus_v) / 2, rtol=1e-6)
    assert "Å" in defocus.title and not defocus.cyclic
    density = choose(listed, qtbot, "local density")
    assert density.label == "density"  # the name in recipes
    choose(listed, qtbot, "density")
    assert isinstance(listed.session.colouring, colouring.Density)


def test_what_another_panel_colours_by_is_what_the_box_says(listed, qtbot):
    session, box = listed.session, listed.view_bar.colour
    n = len(session.loaded().latents)
    session.set_colouring(colouring.by_value("angle from tilt 12° (°)", np.arange(n)))
    assert box.currentText() == "angle from tilt 12° (°)"
    session.set_colouring(colouring.by_value("defocus", np.arange(n)))
    assert box.currentData() == "defocus"
    assert "angle from tilt 12° (°)" not in keys(listed)
    assert choose(listed, qtbot, "azimuth").cyclic and box.currentData() == "azimuth"


def test_viewing_directions_have_a_hue(listed, qtbot):
    found = choose(listed, qtbot, DIRECTION)
    third = listed.session.run.epoch().poses().rotations[:, 2].numpy()
    tilt, azimuth = np.radians(found.tilt), np.radians(found.azimuth)
    assert np.allclose(np.cos(tilt), third[:, 2], atol=1e-5)
    assert np.allclose(np.sin(tilt) * np.cos(azimuth), third[:, 0], atol=1e-5)
    assert "azimuth" in listed.session.describe(0)
    listed.scatter.grab()


def test_near_directions_look_alike_and_far_ones_do_not():
    rng = np.random.default_rng(0)
    azimuth = rng.uniform(-180, 180, 2000)
    tilt = np.degrees(np.arccos(rng.uniform(-1, 1, 2000)))
    found = colouring.Directional(azimuth.astype(np.float32), tilt.astype(np.float32))
    ink = style.ink_of(found, dark=True)
    exact = style.direction_colours(azimuth, tilt).astype(int)
    assert np.abs(ink.table[ink.index].astype(int) - exact).max() < 45
    unknown = colouring.Directional(np.array([np.nan], np.float32), np.zeros(1, np.float32))
    assert style.ink_of(unknown, True).index[0] == 255
    x, y = sphere.project(azimuth, tilt)
    back = sphere.directions(x.astype(float), y.astype(float))
    assert np.allclose(back[1], tilt, atol=0.02)
    turn = (back[0] - azimuth + 180) % 360 - 180
    assert np.abs(turn * np.sin(np.radians(tilt))).max() < 0.05
    assert np.isnan(sphere.directions(np.array([2.8]), np.array([1.0]))[1][0])


def test_a_column_of_ones_own(listed, qtbot, tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=len(listed.session.loaded().latents))
    np.save(tmp_path / "my score.npy", values)
    chosen = str(tmp_path / "my score.npy")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (chosen, ""))
    box = listed.view_bar.colour
    box.setCurrentIndex(box.count() - 1)
    box.activated.emit(box.count() - 1)
    qtbot.waitUntil(lambda: listed.session.colouring.label == "my score", timeout=20_000)
    assert np.allclose(listed.session.colouring.values, values, rtol=1e-5)
    assert listed.view_bar.colour.currentData() == "my score"
    assert list(listed.session.run.paths.columns.iterdir())


def test_a_wrong_file_is_one_sentence(listed, qtbot, tmp_path, monkeypatch):
    np.save(tmp_path / "short.npy", np.zeros(3))
    chosen = str(tmp_path / "short.npy")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (chosen, ""))
    listed.view_bar.column_asked.emit()
    qtbot.waitUntil(lambda: "has 3 rows" in listed.message.text(), timeout=20_000)
    assert listed.view_bar.colour.currentData() == "density"


def test_particles_that_a_file_does_not_name_are_told(listed, qtbot, tmp_path):
    names = listed.session.columns["rlnImageName"][:50]
    rows = [f"{name},{i}" for i, name in enumerate(names)]
    (tmp_path / "score.csv").write_text("\n".join(["rlnImageName,ctf score", *rows]))
    listed.view.colours.add(tmp_path / "score.csv")
    qtbot.waitUntil(lambda: listed.session.colouring.label == "ctf score", timeout=20_000)
    assert np.array_equal(listed.session.colouring.values[:50], np.arange(50))
    assert np.isnan(listed.session.colouring.values[50:]).all()
    assert "no values for 10 particles" in listed.message.text()


def test_only_the_newest_answer_counts(qtbot):
    latest, gate, got = Latest(), threading.Event(), []
    latest.returned.connect(got.append)

    def slow(_):
        gate.wait(10)
        return "slow"

    latest.ask(slow)
    latest.ask(lambda _: "never begun")
    latest.ask(lambda _: "newest")
    gate.set()
    qtbot.waitUntil(lambda: bool(got), timeout=10_000)
    qtbot.wait(50)
    assert got == ["newest"] and not latest.busy
    with qtbot.waitSignal(latest.failed, timeout=10_000) as caught:
        latest.ask(lambda _: int("x"))
    assert "invalid literal" in caught.args[0]
