"""The card: its numbers by hand, its verdict by what is wrong with the selection."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_cryodeco.explore import landscape, stability
from napari_cryodeco.explore.columns import Columns
from napari_cryodeco.explore.health import judge_selection, resolution_by_count
from napari_cryodeco.runs.run import Run


def test_the_count_decides_by_the_formula() -> None:
    """Rosenthal & Henderson's N at a resolution, put back in."""
    for d, b in ((3.0, 100.0), (5.0, 150.0), (8.0, 50.0)):
        count = 30 * np.pi / (3 * 5.0 * 0.004 * d) * np.exp(b / (2 * d**2))
        assert resolution_by_count(count, b) == pytest.approx(d, rel=1e-6)
    assert resolution_by_count(10**6) < resolution_by_count(10**4) < resolution_by_count(100)


def test_a_random_selection_is_its_numbers(wide_run: Run) -> None:
    rows = np.random.default_rng(0).choice(600, 400, replace=False)
    columns = Columns(wide_run)
    card = judge_selection(columns, rows, "random")
    assert (card.count, card.total, card.epoch) == (400, 600, 1)
    defocus = columns.read(["defocus"])["defocus"]
    np.testing.assert_allclose(card.defocus, np.percentile(defocus[rows], (5, 50, 95)))
    assert card.micrographs is not None
    assert card.micrographs[:2] == (20, 20)
    largest = np.bincount(rows // 30).max() / 400
    assert card.micrographs[2] == pytest.approx(largest)
    assert card.ceiling.images == 16.0
    assert card.ceiling.working is None
    assert card.coverage > 0.99
    assert (card.verdict, card.reasons) == ("go", ())
    assert card.sentences[-1] == "nothing speaks against it"
    assert json.loads(json.dumps(card.record()))["fraction"] == pytest.approx(2 / 3)


def test_views_from_one_side_are_no_go(wide_run: Run) -> None:
    third = wide_run.epoch().poses().rotations[:, 2]
    card = judge_selection(Columns(wide_run), torch.where(third[:, 2] > 0.9)[0].numpy(), "top")
    assert card.coverage < 0.6
    assert card.verdict == "no-go"
    said = " ".join(reason.sentence for reason in card.reasons)
    assert "seen from few sides" in said
    assert "viewing-direction cluster" in said
    missing = replace(card, coverage=0.4, alarm=None)
    assert [reason.level for reason in missing.reasons] == ["careful", "no-go"][::-1]
    assert [reason.level for reason in card.reasons] == sorted(
        (reason.level for reason in card.reasons), key=["no-go", "careful", "go"].index
    )


def test_too_few_particles_are_no_go(wide_run: Run) -> None:
    columns = Columns(wide_run)
    card = judge_selection(columns, np.arange(0, 600, 75), "eight")
    assert card.alarm is None
    assert card.verdict == "no-go"
    assert "8 particles are too few for two half-maps." in card.sentences[-1] + card.sentences[-2]
    few = judge_selection(columns, np.random.default_rng(1).choice(600, 100, False), "few")
    assert few.verdict == "careful"
    assert "reach 18 Å at best" in few.reasons[0].sentence
    with pytest.raises(ValueError, match="nothing: select at least one particle"):
        judge_selection(columns, np.array([], int), "nothing")
    with pytest.raises(ValueError, match="rows 0 to 599"):
        judge_selection(columns, np.array([600]), "beyond")


def test_the_whole_set_has_nobody_to_compare_with(wide_run: Run) -> None:
    card = judge_selection(Columns(wide_run), np.arange(600), "all")
    assert card.alarm is None
    assert card.verdict == "go"


def test_a_cluster_that_does_not_come_back_is_told(wide_run: Run) -> None:
    views, z = wide_run.paths.views, wide_run.epoch().latents()
    halves = landscape.cluster(z, 2, "kmeans", epoch=1)
    landscape.save(halves, views)
    columns = Columns(wide_run)
    assert judge_selection(columns, halves.members([1]), "1").steadiness is None
    stability.save(stability.stability(halves, z, 2), views, 1)
    steady = judge_selection(columns, halves.members([1]), "1")
    assert steady.steadiness is not None
    assert steady.steadiness.jaccard > 0.99
    assert steady.steadiness.core == 300
    # a selection across the clusters is none of them
    assert judge_selection(columns, np.arange(0, 600, 3), "third").steadiness is None
    parts = landscape.cluster(z[:, 2:], 8, "kmeans", epoch=1)  # eight parts of one round cloud
    landscape.save(parts, views)
    found = stability.stability(parts, z[:, 2:], 3)
    stability.save(found, views, 1)
    worst = int(found.jaccard.argmin()) + 1
    card = judge_selection(columns, parts.members([worst]), "part")
    assert card.verdict in ("careful", "no-go")
    assert any("does not come back with other seeds" in r.sentence for r in card.reasons)


def test_core_particles_are_those_of_a_sure_posterior(wide_run: Run) -> None:
    z = wide_run.epoch().latents()[:, 1:]
    clusters = landscape.cluster(z, 3)
    rows = clusters.members([1, 2])
    core = clusters.core(rows, 0.9)
    expected = [row for row in rows if clusters.posteriors[row, clusters.labels[row]] >= 0.9]
    assert core.tolist() == expected
    assert 0 < len(core) < len(rows)
