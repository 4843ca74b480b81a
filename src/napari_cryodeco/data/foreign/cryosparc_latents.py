"""Columns of cryoSPARC's .cs files that say where a particle is in a landscape.

3D Variability Analysis (and what reads its components, as 3D Flex): ``components_mode_K/value``,
K from 0. 3D Classification and Heterogeneous Refinement: ``alignments3D_multi/class_posterior``
``(n, K)``; older jobs ``alignments_class3D_K/class_posterior``, ``alignments_class_K/…``.
Source: cryoSPARC's files as public scripts read them (docs/other-programs.md).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from napari_cryodeco.data import cryosparc
from napari_cryodeco.data.foreign.latents import ForeignLatents, checked_latents

_COMPONENT = re.compile(r"components_mode_(\d+)/value")
_CLASSES = "alignments3D_multi/class_posterior"
_CLASS = re.compile(r"alignments_class(?:3D)?_(\d+)/class_posterior")


def cs_files(folder: Path) -> list[Path]:
    """Particle files of a job folder that hold latents or classes, the newest last."""
    found = [file for file in folder.glob("*.cs") if "passthrough" not in file.name]
    found = [file for file in found if _has_latents(file)]
    return sorted(found, key=lambda file: (file.stat().st_mtime_ns, file.name))


def _has_latents(path: Path) -> bool:
    try:
        names = cryosparc.load(path).dtype.names or ()
    except ValueError:
        return False
    return any(_COMPONENT.fullmatch(name) or _is_class(name) for name in names)


def _is_class(name: str) -> bool:
    return name == _CLASSES or _CLASS.fullmatch(name) is not None


def read_cryosparc(path: Path) -> ForeignLatents:
    """Read components, or else posteriors of classes, of a .cs file.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is no .cs file, or has neither.
    """
    table = cryosparc.load(path)
    names = table.dtype.names or ()
    components = _numbered(names, _COMPONENT)
    posteriors = None
    if components:
        program, values = "cryoSPARC components", _stacked(table, components)
    else:
        classes = [_CLASSES] if _CLASSES in names else _numbered(names, _CLASS)
        if not classes:
            raise ValueError(
                f"{path} has no components and no classes: choose the particles .cs file of a 3D "
                "Variability, 3D Flex or 3D Classification job."
            )
        program, values = "cryoSPARC classes", _stacked(table, classes)
        posteriors = values.astype(np.float32)
    return ForeignLatents(
        program=program,
        values=checked_latents(values, path),
        file=path,
        home=path.parent if (path.parent / "job.json").is_file() else None,
        particles=path,
        posteriors=posteriors,
        uids=table["uid"] if "uid" in names else None,
    )


def _numbered(names: tuple[str, ...], pattern: re.Pattern[str]) -> list[str]:
    found = {int(match[1]): name for name in names if (match := pattern.fullmatch(name))}
    return [found[number] for number in sorted(found)]


def _stacked(table: np.ndarray, names: list[str]) -> np.ndarray:
    return np.concatenate([table[name].reshape(len(table), -1) for name in names], axis=1)
