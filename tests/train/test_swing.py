"""One species that moves: what is followed, what is searched in several maps, what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.imaging import so3
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import MIRROR, Poses
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.store import write_tensors
from napari_cryodeco.train.common_frame import HALF_TURN
from napari_cryodeco.train.joint import JointStage
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.motion_stage import UNITS as MOTION_UNITS
from napari_cryodeco.train.motion_stage import MotionStage
from napari_cryodeco.train.pipeline import _Plan
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.state_chain import search_around
from napari_cryodeco.train.swing_stage import UNITS, SwingStage
from napari_cryodeco.train.two_ends import ends

if TYPE_CHECKING:
    from conftest import Mixture

STATES, COUNT, SIDE = 8, 400, torch.tensor([-1.0, 1.0, 1.0])


def swinging() -> tuple[Tensor, ...]:
    """States of a molecule that, bent one way, is nearly the mirror image of itself bent back.

    Body and head are symmetric about the plane in which x is zero, from which the head swings by 35
    degrees to either side; only a knob on one side of the body tells the hands apart.
    """
    draw = torch.Generator().manual_seed(1)
    body = torch.rand(30, 3, generator=draw) * torch.tensor([3.0, 2.0, 5.0])
    body = body + torch.tensor([0.3, -1.0, -6.0])
    head = torch.rand(12, 3, generator=draw) * torch.tensor([1.2, 3.0, 6.0])
    knob = torch.tensor([[4.0, 2.0, -4.0], [4.0, 2.5, -3.5], [4.0, 2.2, -3.0], [4.0, 1.8, -4.4]])
    still, heads = torch.cat([body, body * SIDE, knob, knob]), torch.cat([head, head * SIDE])
    tilts = torch.deg2rad(torch.linspace(-35, 35, STATES))
    turns = so3.rotvec_to_matrix(tilts[:, None] * torch.tensor([0.0, 1.0, 0.0]))
    return tuple(torch.cat([still, heads @ turn.T]) for turn in turns)


def in_both_hands(scene: Mixture) -> Poses:
    """Poses as one map finds them: those of one half are in the mirror image of the other's map."""
    rotations, far = scene.poses.rotations.clone(), scene.labels >= STATES // 2
    rotations[far] = HALF_TURN @ rotations[far] @ torch.diag(-SIDE)
    jitter = 0.08 * torch.randn(len(far), 3, generator=torch.Generator().manual_seed(5))
    return Poses(so3.rotvec_to_matrix(jitter) @ rotations, scene.poses.shifts)


def share_right(found: Tensor, scene: Mixture) -> float:
    """Share of the poses within 20 degrees of what most of their state have, in one hand for all.

    States may lie in any frame each: a molecule of two parts has none of its own.
    """
    shares = []
    for true in (scene.poses.rotations, MIRROR @ scene.poses.rotations @ MIRROR):
        near = 0
        for state in range(STATES):
            own = scene.labels == state
            frames = true[own].mT @ found[own]
            apart = torch.stack([so3.angle_between(frames, frame) for frame in frames])
            near += int((torch.rad2deg(apart) < 20).sum(1).max())
        shares.append(near / len(found))
    return max(shares)


@pytest.fixture(scope="module")
def scene(plant_bodies: Callable[..., Mixture]) -> Mixture:
    """400 images of eight states."""
    return plant_bodies(swinging(), torch.arange(COUNT) % STATES, 1.0, 0.02, 0.5, seed=2)


def trained(stage: SwingStage, last: int = len(UNITS)) -> SwingStage:
    stage.load(None)
    unit = 0
    while unit < min(stage.units(), last):
        stage.advance(unit, Silent())
        unit += 1
    return stage


@pytest.mark.slow
def test_a_motion_that_one_map_shows_in_both_hands_is_followed(scene: Mixture) -> None:
    begun = in_both_hands(scene)
    assert share_right(begun.rotations, scene) < 0.6
    stage = trained(SwingStage(scene.looks, begun, True, seed=4))
    assert stage.follows
    assert share_right(stage.poses.rotations, scene) > 0.9
    assert abs(spearmanr(stage.along, scene.labels)[0]) > 0.8


def test_a_motion_whose_poses_lie_in_one_frame_is_left_alone(scene: Mixture) -> None:
    stage = trained(SwingStage(scene.looks, scene.poses, True, seed=4), last=3)
    assert stage.units() == 3 and not stage.follows
    assert stage.poses is scene.poses


