"""By what rows of two files of particles are known to be the same particle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_cryodeco.data import cryosparc
from napari_cryodeco.data.star_rows import IMAGE, split_names
from napari_cryodeco.data.table import SourceTable, open_table

UIDS = ("uid", "ucsfUid")  # cryoSPARC's, and what pyem writes into STAR files
ORIGINAL_IMAGE = "rlnImageOriginalName"
_PLACE = ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY")
_CRYOSPARC_UID = re.compile(r"^\d{15,}_")
_CRYOSPARC_STEPS = re.compile(r"(_patch_aligned|_rigid_aligned|_doseweighted|_fractions)+$")


@dataclass(frozen=True, eq=False)
class Places:
    """Where particles were picked: `micrographs` ``(n,)`` names, `xy` ``(n, 2)`` in its pixels."""

    micrographs: np.ndarray
    xy: np.ndarray


class RowKeys:
    """The keys of the rows of a STAR or .cs file, each read when asked for, None if not there.

    Parameters
    ----------
    source
        The file.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self.table: SourceTable = open_table(source)

    def uids(self) -> np.ndarray | None:
        """``(n,)`` numbers that cryoSPARC gives a particle for life."""
        name = next((name for name in UIDS if name in self.table.names), None)
        return None if name is None else self.table.read([name])[name]

    def images(self) -> tuple[list[str], np.ndarray] | None:
        """Stack names (n) as the file writes them, and places in the stacks ``(n,)`` from 0."""
        if "blob/path" in self.table.names:
            found = self.table.read(["blob/path", "blob/idx"])
            names = [name.lstrip(">") for name in found["blob/path"].tolist()]
            return names, found["blob/idx"].astype(np.int64)
        return self._image_column(IMAGE)

    def original_images(self) -> tuple[list[str], np.ndarray] | None:
        """The same of the images that these were made of, as RELION notes on rescaling."""
        return self._image_column(ORIGINAL_IMAGE)

    def _image_column(self, name: str) -> tuple[list[str], np.ndarray] | None:
        if name not in self.table.names:
            return None
        return split_names(self.source, self.table.read([name])[name].tolist())

    def places(self) -> Places | None:
        """Micrographs, by their base names where these differ, and coordinates in px."""
        if self.source.suffix.lower() == ".cs":
            rows = np.arange(len(cryosparc.load(self.source, in_place=True)))
            found = cryosparc.relion_columns(self.source, rows)
        else:
            found = self.table.read(name for name in _PLACE if name in self.table.names)
        if any(name not in found for name in _PLACE):
            return None
        xy = np.stack([found[name].astype(np.float64) for name in _PLACE[1:]], 1)
        return Places(_base_names(found[_PLACE[0]]), xy)


def _base_names(names: np.ndarray) -> np.ndarray:
    """Names without folder, suffix, and what cryoSPARC adds; whole where two would be one."""
    base: dict[str, str] = {}
    for name in dict.fromkeys(names.tolist()):
        stem = _CRYOSPARC_UID.sub("", Path(name).stem)
        base[name] = _CRYOSPARC_STEPS.sub("", stem)
    distinct = len(set(base.values())) == len(base)
    return np.array([base[name] if distinct else name for name in names.tolist()], dtype=object)
