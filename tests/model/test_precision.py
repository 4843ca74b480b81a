"""The race that chooses a number type, and threads that sleep while they wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from napari_cryodeco.model import precision


class Clock:
    """Time that passes only while a product is made."""

    def __init__(self) -> None:
        self.now = 0.0

    def product(self, *seconds: float):
        """A product that takes so long, each time anew; the last time for good."""
        left = list(seconds)

        def make() -> torch.Tensor:
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return torch.zeros(1, 1)

        return make


def test_the_faster_wins_though_most_of_its_rounds_were_disturbed() -> None:
    clock = Clock()
    disturbed = clock.product(*[5.0] * 8, 1.0, 5.0)
    undisturbed = clock.product(2.0)
    assert precision._race(disturbed, undisturbed, clock=lambda: clock.now) == [1.0, 2.0]


def test_a_number_type_that_is_asked_for_is_taken() -> None:
    cpu = torch.device("cpu")
    assert precision.choose("bf16", cpu) == torch.bfloat16
    assert precision.choose("fp32", cpu) == torch.float32
    assert precision.choose("auto", cpu) in (torch.bfloat16, torch.float32)


@pytest.mark.parametrize(
    ("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")]
)
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(given, found) -> None:
    there = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    ask = (
        "import napari_cryodeco, os, sys;"
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", ask], env=there | given, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [found, "False"]