def test_one_rigid_body_is_left_alone(plant_bodies: Callable[..., Mixture]) -> None:
    one = torch.zeros(320, dtype=torch.long)
    rigid = plant_bodies(swinging()[:1], one, 1.0, 0.02, 0.5, seed=6)
    stage = trained(SwingStage(rigid.looks, rigid.poses, True, seed=4))
    assert stage.units() == 1 and not stage.follows
    assert stage.poses is rigid.poses


@pytest.mark.parametrize(("asked", "count"), [(False, COUNT), (True, 200)])
def test_several_species_or_few_particles_are_left_alone(
    scene: Mixture, asked: bool, count: int
) -> None:
    few = torch.arange(count)
    looks = scene.looks
    some = type(looks)(looks.images[few], looks.ctf[few], looks.geometry, 9, looks.device)
    stage = trained(SwingStage(some, scene.poses[few], asked, seed=4))
    assert stage.units() == 1 and not stage.follows


@pytest.mark.slow
def test_a_run_of_a_version_without_the_stage_keeps_its_poses(
    tripod_and_arc: Mixture, tmp_path: Path
) -> None:
    asked = {"data": {"source": "p.star"}, "poses": "abinitio", "abinitio": {"classes": 1}}
    run = SimpleNamespace(config=TrainConfig.model_validate(asked), paths=RunPaths(tmp_path))
    plan = _Plan(run, torch.device("cpu"))
    plan.__dict__["_looks"] = tripod_and_arc.looks
    joint = JointStage(tripod_and_arc.looks, tripod_and_arc.maps[:1], torch.zeros(300, 1), 1)
    joint.load(None)
    told: list[list[str]] = []
    for past in (False, True):
        if past:
            write_tensors(RunPaths(tmp_path).stage("subspace"), {"a": torch.zeros(1)}, {})
        stage = plan._swing({"joint": joint})
        stage.load(None)
        metrics = Told()
        stage.advance(0, metrics)
        told.append(metrics.names)
    assert told == [["gain"], []]
    assert not stage.follows and stage.units() == 1


