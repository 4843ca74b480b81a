"""Where two groups of particles differ in their decoded maps, with sign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest, common_sigma

SMALL = 0.5  # σ of the maps: what is less is not seen at any level of theirs


@dataclass(frozen=True, eq=False)
class MapDifference:
    """The map of A minus that of B.

    Parameters
    ----------
    first, second
        The maps, of one grid and scale.
    volume
        A − B in the units of the maps, with their voxel size.
    sigma
        Common σ of the two maps: the unit in which the difference is told.
    """

    first: Volume
    second: Volume
    volume: Volume
    sigma: float

    @property
    def in_sigma(self) -> np.ndarray:
        """A − B over σ of the maps, float32 ``(z, y, x)``; its own mean stays in it."""
        return self.volume.data / np.float32(self.sigma if self.sigma > 0 else 1.0)

    @property
    def extremes(self) -> tuple[float, float]:
        """The most that A lacks and the most that it has more, in σ of the maps."""
        values = self.in_sigma
        return float(min(0.0, values.min())), float(max(0.0, values.max()))

    @property
    def level(self) -> float:
        """A level in σ of the maps that shows it: three times its own spread, half of its most."""
        most = max(abs(value) for value in self.extremes)
        return min(3 * float(self.in_sigma.std()), most / 2) or 1.0

    @property
    def correlation(self) -> float:
        """Pearson's, of the two maps."""
        pair = [volume.in_sigma().ravel() for volume in (self.first, self.second)]
        return float(np.mean(pair[0] * pair[1]))

    @property
    def sentence(self) -> str:
        """How much it is, for people."""
        low, high = self.extremes
        said = (
            f"A has up to {high:.2f} σ more than B and {-low:.2f} σ less (σ of the maps); the maps "
            f"correlate to {self.correlation:.3f}."
        )
        if max(high, -low) < SMALL:
            said += " That is next to nothing: do not read a structure into it."
        return said


def difference_of(
    decoder: VolumeDecoder,
    first: np.ndarray,
    second: np.ndarray,
    box: int | None = None,
    low_pass: float | None = None,
    b_factor: float = 0.0,
) -> MapDifference:
    """Decode the maps of two latent points and subtract them.

    One decoder draws both, in one frame and on one scale: nothing has to be aligned.

    Parameters
    ----------
    first, second
        ``(d,)`` each: the mean z of a group, say.
    box, low_pass, b_factor
        As of `VolumeRequest`.
    """
    requests = [VolumeRequest(z, None, box, low_pass, b_factor) for z in (first, second)]
    a, b = (decoder.decode(request) for request in requests)
    data = (a.data - b.data).astype(np.float32)
    return MapDifference(a, b, Volume(data, a.voxel_size), common_sigma((a, b)))
