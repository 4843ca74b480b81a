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
NOTE_OF_HALVES = "The half-maps share the poses of the run: their curve is an upper bound."
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

    `chosen` are the particles, `particles` their maps, `decoded` the decoder's, None where there is
    no decoder; `decoded_fsc` ``(radius,)`` its FSC with the map of the particles over shells
    1 … radius.
    """

    chosen: Chosen
    epoch: int
    particles: BackProjection
    decoded: Volume | None
    decoded_fsc: np.ndarray | None

    @property
    def frequencies(self) -> np.ndarray:
        """Spatial frequency of the shells ``(radius,)``, 1/Å."""
        return np.arange(1, len(self.particles.fsc) + 1) / self.particles.length

    @property
    def agreement(self) -> float | None:
        """Å to which the decoded map agrees with the particles (FSC 0.5)."""
        if self.decoded_fsc is None:
            return None
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
        if self.decoded_fsc is None:
            return halves, "There is no decoder, so no decoded map to compare them with."
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
        elif beyond := self._beyond_the_particles:
            said.append(beyond)
        return " ".join(said)

    @property
    def _beyond_the_particles(self) -> str:
        """What the decoded map shows and the particles do not; empty where they agree."""
        if self.decoded_fsc is None or self.agreement is None:
            return ""
        if self.decoded_fsc[0] < MAPS_AGREE:
            return "The decoded map shows what these particles do not."
        if self.agreement > _MUCH_COARSER * self.particles.resolution:
            finer = f"Finer than {self.agreement:.1f} Å"
            return f"{finer} the decoded map shows what these particles do not."
        return ""

    @property
    def note(self) -> str:
        """What to keep in mind about the curves."""
        return NOTE if self.decoded is not None else NOTE_OF_HALVES


def judge(
    run: Run,
    chosen: Chosen,
    epoch: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Verdict:
    """Put particles back, decode the map at their weighted mean z, and compare the two.

    Where the latents were adopted there is no decoder, and the half-maps speak alone.

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
    if not used.has_decoder:
        return Verdict(chosen, used.number, particles, None, None)
    weights = np.ones(len(chosen.rows)) if chosen.weights is None else chosen.weights
    z = weights @ used.latents()[chosen.rows] / weights.sum()  # empty where there is no z
    decoded = VolumeDecoder(used.field_path, device).decode(VolumeRequest(z))
    if progress is not None:
        progress(particles.count, particles.count)  # who cancels now is heard too
    return Verdict(chosen, used.number, particles, decoded, particles.compare(decoded))


def write_verdict(verdict: Verdict, out: Path | str, overwrite: bool = False) -> Path:
    """Write maps, curves and rows into the new folder `out`.

    ``map.mrc``, ``half_map_1.mrc`` and ``half_map_2.mrc`` from the particles, ``decoded.mrc`` at
    their mean z (where there is a decoder), all in the working box; ``fsc.json``; ``rows.txt``, row
    numbers from 0. The folder appears when everything in it is written.

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
    }
    if verdict.decoded is not None:
        maps["decoded"] = verdict.decoded
    rows = np.unique(verdict.chosen.rows).tolist()
    with replacing_folder(out, overwrite) as part:
        for name, volume in maps.items():
            write_mrc(part / f"{name}.mrc", volume.data, volume.voxel_size)
        write_json(part / "fsc.json", _record(verdict))
        write_text(part / "rows.txt", "".join(f"{row}\n" for row in rows))
    return out


def _record(verdict: Verdict) -> dict[str, object]:
    found, curve, agreement = verdict.particles, verdict.decoded_fsc, verdict.agreement
    return {
        "shells": list(range(1, len(found.fsc) + 1)),
        "resolution_A": [round(float(1 / k), 4) for k in verdict.frequencies],
        "half_maps": [round(float(value), 5) for value in found.fsc],
        "decoded": None if curve is None else [round(float(value), 5) for value in curve],
        "half_maps_agree_to_A": round(found.resolution, 4),
        "half_maps_threshold": HALVES_AGREE,
        "decoded_agrees_to_A": None if agreement is None else round(agreement, 4),
        "decoded_threshold": MAPS_AGREE,
        "fourier_coverage": round(found.coverage, 3),
        "warning": verdict.warning,
        "count": found.count,
        "rows": verdict.chosen.source,
        "epoch": verdict.epoch,
        "note": verdict.note,
    }
