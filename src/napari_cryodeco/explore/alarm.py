"""Is a selection a structure, or a circumstance: which conditions of imaging it differs in.

Covariates are the viewing direction, the in-plane angle, shift, defocus, micrograph, optics and all
other columns of the particle file; z, clusters and classes are not: selections are made by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_cryodeco.explore.columns import Column, Columns
from napari_cryodeco.explore.difference import (
    FEWEST,
    Cap,
    Difference,
    of_angles,
    of_directions,
    of_kinds,
    of_numbers,
)

VIEWS = Column("viewing direction", "viewing direction", "", "pose")
_TOGETHER = 8  # columns of the file that are in memory at once
_MOST_WHOLE = 12  # different whole numbers that are kinds and no amounts
_OTHERWISE_TOLD = re.compile(
    r"^(uid|ucsfUid|rln(Image|ImageOriginal|Micrograph)Name|.*/(path|idx|uid|exp_group_id|pose.*)"
    r"|rln(Angle(Rot|Tilt|Psi)(Prior)?|Origin[XY](Angst)?|Defocus[UV]|ClassNumber"
    r"|MaxValueProbDistribution|RandomSubset|LogLikeliContribution|NrOfSignificantSamples)"
    r"|alignments.*|ctf/df[12]_A|.*micrograph_(path|uid|shape.*))$"
)
"""Names of images, and what a column of the run tells already or an earlier classification made."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Finding:
    """How a selection differs from the rest in one column, and in words.

    `cap`: of viewing directions, those in which it differs most.
    """

    column: Column
    difference: Difference
    sentence: str
    cap: Cap | None = None


@dataclass(frozen=True)
class Alarm:
    """What was found of a selection of `count` particles: all columns tried, the worst first."""

    count: int
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Those that chance alone does not give, and that are large enough to matter."""
        return tuple(f for f in self.findings if f.difference.grade != "none")

    @property
    def summary(self) -> str:
        """One sentence."""
        tried, warned = len(self.findings), len(self.warnings)
        if not warned:
            return f"No alarm: in {tried} conditions the selection is as the rest."
        worst = _short(self.warnings[0].column)
        return f"{warned} of {tried} conditions differ from the rest, most the {worst}."


def sound_alarm(
    columns: Columns,
    rows: np.ndarray,
    names: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Alarm:
    """Compare a selection with the rest of the particles in every condition of imaging.

    Parameters
    ----------
    columns
        Of the run and epoch.
    rows
        ``(m,)`` the selection.
    names
        Columns to compare (and "viewing direction"); None: all covariates.
    progress
        Called with (done, in all); raising in it cancels.

    Raises
    ------
    ValueError
        If fewer than ten particles are selected or left, or a name is not there.
    """
    n = len(columns.run.particles)
    chosen = np.zeros(n, dtype=bool)
    chosen[rows] = True
    count = int(chosen.sum())
    if min(count, n - count) < FEWEST:
        raise ValueError(
            f"{count:,} of {n:,} particles are selected: at least {FEWEST} in the selection and in "
            "the rest are needed to compare them."
        )
    wanted = covariates(columns) if names is None else list(names)
    found: dict[object, Finding] = {}
    for done, (column, values) in enumerate(_read(columns, wanted), 1):
        finding, same_as = _compare(column, values, chosen, seed)
        if finding is not None:
            found.setdefault(same_as, finding)
        if progress is not None:
            progress(done, len(wanted))
    order = sorted(found.values(), key=_severity, reverse=True)
    return Alarm(count, tuple(order))


def covariates(columns: Columns) -> list[str]:
    """Names of the conditions of imaging there are, and of the user's own columns."""
    own = [c.name for c in columns.listed if c.origin in ("pose", "optics", "user")]
    of_file = [
        c.name for c in columns.listed if c.origin == "file" and not _OTHERWISE_TOLD.match(c.name)
    ]
    return [VIEWS.name, *(n for n in own if n not in ("azimuth", "tilt")), *of_file]


def _severity(finding: Finding) -> tuple[bool, float]:
    return finding.difference.grade != "none", finding.difference.excess


def _read(columns: Columns, names: Sequence[str]) -> Iterator[tuple[Column, np.ndarray]]:
    if VIEWS.name in names:
        yield VIEWS, columns.epoch.poses().rotations[:, 2].double().numpy()
    rest = [name for name in names if name != VIEWS.name]
    for start in range(0, len(rest), _TOGETHER):
        for name, values in columns.read(rest[start : start + _TOGETHER]).items():
            yield columns.column(name), values


