"""All that is known of each particle, as columns by name: of the file, of the run, of the user.

Columns are listed at once and read when asked for; row i is particle i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch

from napari_cryodeco.data.column_names import described
from napari_cryodeco.data.table import SourceTable, open_table
from napari_cryodeco.explore import landscape, stability, user_columns
from napari_cryodeco.explore.closeness import closeness
from napari_cryodeco.imaging.so3 import matrix_to_euler
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.run import Run

Origin = Literal["file", "pose", "optics", "latent", "cluster", "user"]
Make = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Column:
    """A column of the particles of a run.

    Parameters
    ----------
    name
        Its name: the one in the file for its own columns.
    title, unit
        In plain words; the unit is empty where there is none, or the format does not say it.
    origin
        "file": the STAR or .cs file; "pose", "optics": derived from the run; "latent": from z;
        "cluster": what was found in z; "user": brought by the user.
    period
        Of an angle: after so much it comes round (in its unit); None for all else.
    """

    name: str
    title: str
    unit: str = ""
    origin: Origin = "file"
    period: float | None = None

    @property
    def label(self) -> str:
        """Title with unit, for an axis or a colour bar."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


class Columns:
    """The columns of one epoch of a run.

    Parameters
    ----------
    run, epoch
        Which; None: the newest epoch.
    """

    def __init__(self, run: Run, epoch: int | None = None) -> None:
        self.run, self.epoch = run, run.epoch(epoch)
        self._table = _source_table(run)
        self._made = {column.name: (column, make) for column, make in derived(run, self.epoch)}
        for name in self._table.names:
            self._made.setdefault(name, (_of_file(name), partial(self._read, name)))
        for name, make in user_columns.kept(run.paths.columns).items():
            shown = f"{name} (added)" if name in self._made else name  # never in place of another
            self._made[shown] = (Column(shown, shown, "", "user"), make)

    @property
    def listed(self) -> tuple[Column, ...]:
        """Every column there is."""
        return tuple(column for column, _ in self._made.values())

    def column(self, name: str) -> Column:
        """Title, unit and origin of a column.

        Raises
        ------
        ValueError
            For a name that is not there.
        """
        if name not in self._made:
            raise ValueError(
                f"{self.run.path} has no column {name}: `cryodeco columns {self.run.path}` lists "
                "them."
            )
        return self._made[name][0]

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Read columns ``(n,)``: numbers, or objects (str); those of the file in one pass.

        Raises
        ------
        ValueError
            For a name that is not there, or a file that has not as many rows as the run.
        """
        wanted = list(dict.fromkeys(names))
        of_file = [name for name in wanted if self.column(name).origin == "file"]
        found = self._table.read(of_file)
        found |= {name: self._made[name][1]() for name in wanted if name not in found}
        for name, values in found.items():
            if len(values) != len(self.run.particles):
                raise ValueError(
                    f"{name} has {len(values):,} values but the run {len(self.run.particles):,} "
                    f"particles: was {self.run.particles.source} changed since? Put it back."
                )
        return {name: found[name] for name in wanted}

    def _read(self, name: str) -> np.ndarray:
        return self._table.read([name])[name]


def _source_table(run: Run) -> SourceTable:
    source = run.particles.source
    return open_table(source) if source.is_file() else SourceTable(source, (), lambda names: {})


def _of_file(name: str) -> Column:
    title, unit = described(name)
    period = {"rlnDefocusAngle": 180.0, "ctf/df_angle_rad": np.pi}.get(name)
    return Column(name, title, unit, "file", 360.0 if name.startswith("rlnAngle") else period)


def derived(run: Run, epoch: Epoch) -> list[tuple[Column, Make]]:
    """Columns that the run itself gives, each with what makes it."""
    poses = _of_poses(epoch) if epoch.has_poses else []
    return [*poses, *_of_optics(run), *_of_latents(run, epoch), *_of_groups(run, epoch)]


def view_angles(rotations: torch.Tensor) -> np.ndarray:
    """Azimuth, tilt and in-plane angle in degrees ``(n, 3)`` of rotations ``(n, 3, 3)``.

    RELION's rot, tilt and psi: the particle is seen along the direction with these angles.
    """
    degrees: np.ndarray = torch.rad2deg(matrix_to_euler(rotations)).numpy()
    return degrees


def _of_poses(epoch: Epoch) -> list[tuple[Column, Make]]:
    def angle(axis: int) -> np.ndarray:
        return view_angles(epoch.poses().rotations)[:, axis].astype(np.float64)

    def shift() -> np.ndarray:
        return epoch.poses().shifts.double().norm(dim=1).numpy()

    return [
        (Column("azimuth", "viewing direction: azimuth", "°", "pose", 360.0), partial(angle, 0)),
        (Column("tilt", "viewing direction: tilt", "°", "pose"), partial(angle, 1)),
        (Column("in-plane", "in-plane angle", "°", "pose", 360.0), partial(angle, 2)),
        (Column("shift", "shift length", "Å", "pose"), shift),
    ]


def _of_optics(run: Run) -> list[tuple[Column, Make]]:
    particles = run.particles
    ctf = particles.ctf

    def defocus() -> np.ndarray:
        return ((ctf.defocus_u.double() + ctf.defocus_v.double()) / 2).numpy()

    def astigmatism() -> np.ndarray:
        return (ctf.defocus_u.double() - ctf.defocus_v.double()).abs().numpy()

    def optics() -> np.ndarray:
        rows = torch.stack([ctf.voltage, ctf.cs, ctf.amplitude], 1).double().numpy().round(6)
        return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64) + 1

    def stack() -> np.ndarray:
        names = np.array([path.name for path in particles.stacks], dtype=object)
        return names[particles.stack_of.numpy()]

    found: list[tuple[Column, Make]] = [
        (Column("defocus", "defocus, mean of both axes", "Å", "optics"), defocus),
        (Column("astigmatism", "astigmatism", "Å", "optics"), astigmatism),
        (Column("optics", "optics (voltage, Cs, contrast)", "", "optics"), optics),
        (Column("stack", "image stack", "", "optics"), stack),
    ]
    if micrographs := _micrographs(run):
        found.append((Column("micrograph", "micrograph", "", "optics"), micrographs))
    return found


def _micrographs(run: Run) -> Make | None:
    table = _source_table(run)
    for name in ("rlnMicrographName", "location/micrograph_path"):
        if name in table.names:
            return lambda: table.read([name])[name]
    return None


def _of_latents(run: Run, epoch: Epoch) -> list[tuple[Column, Make]]:
    if run.config.rigid:
        return []

    def one(axis: int) -> np.ndarray:
        return epoch.latents()[:, axis]

    def component(axis: int) -> np.ndarray:
        return landscape.pca(epoch.latents(), epoch.number).coordinates[:, axis]

    width = epoch.latent_size()
    shown = range(width)
    return [
        *((Column(f"PC{i + 1}", f"PC{i + 1}", "", "latent"), partial(component, i)) for i in shown),
        *((Column(f"z{i + 1}", f"z{i + 1}", "", "latent"), partial(one, i)) for i in shown),
        (
            Column("|z|", "length of z", "", "latent"),
            lambda: np.linalg.norm(epoch.latents(), axis=1),
        ),
        (
            Column("density", "local density in z (1: the median)", "", "latent"),
            lambda: closeness(epoch.latents(), run.config.seed),
        ),
    ]


def _of_groups(run: Run, epoch: Epoch) -> list[tuple[Column, Make]]:
    found: list[tuple[Column, Make]] = []
    clusters = landscape.latest_clustering(run.paths.views, epoch.number)
    if clusters is not None:
        labels, sure = clusters.labels + 1, clusters.own
        found += [
            (Column("cluster", "cluster (0: unassigned)", "", "cluster"), lambda: labels),
            (Column("posterior", "posterior of the cluster", "", "cluster"), lambda: sure),
        ]
        steady = stability.latest(run.paths.views, clusters)
        if steady is not None:
            title = "confidence of the cluster over seeds"
            found.append((Column("confidence", title, "", "cluster"), lambda: steady.confidence))
    classes = epoch.class_posteriors()
    if classes is not None:
        found += [
            (Column("species", "species", "", "cluster"), lambda: classes.argmax(1) + 1),
            (
                Column("species posterior", "posterior of the species", "", "cluster"),
                lambda: classes.max(1),
            ),
        ]
    return found
