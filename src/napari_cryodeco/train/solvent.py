"""Maps without what lies around the molecule: there is only noise, and images fit it.

Particles of the wrong species, and poses, are drawn to the noise of a map of a few hundred images.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.support import support
from napari_cryodeco.train.matching import Rebuilt


def without_solvent(made: Rebuilt, ball: Ball) -> Rebuilt:
    """The same maps, on the 3-D `ball`, zero outside the molecule that all particles show.

    The `fsc` stays that of the maps with all their noise.
    """
    box = 2 * (ball.radius + 2)  # voxels of about half the resolution

    def masked(volumes: Tensor) -> Tensor:
        return ball.from_map(ball.to_map(volumes, box) * mask)

    mask = support(ball.to_map(made.volume, box))
    return replace(made, volume=masked(made.volume), left_out=masked(made.left_out))
