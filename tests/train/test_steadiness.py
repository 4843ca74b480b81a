"""When a refinement has nothing left to do: planted clusters that move, orientations that turn."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from napari_cryodeco.imaging.so3 import random_rotations, rotvec_to_matrix
from napari_cryodeco.train.steadiness import Change, Steadiness, nearest

N = 1000


def two_clusters(seed: int = 0, swapped: int = 0, turn: float = 0.0) -> Tensor:
    """Latents ``(1000, 2)`` of two species, so many of them on the wrong side; then turned."""
    z = 0.1 * torch.randn(N, 2, generator=torch.Generator().manual_seed(seed))
    z[:, 0] += torch.where((torch.arange(N) % 2 == 0) ^ (torch.arange(N) < swapped), 1.0, -1.0)
    cosine, sine = math.cos(turn), math.sin(turn)
    return z @ torch.tensor([[cosine, sine], [-sine, cosine]])


def test_labels_are_those_of_the_nearest_mean_and_keep_their_names() -> None:
    """A fixed point of k-means, begun from the labels given: names do not change by chance."""
    z = two_clusters()
    side = (z[:, 0] > 0).long()
    wrong = torch.where(torch.arange(N) < 100, 1 - side, side)
    assert torch.equal(nearest(z, wrong), side)
    assert torch.equal(nearest(z, 1 - wrong), 1 - side)
    assert torch.equal(nearest(z, torch.where(side == 1, 2, side)), 2 * side)  # nobody is 1


@pytest.mark.parametrize(
    ("swapped", "turn", "steady"), [(0, 0.0, True), (4, 0.0, True), (6, 0.0, False), (4, 3.0, True)]
)
def test_under_half_a_per_cent_of_the_particles(swapped: int, turn: float, steady: bool) -> None:
    """However z turns as a whole: only who is with whom counts."""
    watch = Steadiness(seed=0)
    assert watch.look(1, two_clusters(), None) is None
    found = watch.look(6, two_clusters(1, swapped, turn), None)
    assert found is not None and found.turned is None
    assert found.moved == pytest.approx(swapped / N)
    assert found.steady is steady


@pytest.mark.parametrize(("degrees", "steady"), [(0.15, True), (0.25, False)])
def test_orientations_turn_by_under_a_fifth_of_a_degree(degrees: float, steady: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    first = random_rotations(N, generator)
    axis = torch.nn.functional.normalize(torch.randn(N, 3, generator=generator))
    turned = rotvec_to_matrix(math.radians(degrees) * axis) @ first
    watch = Steadiness(seed=0)
    watch.look(1, two_clusters(), first)
    found = watch.look(6, two_clusters(1), turned)
    assert found is not None and found.turned is not None
    assert math.degrees(found.turned) == pytest.approx(degrees, rel=0.01)
    assert found.steady is steady


def test_a_continuum_is_halved() -> None:
    """No clusters: on a path of length 2 only steps far under a hundredth of it are steady."""
    place = torch.linspace(-1, 1, N)
    noise = torch.randn(N, generator=torch.Generator().manual_seed(0))
    for step, steady in ((0.004, True), (0.05, False)):
        watch = Steadiness(seed=0)
        looks = [
            watch.look(epoch, z[:, None] * torch.tensor([3.0, 1.0]), None)
            for epoch, z in ((1, place), (6, place + step * noise))
        ]
        assert looks[1] is not None and looks[1].moved is not None
        assert looks[1].steady is steady


def test_looks_are_five_epochs_apart_and_survive_a_restart() -> None:
    watch = Steadiness(seed=0)
    watch.look(1, two_clusters(), None)
    assert [watch.look(epoch, two_clusters(2), None) for epoch in (2, 3, 4, 5)] == [None] * 4
    again = Steadiness(seed=0)
    again.load(watch.tensors())
    looks = [one.look(6, two_clusters(3, swapped=20), None) for one in (watch, again)]
    assert looks[0] == looks[1] and looks[0] is not None
    assert watch.look(10, two_clusters(), None) is None
    assert watch.look(11, two_clusters(), None) == Change(pytest.approx(0.02), None)


def test_nothing_to_go_by_is_not_steady() -> None:
    """One rigid map at poses that stay: its epochs are all done."""
    watch = Steadiness(seed=0)
    watch.look(1, torch.zeros(N, 0), None)
    found = watch.look(6, torch.zeros(N, 0), None)
    assert found == Change(None, None) and not found.steady
