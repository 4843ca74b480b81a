"""The alarm names the condition by which a selection was made, and is silent for random ones."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_cryodeco.explore import landscape, user_columns
from napari_cryodeco.explore.alarm import covariates, sound_alarm
from napari_cryodeco.explore.columns import Columns
from napari_cryodeco.runs.run import Run


@pytest.fixture
def columns(wide_run: Run) -> Columns:
    return Columns(wide_run)


def names(alarm) -> list[str]:
    return [finding.column.name for finding in alarm.warnings]


def test_a_defocus_cluster_is_told(columns: Columns) -> None:
    defocus = columns.read(["defocus"])["defocus"]
    alarm = sound_alarm(columns, np.flatnonzero(defocus > np.quantile(defocus, 0.7)))
    # the defocus of a micrograph is one, so its micrographs are few: both are true
    assert set(names(alarm)) == {"defocus", "micrograph"}
    said = {finding.column.name: finding for finding in alarm.warnings}["defocus"]
    assert said.difference.grade == "strong"
    assert said.sentence.endswith("this selection is a defocus cluster.")
    assert " Å in the selection" in said.sentence
    assert alarm.summary.startswith("2 of ")


def test_a_viewing_direction_cluster_is_told(columns: Columns) -> None:
    third = columns.epoch.poses().rotations[:, 2].numpy()
    alarm = sound_alarm(columns, np.flatnonzero(third @ np.array([0.6, 0, 0.8]) > 0.6))
    assert names(alarm) == ["viewing direction"]
    assert "this selection is a viewing-direction cluster" in alarm.warnings[0].sentence
    told = re.search(r"tilt (\d+)°, azimuth (-?\d+)°", alarm.warnings[0].sentence)
    assert abs(int(told[1]) - 37) < 15  # centres of caps are 12° apart
    assert abs(int(told[2])) < 20


def test_particles_of_few_micrographs_are_told(columns: Columns) -> None:
    micrograph = columns.read(["micrograph"])["micrograph"]
    alarm = sound_alarm(
        columns,
        np.flatnonzero(np.isin(micrograph, ["Micrographs/mic3.mrc", "Micrographs/mic4.mrc"])),
    )
    assert names(alarm)[0] == "micrograph"
    assert "mic3.mrc holds 50.0% of the selection and 0.0% of" in alarm.warnings[0].sentence


def test_a_random_selection_alarms_nobody(columns: Columns) -> None:
    rows = np.random.default_rng(0).choice(600, 150, replace=False)
    alarm = sound_alarm(columns, rows)
    assert not alarm.warnings
    assert alarm.summary.startswith("No alarm: in ")


def test_columns_of_the_user_are_compared_latents_are_not(columns: Columns) -> None:
    chosen = np.zeros(600, dtype=bool)
    chosen[np.random.default_rng(2).choice(500, 100, replace=False)] = True
    ice = np.random.default_rng(1).normal(size=600) + 3 * chosen
    ice[500:] = np.nan  # not known of all
    user_columns.keep(columns.run.paths.columns, "ice", ice)
    latents = columns.epoch.latents()
    landscape.save(landscape.cluster(latents, 2, epoch=1), columns.run.paths.views)
    again = Columns(columns.run)
    assert not {"z1", "PC1", "cluster", "posterior", "rlnImageName", "rlnAngleRot"} & set(
        covariates(again)
    )
    assert names(sound_alarm(again, np.flatnonzero(chosen)))[0] == "ice"


def test_too_few_particles_and_unknown_names_are_told(columns: Columns) -> None:
    with pytest.raises(ValueError, match="3 of 600 particles are selected: at least 10"):
        sound_alarm(columns, np.arange(3))
    with pytest.raises(ValueError, match="has no column rlnNothing"):
        sound_alarm(columns, np.arange(300), names=["rlnNothing"])