class Told(Silent):
    """Keeps the names of what it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def metric(self, name: str, value: float) -> None:
        self.names.append(name)


def test_a_stage_taken_up_after_each_step_equals_one_in_one_go(scene: Mixture) -> None:
    begun, last = in_both_hands(scene), 4
    whole = trained(SwingStage(scene.looks, begun, True, seed=4), last).tensors()
    kept = None
    for unit in range(last):
        stage = SwingStage(scene.looks, begun, True, seed=4)
        stage.load(kept)
        stage.advance(unit, Silent())
        kept = {name: value.clone() for name, value in stage.tensors().items()}
    assert kept is not None and kept.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.equal(kept[name], value), name


def test_a_search_around_a_pose_finds_the_true_one_near_it(scene: Mixture) -> None:
    rows = torch.nonzero(scene.labels == 3)[:, 0]
    true = Poses(
        scene.poses.rotations[rows], scene.poses.shifts[rows] / scene.looks.geometry.length
    )
    draw = torch.Generator().manual_seed(9)
    turns = torch.nn.functional.normalize(torch.randn(len(rows), 3, generator=draw), dim=1)
    away = Poses(so3.rotvec_to_matrix(0.2 * turns) @ true.rotations, true.shifts + 0.02)
    maps = scene.maps[3:4]
    found = search_around(scene.looks, rows, maps, away, 0.14, lambda done, of: None)
    apart = torch.rad2deg(so3.angle_between(found.rotations[:, 0], true.rotations))
    assert float(apart.median()) < 5 < 0.5 * float(torch.rad2deg(torch.tensor(0.2)))
    again = search_around(scene.looks, rows, maps, found.of(0), 0.5, lambda done, of: None)
    assert bool((again.scores >= found.scores - 1e-3).all())  # it stays where nothing is better


def test_the_ends_are_the_farthest_particles() -> None:
    along = torch.tensor([3.0, -1.0, 0.5, 2.0, -4.0])
    assert ends(along, 0.4).tolist() == [[0, 1], [1, 0], [0, 0], [0, 1], [1, 0]]


@dataclass(frozen=True)
class Ordered:
    model: LinearModel
    along: Tensor


def planted_model(agreement: float) -> Ordered:
    draw = torch.Generator().manual_seed(11)
    along = torch.randn(300, generator=draw)
    first = -agreement * along + (1 - agreement**2) ** 0.5 * torch.randn(300, generator=draw)
    z = torch.stack([first, torch.randn(300, generator=draw)], 1)
    size = len(Ball(3, 3))
    model = LinearModel(torch.zeros(size), torch.ones(2, size), z, torch.ones(300, 2), z[0], 3)
    return Ordered(model, along)


def test_the_first_coordinate_takes_the_order_of_a_known_motion() -> None:
    planted = planted_model(0.95)
    z, before = planted.model.ordered(planted.along).coordinates, planted.model.coordinates
    assert spearmanr(z[:, 0], planted.along)[0] == pytest.approx(-1)  # and keeps its direction
    assert torch.equal(z[:, 0].sort().values, before[:, 0].sort().values)
    assert torch.equal(z[:, 1], before[:, 1])


def test_a_first_coordinate_that_says_something_else_stays() -> None:
    planted = planted_model(0.4)
    assert planted.model.ordered(planted.along) is planted.model


def as_in_one_map(scene: Mixture) -> Poses:
    """Poses as a blurred map gives them: the farther a state swings, the worse; some lost."""
    draw = torch.Generator().manual_seed(3)
    far = (scene.labels - (STATES - 1) / 2).abs() / STATES
    errors = 0.6 * far[:, None] * torch.randn(COUNT, 3, generator=draw)
    rotations = so3.rotvec_to_matrix(errors) @ scene.poses.rotations
    lost = torch.rand(COUNT, generator=draw) < 0.15
    rotations[lost] = so3.random_rotations(int(lost.sum()), draw)
    return Poses(rotations, scene.poses.shifts)


def followed(stage: MotionStage, last: int = len(MOTION_UNITS)) -> MotionStage:
    stage.load(None)
    for unit in range(min(stage.units(), last)):
        stage.advance(unit, Silent())
    return stage


@pytest.mark.slow
def test_poses_in_a_blurred_map_become_better_in_maps_of_its_states(scene: Mixture) -> None:
    begun = as_in_one_map(scene)
    stage = followed(MotionStage(scene.looks, begun, True, seed=4))
    assert stage.poses is not begun
    before, after = (share_right(poses.rotations, scene) for poses in (begun, stage.poses))
    assert before < 0.85
    assert after > 0.93


def test_where_nobody_asks_or_there_are_few_particles_poses_stay(scene: Mixture) -> None:
    few = torch.arange(200)
    some = type(scene.looks)(
        scene.looks.images[few], scene.looks.ctf[few], scene.looks.geometry, 9, scene.looks.device
    )
    for looks, poses, asked in (
        (scene.looks, scene.poses, False),
        (some, scene.poses[few], True),
    ):
        stage = followed(MotionStage(looks, poses, asked, seed=4))
        assert stage.units() == 1
        assert stage.poses is poses


@pytest.mark.slow
def test_the_stage_of_states_taken_up_after_each_step_equals_one_in_one_go(scene: Mixture) -> None:
    begun, last = as_in_one_map(scene), 2
    whole, kept = followed(MotionStage(scene.looks, begun, True, seed=4), last), None
    for unit in range(last):
        stage = MotionStage(scene.looks, begun, True, seed=4)
        stage.load(kept)
        stage.advance(unit, Silent())
        kept = {name: value.clone() for name, value in stage.tensors().items()}
    assert kept is not None and kept.keys() == whole.tensors().keys()
    for name, value in whole.tensors().items():
        assert torch.equal(kept[name], value), name


@pytest.mark.parametrize(
    ("varies", "follows", "past", "asked"),
    [
        (True, False, False, True),
        (False, False, False, False),
        (True, True, False, False),
        (True, False, True, False),
    ],
)
def test_it_is_asked_where_something_varies_that_the_stage_before_did_not_follow(
    scene: Mixture, tmp_path: Path, varies: bool, follows: bool, past: bool, asked: bool
) -> None:
    settings = {"data": {"source": "p.star"}, "poses": "abinitio", "abinitio": {"classes": 1}}
    run = SimpleNamespace(config=TrainConfig.model_validate(settings), paths=RunPaths(tmp_path))
    plan = _Plan(run, torch.device("cpu"))
    plan.__dict__["_looks"] = scene.looks
    if past:  # a run of a version without the stage, which went on with the poses it had
        write_tensors(run.paths.stage("subspace"), {"a": torch.zeros(1)}, {})
    swing = SwingStage(scene.looks, in_both_hands(scene), True)
    swing.load(None)
    swing.tensors()["steps"] += 3 if varies else 1
    swing.tensors()["follows"] &= follows
    assert plan._motion({"swing": swing}).units() == (len(MOTION_UNITS) if asked else 1)
