from __future__ import annotations

import torch

from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import angle_between, random_rotations, rotvec_to_matrix
from napari_cryodeco.model.latents import LatentTable, PoseTable
from napari_cryodeco.model.rowwise import RowAdam


def test_row_adam_equals_torch_on_each_row_alone() -> None:
    """The oracle: one torch.optim.Adam per row, stepped only when its row is visited."""
    generator = torch.Generator().manual_seed(0)
    table, adam = torch.randn(5, 3, generator=generator), RowAdam(5, 3)
    oracle = [torch.nn.Parameter(row.clone()) for row in table]
    optimisers = [torch.optim.Adam([row], lr=0.1) for row in oracle]
    for _ in range(30):
        rows = torch.randperm(5, generator=generator)[:2]
        gradient = torch.randn(2, 3, generator=generator)
        table[rows] -= adam.step(rows, gradient, 0.1)
        for row, part in zip(rows, gradient, strict=True):
            oracle[row].grad = part.clone()
            optimisers[row].step()
    torch.testing.assert_close(table, torch.stack([row.data for row in oracle]))


def test_rows_that_are_not_visited_stay() -> None:
    table = LatentTable(torch.randn(6, 2))
    before = table.values.clone()
    for _ in range(5):
        rows = torch.tensor([1, 4])
        z = table.visit(rows)
        z.square().sum().backward()
        table.update(rows, z, 0.1)
    still = torch.tensor([0, 2, 3, 5])
    assert torch.equal(table.values[still], before[still])
    assert (table.values[[1, 4]].abs() < before[[1, 4]].abs()).all()


def test_latent_state_round_trip() -> None:
    tables = [LatentTable(torch.ones(4, 2)), LatentTable(torch.zeros(4, 2))]
    rows = torch.tensor([0, 3])

    def move(table: LatentTable) -> None:
        z = table.visit(rows)
        (z**3).sum().backward()
        table.update(rows, z, 0.05)

    move(tables[0])
    tables[1].load(tables[0].tensors("latents"), "latents")
    for table in tables:
        move(table)
    assert torch.equal(tables[0].values, tables[1].values)


def test_pose_table_finds_planted_poses() -> None:
    generator = torch.Generator().manual_seed(1)
    true = random_rotations(8, generator)
    tilt = 0.2 * torch.randn(8, 3, generator=generator)
    start = Poses(rotvec_to_matrix(tilt) @ true, torch.full((8, 2), 6.0))
    table = PoseTable(start, pixel_size=2.0)
    rows = torch.arange(8)
    for _ in range(300):
        visit = table.visit(rows)
        poses = visit.poses()
        loss = (poses.rotations - true).square().sum() + poses.shifts.square().sum()
        loss.backward()
        table.update(rows, visit, turn_rate=2e-3, move_rate=2e-2)
    assert angle_between(table.poses.rotations, true).max() < 0.05  # from up to 0.6
    assert table.poses.shifts.abs().max() < 0.3  # from 6
    identity = table.poses.rotations @ table.poses.rotations.mT
    torch.testing.assert_close(identity, torch.eye(3).expand(8, 3, 3), atol=1e-6, rtol=0)


def test_pose_state_round_trip() -> None:
    poses = Poses(random_rotations(3, torch.Generator().manual_seed(0)), torch.zeros(3, 2))
    tables = [PoseTable(poses, 1.0), PoseTable(poses, 1.0)]
    rows = torch.arange(3)

    def move(table: PoseTable) -> None:
        visit = table.visit(rows)
        found = visit.poses()
        (found.rotations.sum() + (found.shifts - 1).square().sum()).backward()
        table.update(rows, visit, 1e-2, 1e-1)

    move(tables[0])
    tables[1].load(tables[0].tensors("poses"), "poses")
    for table in tables:
        move(table)
    assert torch.equal(tables[0].poses.rotations, tables[1].poses.rotations)
    assert torch.equal(tables[0].poses.shifts, tables[1].poses.shifts)
