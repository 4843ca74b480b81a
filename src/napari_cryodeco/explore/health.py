"""Whether a selection is fit to go on with: what it holds, how far it reaches, what is against it.

Each doubt is a reason with its number; the verdict is that of the worst. No verdict is a proof: the
half-maps of the particles (:mod:`napari_cryodeco.explore.evidence`) say more, and cost more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from napari_cryodeco.explore import landscape, stability
from napari_cryodeco.explore.alarm import Alarm, Progress, sound_alarm
from napari_cryodeco.explore.backprojection import FEWEST
from napari_cryodeco.explore.columns import Columns
from napari_cryodeco.explore.difference import FEWEST as FEWEST_COMPARED
from napari_cryodeco.explore.stability import DOUBTFUL, STABLE
from napari_cryodeco.imaging.sampling import fourier_coverage
from napari_cryodeco.runs.species import ENOUGH_SIDES

Level = Literal["go", "careful", "no-go"]
_ORDER: tuple[Level, ...] = ("go", "careful", "no-go")
B_FACTOR, DOSE, CROSS_SECTION = 100.0, 5.0, 0.004  # Å², e/Å², Å² of a carbon atom (elastic)
ASSUMED = (
    f"if images fade with a B-factor of {B_FACTOR:.0f} Å² and {DOSE:.0f} e/Å² count (Rosenthal & "
    "Henderson 2003, one asymmetric unit)"
)
_FEW_SIDES = 0.5  # of Fourier space, under which no map can be trusted
_COARSE = 10.0  # Å: a selection too small for this shows no more than a shape
_ENTIRELY = 0.8  # of a distance beyond chance: the selection is that condition
_LIKE_CLUSTER = 0.5  # Jaccard index from which a selection is taken for a cluster


@dataclass(frozen=True)
class Reason:
    """What speaks against a selection, in a sentence, and how much."""

    level: Level
    sentence: str


@dataclass(frozen=True)
class Ceiling:
    """Resolutions in Å that cannot be passed.

    `images`: twice the pixel of the particle images; `working`: twice that of the run's working
    images, None before they are made; `count`: what so many particles can reach at best.
    """

    images: float
    working: float | None
    count: float


@dataclass(frozen=True)
class Steadiness:
    """How well the `cluster` (from 1) that a selection mostly is came back over seeds.

    `jaccard` of that cluster; `confidence`: mean over the particles; `core`: particles with a
    confidence of at least 0.9.
    """

    cluster: int
    jaccard: float
    confidence: float
    core: int


@dataclass(frozen=True)
class HealthCard:
    """What a selection of `count` of `total` particles is worth.

    `coverage`: share of the directions of Fourier space it measures; `defocus`: 5th, 50th and 95th
    percentile in Å, `all_defocus` those of all particles; `micrographs`: hit, in all, and the
    largest share of one; `steadiness` None where the clusters were not made again; `alarm` None
    where there is nobody to compare with.
    """

    source: str
    count: int
    total: int
    epoch: int
    coverage: float
    defocus: tuple[float, float, float]
    all_defocus: tuple[float, float, float]
    micrographs: tuple[int, int, float] | None
    ceiling: Ceiling
    steadiness: Steadiness | None
    alarm: Alarm | None

    @property
    def verdict(self) -> Level:
        """That of the worst reason."""
        return max((reason.level for reason in self.reasons), key=_ORDER.index, default="go")

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What speaks against it, the worst first; empty where nothing does."""
        found = [*_too_few(self), *_few_sides(self), *_unsteady(self), *_circumstances(self)]
        return tuple(sorted(found, key=lambda reason: -_ORDER.index(reason.level)))

    @property
    def sentences(self) -> list[str]:
        """The card, a line each."""
        low, middle, high = (f"{value / 1e4:.2f}" for value in self.defocus)
        lines = [
            f"{self.verdict.upper()}: {self.source}, epoch {self.epoch}",
            f"particles: {self.count:,} of {self.total:,} ({self.count / self.total:.1%})",
            f"views: {self.coverage:.0%} of the directions of Fourier space measured",
            f"defocus: {low} to {high} µm (5 to 95 %), median {middle} µm",
        ]
        if self.micrographs is not None:
            hit, of, share = self.micrographs
            lines.append(f"micrographs: {hit:,} of {of:,}, the fullest holds {share:.1%}")
        lines.append(f"resolution: {self._ceiling()}")
        if (steady := self.steadiness) is not None:
            lines.append(
                f"stability: cluster {steady.cluster} comes back with a Jaccard index of "
                f"{steady.jaccard:.2f}; {steady.core:,} particles with a confidence of 0.9 or more"
            )
        lines += [f"{reason.level}: {reason.sentence}" for reason in self.reasons]
        return lines if self.reasons else [*lines, "nothing speaks against it"]

    def _ceiling(self) -> str:
        found = self.ceiling
        working = "" if found.working is None else f", {found.working:.1f} Å in the run's maps"
        return (
            f"no better than {found.images:.1f} Å by the pixel{working}, nor than "
            f"{found.count:.1f} Å by the count {ASSUMED}"
        )

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {
            name: getattr(self, name)
            for name in ("source", "count", "total", "epoch", "verdict", "coverage")
        }
        findings = self.alarm.findings if self.alarm is not None else ()
        return plain | {
            "fraction": self.count / self.total,
            "defocus_A_5_50_95": list(self.defocus),
            "all_defocus_A_5_50_95": list(self.all_defocus),
            "micrographs_hit_total_largest_share": self.micrographs and list(self.micrographs),
            "resolution_ceiling_A": asdict(self.ceiling) | {"count_assumes": ASSUMED},
            "stability": None if self.steadiness is None else asdict(self.steadiness),
            "reasons": [asdict(reason) for reason in self.reasons],
            "alarm": [
                {
                    "column": finding.column.name,
                    **asdict(finding.difference),
                    "excess": finding.difference.excess,
                    "grade": finding.difference.grade,
                    "sentence": finding.sentence,
                }
                for finding in findings
            ],
        }