def _compare(
    column: Column, values: np.ndarray, chosen: np.ndarray, seed: int
) -> tuple[Finding | None, object]:
    """A finding, None where a column says nothing; and what equal columns have in common."""
    if values.ndim == 2:
        difference, cap = of_directions(values, chosen, seed)
        return Finding(column, difference, _of_views(difference, cap), cap), column.name
    if values.dtype != object:
        known = np.isfinite(values.astype(np.float64))
        if min(int((known & chosen).sum()), int((known & ~chosen).sum())) < FEWEST:
            return None, None
        values, chosen = values[known].astype(np.float64), chosen[known]
    kinds, first, codes = np.unique(
        values.astype(str) if values.dtype == object else values,
        return_index=True,
        return_inverse=True,
    )
    if len(kinds) < 2:
        return None, None
    if values.dtype == object or _are_kinds(kinds):
        if 2 * len(kinds) > len(values):
            return None, None  # nearly a name for each particle
        # optics groups under two names sort the particles alike
        same = np.argsort(np.argsort(first))[codes].tobytes()
        difference = of_kinds(codes, chosen, seed)
        return Finding(
            column, difference, _of_kinds(column, difference, kinds, codes, chosen)
        ), same
    if column.period is not None:
        difference = of_angles(values, column.period, chosen, seed)
    else:
        difference = of_numbers(values, chosen, seed)
    return Finding(column, difference, _of_numbers(column, difference, values, chosen)), column.name


def _are_kinds(numbers: np.ndarray) -> bool:
    return len(numbers) <= _MOST_WHOLE and bool((numbers == np.round(numbers)).all())


def _verdict(title: str, difference: Difference) -> str:
    if difference.grade == "strong":
        return f"this selection is a {title.replace(' ', '-')} cluster"
    if difference.grade == "clear":
        return f"this selection depends on the {title}"
    return f"a weak dependence on the {title}" if difference.grade == "weak" else "as the rest"


def _measured(difference: Difference) -> str:
    return (
        f"({difference.statistic} {difference.distance:.2f}, by chance {difference.expected:.2f})"
    )


def _of_views(difference: Difference, cap: Cap) -> str:
    x, y, z = cap.direction
    tilt, azimuth = np.rad2deg(np.arccos(np.clip(z, -1, 1))), np.rad2deg(np.arctan2(y, x))
    return (
        f"Viewing direction: {cap.inside:.0%} of the selection and {cap.rest:.0%} of the rest are "
        f"seen from within {np.rad2deg(cap.radius):.0f}° of tilt {tilt:.0f}°, azimuth "
        f"{azimuth:.0f}° {_measured(difference)}: {_verdict('viewing direction', difference)}."
    )


def _of_kinds(
    column: Column,
    difference: Difference,
    kinds: np.ndarray,
    codes: np.ndarray,
    chosen: np.ndarray,
) -> str:
    inside, rest = (
        np.bincount(codes[m], minlength=len(kinds)) / m.sum() for m in (chosen, ~chosen)
    )
    most = int(np.argmax(inside - rest))
    name = kinds[most] if kinds.dtype.kind == "U" else f"{kinds[most]:g}"
    verdict = _verdict(_short(column), difference)
    return (
        f"{_begin(column.title)}: {name} holds {inside[most]:.1%} of the selection and "
        f"{rest[most]:.1%} of the rest {_measured(difference)}: {verdict}."
    )


def _of_numbers(
    column: Column, difference: Difference, values: np.ndarray, chosen: np.ndarray
) -> str:
    unit = "" if not column.unit else column.unit if column.unit == "°" else f" {column.unit}"
    centre = np.median if column.period is None else _Round(column.period)
    word = "median" if column.period is None else "mean direction"
    here, there = float(centre(values[chosen])), float(centre(values[~chosen]))
    return (
        f"{_begin(column.title)}: {word} {_plain(here)}{unit} in the selection, {_plain(there)}"
        f"{unit} in the rest {_measured(difference)}: {_verdict(_short(column), difference)}."
    )


@dataclass(frozen=True)
class _Round:
    """Mean direction of angles that come round after a period."""

    period: float

    def __call__(self, angles: np.ndarray) -> float:
        turn = 2 * np.pi / self.period
        return float(np.angle(np.exp(1j * turn * angles).mean()) / turn % self.period)


def _plain(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def _short(column: Column) -> str:
    return re.split(r"[,(:]", column.title)[0].strip()


def _begin(title: str) -> str:
    return title[:1].upper() + title[1:]
