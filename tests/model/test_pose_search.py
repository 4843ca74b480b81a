"""The search finds planted poses, with no network and no files."""

from __future__ import annotations

import pytest
import torch

from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.model.evidence import Evidence, shift_disc
from napari_cryodeco.model.pose_search import Candidates, refine
from napari_cryodeco.train.matching import (
    FOLDS,
    Matcher,
    SearchPlan,
    fold_sums,
    rebuild,
    rebuilt,
    search,
)

BOX, RADIUS, COUNT = 24, 11, 40


@pytest.fixture(scope="module")
def planted() -> tuple[Evidence, torch.Tensor, Poses, Ball]:
    """Noisy, shifted, CTF-ed slices of a cloud of Gaussians at known poses."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(20, 3, generator=generator) * torch.tensor([1.5, 2.5, 3.5])
    disc, ball = Ball(RADIUS, 2), Ball(RADIUS, 3)
    rotations = so3.random_rotations(COUNT, generator)
    shifts = (torch.rand(COUNT, 2, generator=generator) - 0.5) * 0.1

    def transform(k: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        phase = 2 * torch.pi * k @ where.T / BOX
        width = torch.exp(-2 * (torch.pi * k.norm(dim=-1) / BOX) ** 2)
        return (phase.cos() + phase.sin()).sum(-1) * width

    clean = torch.stack([transform(disc.points.float(), (points @ r.T)[:, :2]) for r in rotations])
    volume = transform(ball.points.float(), points)
    ctf = 0.2 + 0.8 * torch.cos(disc.radii * torch.rand(COUNT, 1, generator=generator) * 0.5)
    moved = disc.shift(clean, -shifts)  # the particle sits at minus its origin
    noise = 0.3 * torch.randn(moved.shape, generator=generator)
    return Evidence.of(ctf * moved + noise, ctf, disc), volume, Poses(rotations, shifts), ball


def test_shifts_fill_a_disc_around_the_origin():
    shifts = shift_disc(0.1, 0.025)
    assert shifts.norm(dim=1).max() <= 0.1 + 1e-6
    assert (shifts.norm(dim=1) == 0).sum() == 1
    assert torch.allclose(shifts.sum(0), torch.zeros(2), atol=1e-5)


def test_search_finds_the_planted_poses(planted):
    evidence, volume, poses, ball = planted
    matcher = Matcher(volume, ball, evidence.ball, SearchPlan(8, RADIUS))
    rotations, shifts, _ = search(evidence, matcher).best()
    errors = torch.rad2deg(so3.angle_between(rotations, poses.rotations))
    assert errors.median() < 3 and (errors < 8).float().mean() > 0.9
    assert (shifts - poses.shifts).norm(dim=1).median() < 0.02


def test_a_wrong_hand_or_transposed_rotation_scores_worse(planted):
    evidence, volume, poses, ball = planted
    matcher = Matcher(volume, ball, evidence.ball, SearchPlan(8, RADIUS))
    moved = evidence.shifted(poses.shifts[:, None])[:, 0]

    def likelihood(rotations: torch.Tensor) -> torch.Tensor:
        slices = matcher.render(rotations, RADIUS)
        return (moved * slices - 0.5 * evidence.ctf2 * slices**2).sum(1)

    right = likelihood(poses.rotations)
    assert (right > likelihood(poses.rotations.transpose(1, 2))).float().mean() > 0.95


def test_refinement_never_loses_the_best(planted):
    evidence, volume, poses, ball = planted
    matcher = Matcher(volume, ball, evidence.ball, SearchPlan(8, RADIUS))
    near = so3.rotvec_to_matrix(torch.full((COUNT, 3), 0.08)) @ poses.rotations
    start = Candidates(near[:, None], poses.shifts[:, None], torch.zeros(COUNT, 1))
    step, found = 0.06, start
    for _ in range(4):
        found = refine(evidence, matcher.render, found, step, torch.zeros(1, 2), RADIUS, 2)
        step /= 2
    errors = so3.angle_between(found.best()[0], poses.rotations)
    assert errors.median() < so3.angle_between(near, poses.rotations).median() / 2


def test_rebuilding_at_true_poses_gives_the_map_and_agreeing_halves(planted):
    evidence, volume, poses, _ = planted
    power = torch.full((RADIUS + 1,), 50.0)
    made = rebuild(evidence, poses.rotations, poses.shifts, torch.ones(COUNT), power, 6)
    truth = volume[: len(made.volume)]
    overlap = (made.volume * truth).sum() / (made.volume.norm() * truth.norm())
    assert overlap > 0.9
    assert made.fsc[:2].min() > 0.5


def test_no_image_is_in_the_map_that_leaves_its_fold_out(planted):
    evidence, _, poses, _ = planted
    power, everyone = torch.full((RADIUS + 1,), 50.0), torch.ones(COUNT)
    folds = torch.randint(FOLDS, (COUNT,), generator=torch.Generator().manual_seed(0))
    made = rebuilt(fold_sums(evidence, poses, everyone, 6, folds), power)
    for fold, left_out in enumerate(made.left_out):
        rest = (folds != fold).float()
        alone = rebuild(evidence, poses.rotations, poses.shifts, rest, power, 6).volume
        assert torch.allclose(left_out, alone, atol=1e-4 * float(alone.abs().max()))
        assert not torch.allclose(left_out, made.volume, atol=1e-2 * float(alone.abs().max()))