def judge_selection(
    columns: Columns, rows: np.ndarray, source: str, progress: Progress | None = None
) -> HealthCard:
    """Look at a selection before it is exported or believed.

    Parameters
    ----------
    columns
        Of the run and epoch.
    rows
        ``(m,)`` the selection.
    source
        What it is, in words.
    progress
        Called with (done, in all) while it is compared with the rest; raising in it cancels.

    Raises
    ------
    ValueError
        If nothing is selected, or a row that the run has not.
    """
    run, n = columns.run, len(columns.run.particles)
    rows = np.unique(np.asarray(rows, np.int64))
    if not len(rows) or rows[0] < 0 or rows[-1] >= n:
        raise ValueError(
            f"{source}: select at least one particle, of the rows 0 to {n - 1} of {run.path}."
        )
    found = columns.read(["defocus"])["defocus"]
    rotations = columns.epoch.poses().rotations[torch.from_numpy(rows)]
    comparable = min(len(rows), n - len(rows)) >= FEWEST_COMPARED
    return HealthCard(
        source=source,
        count=len(rows),
        total=n,
        epoch=columns.epoch.number,
        coverage=fourier_coverage(rotations, torch.ones(len(rows))),
        defocus=_percentiles(found[rows]),
        all_defocus=_percentiles(found),
        micrographs=_micrographs(columns, rows),
        ceiling=_ceiling(columns, len(rows)),
        steadiness=_steadiness(columns, rows),
        alarm=sound_alarm(columns, rows, progress=progress) if comparable else None,
    )


def resolution_by_count(count: int, b_factor: float = B_FACTOR) -> float:
    """Resolution d in Å that `count` particles can reach at best.

    The d at which ``count = 30 π (S/N)² / (dose σ d) exp(B / 2d²)``, with (S/N)² = 1/3 and the
    dose and cross-section of the paper.

    Source: Rosenthal & Henderson 2003, J. Mol. Biol. 333, equation for N_part.
    """
    from scipy.optimize import brentq  # half a second to import

    scale = 30 * np.pi / 3 / (DOSE * CROSS_SECTION)

    def missing(d: float) -> float:
        return float(np.log(scale / d) + b_factor / (2 * d * d) - np.log(count))

    return float(brentq(missing, 0.5, 1e6))


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (5, 50, 95)).tolist()
    return low, middle, high


def _micrographs(columns: Columns, rows: np.ndarray) -> tuple[int, int, float] | None:
    if "micrograph" not in [column.name for column in columns.listed]:
        return None
    names = columns.read(["micrograph"])["micrograph"]
    kinds, codes = np.unique(names.astype(str), return_inverse=True)
    counts = np.bincount(codes[rows], minlength=len(kinds))
    return int((counts > 0).sum()), len(kinds), float(counts.max() / len(rows))


def _ceiling(columns: Columns, count: int) -> Ceiling:
    run = columns.run
    working = 2 * run.geometry.pixel_size if run.paths.geometry.is_file() else None
    return Ceiling(2 * run.particles.pixel_size, working, resolution_by_count(count))


def _steadiness(columns: Columns, rows: np.ndarray) -> Steadiness | None:
    views = columns.run.paths.views
    clusters = landscape.latest_clustering(views, columns.epoch.number)
    found = None if clusters is None else stability.latest(views, clusters)
    if found is None:
        return None
    labels = found.labels
    inside = np.bincount(labels[rows][labels[rows] >= 0], minlength=len(found.jaccard))
    sizes = np.bincount(labels[labels >= 0], minlength=len(found.jaccard))
    alike = inside / np.maximum(1, sizes + len(rows) - inside)
    cluster = int(alike.argmax())
    if alike[cluster] < _LIKE_CLUSTER:
        return None
    sure = found.confidence[rows]
    return Steadiness(
        cluster + 1, float(found.jaccard[cluster]), float(sure.mean()), int((sure >= 0.9).sum())
    )


def _too_few(card: HealthCard) -> Sequence[Reason]:
    if card.count < FEWEST:
        return [Reason("no-go", f"{card.count} particles are too few for two half-maps.")]
    if card.ceiling.count > _COARSE:
        return [
            Reason(
                "careful",
                f"{card.count:,} particles reach {card.ceiling.count:.0f} Å at best: no more than "
                "a shape.",
            )
        ]
    return []


def _few_sides(card: HealthCard) -> Sequence[Reason]:
    if card.coverage >= ENOUGH_SIDES:
        return []
    level: Level = "careful" if card.coverage >= _FEW_SIDES else "no-go"
    said = f"seen from few sides ({card.coverage:.0%} of Fourier space): its map is drawn out."
    return [Reason(level, said)]


def _unsteady(card: HealthCard) -> Sequence[Reason]:
    steady = card.steadiness
    if steady is None or steady.jaccard >= STABLE:
        return []
    level: Level = "careful" if steady.jaccard >= DOUBTFUL else "no-go"
    said = f"cluster {steady.cluster} does not come back with other seeds (Jaccard index "
    return [Reason(level, f"{said}{steady.jaccard:.2f}).")]


def _circumstances(card: HealthCard) -> Sequence[Reason]:
    found = []
    for finding in card.alarm.warnings if card.alarm is not None else ():
        if finding.difference.excess >= _ENTIRELY:
            found.append(Reason("no-go", finding.sentence))
        elif finding.difference.grade != "weak":
            found.append(Reason("careful", finding.sentence))
    return found
