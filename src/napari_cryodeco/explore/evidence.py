"""How far the particles bear a decoded map out: found, said in sentences, written to a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.atomic import replacing_folder, write_text
from napari_cryodeco.explore.backprojection import (
    HALVES_AGREE,
    MAPS_AGREE,
    BackProjection,
    Progress,
    back_project,
    neighbours,
)
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest
from napari_cryodeco.imaging import fsc
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.species import ENOUGH_SIDES
from napari_cryodeco.runs.store import write_mrc

NOTE = (
    "The half-maps share the poses of the run, and the decoder has seen the particles: both curves "
    "are upper bounds."
)
_MUCH_COARSER = 1.5  # times; two thresholds of noisy curves differ by less


@dataclass(frozen=True, eq=False)
class Chosen:
    """Particles to put back: `rows` ``(m,)``, `weights` ``(m,)`` or None, and in words which."""

    rows: np.ndarray
    weights: np.ndarray | None
    source: str


def chosen_near(latents: np.ndarray, point: np.ndarray, count: int, source: str) -> Chosen:
    """The `count` particles nearest to a latent point, the nearer the heavier."""
    near = neighbours(latents, point, count)
    return Chosen(near.rows, near.weights, f"{source}, the nearer the heavier")


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the particles say of the map that is decoded at their mean z.

    `chosen` are the particles, `particles` their maps, `decoded` the decoder's; `decoded_fsc`
    ``(radius,)`` its FSC with the map of the particles over shells 1 … radius.
    """

    chosen: Chosen
    epoch: int
    particles: BackProjection
    decoded: Volume
    decoded_fsc: np.ndarray

    @property
    def frequencies(self) -> np.ndarray:
        """Spatial frequency of the shells ``(radius,)``, 1/Å."""
        return np.arange(1, len(self.decoded_fsc) + 1) / self.particles.length

    @property
    def agreement(self) -> float:
        """Å to which the decoded map agrees with the particles (FSC 0.5)."""
        curve = torch.from_numpy(self.decoded_fsc)
        return fsc.resolution(curve, self.particles.length, MAPS_AGREE)

    @property
    def sentences(self) -> tuple[str, str]:
        """What the half-maps say, and what the decoded map does."""
        found = self.particles
        halves = f"{found.count:,} particles: their half-maps "
        if found.fsc[0] < HALVES_AGREE:
            halves += f"agree nowhere (FSC under {HALVES_AGREE})."
        else:
            halves += f"agree to {found.resolution:.1f} Å (FSC {HALVES_AGREE})."
        decoded = "The decoded map "
        if self.decoded_fsc[0] < MAPS_AGREE:
            decoded += f"agrees with these particles nowhere (FSC under {MAPS_AGREE})."
        else:
            decoded += f"agrees with these particles to {self.agreement:.1f} Å (FSC {MAPS_AGREE})."
        return halves, decoded

    @property
    def warning(self) -> str:
        """What speaks against the maps, in a sentence or two; empty where nothing does."""
        found, said = self.particles, []
        if found.coverage < ENOUGH_SIDES:
            said.append(
                f"Seen from few sides ({100 * found.coverage:.0f} % of Fourier space): the map of "
                "these particles is drawn out; do not trust its resolution."
            )
        if found.fsc[0] < HALVES_AGREE:
            said.append(
                "Two halves of these particles show different maps: they are too few, or their "
                "poses are wrong."
            )
        elif self.decoded_fsc[0] < MAPS_AGREE:
            said.append("The decoded map shows what these particles do not.")
        elif self.agreement > _MUCH_COARSER * found.resolution:
            beyond = f"Finer than {self.agreement:.1f} Å"
            said.append(f"{beyond} the decoded map shows what these particles do not.")
        return " ".join(said)


def judge(
    run: Run,
    chosen: Chosen,
    epoch: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Verdict:
    """Put particles back, decode the map at their weighted mean z, and compare the two.

    Parameters
    ----------
    run, chosen, epoch
        Which particles of which epoch; None: the newest.
    device
        ``"auto"``, ``"cpu"``, ``"cuda:0"``, …
    progress
        Called with (done, in all); raising in it cancels.

    Raises
    ------
    ValueError
        When there are too few particles, or rows that the run does not have.
    """
    used = run.epoch(epoch)
    particles = back_project(run, chosen.rows, chosen.weights, used.number, device, progress)
    weights = np.ones(len(chosen.rows)) if chosen.weights is None else chosen.weights
    z = weights @ used.latents()[chosen.rows] / weights.sum()  # empty where there is no z
    decoded = VolumeDecoder(used.field_path, device).decode(VolumeRequest(z))
    if progress is not None:
        progress(particles.count, particles.count)  # who cancels now is heard too
    return Verdict(chosen, used.number, particles, decoded, particles.compare(decoded))


def write_verdict(verdict: Verdict, out: Path | str, overwrite: bool = False) -> Path:
    """Write maps, curves and rows into the new folder `out`.

    ``map.mrc``, ``half_map_1.mrc`` and ``half_map_2.mrc`` from the particles, ``decoded.mrc`` at
    their mean z, all in the working box; ``fsc.json``; ``rows.txt``, row numbers from 0. The folder
    appears when everything in it is written.

    Raises
    ------
    FileExistsError
        When `out` is there and may not be replaced.
    """
    out, found = Path(out), verdict.particles
    maps = {
        "map": found.whole,
        "half_map_1": found.halves[0],
        "half_map_2": found.halves[1],
        "decoded": verdict.decoded,
    }
    rows = np.unique(verdict.chosen.rows).tolist()
    with replacing_folder(out, overwrite) as part:
        for name, volume in maps.items():
            write_mrc(part / f"{name}.mrc", volume.data, volume.voxel_size)
        write_json(part / "fsc.json", _record(verdict))
        write_text(part / "rows.txt", "".join(f"{row}\n" for row in rows))
    return out


def _record(verdict: Verdict) -> dict[str, object]:
    found = verdict.particles
    return {
        "shells": list(range(1, len(found.fsc) + 1)),
        "resolution_A": [round(float(1 / k), 4) for k in verdict.frequencies],
        "half_maps": [round(float(value), 5) for value in found.fsc],
        "decoded": [round(float(value), 5) for value in verdict.decoded_fsc],
        "half_maps_agree_to_A": round(found.resolution, 4),
        "half_maps_threshold": HALVES_AGREE,
        "decoded_agrees_to_A": round(verdict.agreement, 4),
        "decoded_threshold": MAPS_AGREE,
        "fourier_coverage": round(found.coverage, 3),
        "warning": verdict.warning,
        "count": found.count,
        "rows": verdict.chosen.source,
        "epoch": verdict.epoch,
        "note": NOTE,
    }
