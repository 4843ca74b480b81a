"""Open latents of any program: which one wrote them is told by names and columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_cryodeco.data.foreign.array_pickle import read_pickled_array
from napari_cryodeco.data.foreign.cryodrgn import (
    is_latents,
    latent_files,
    read_cryodrgn,
    read_ctf,
    read_poses,
    read_subset,
)
from napari_cryodeco.data.foreign.cryosparc_latents import cs_files, read_cryosparc
from napari_cryodeco.data.foreign.latents import (
    ForeignLatents,
    checked_latents,
    reading_pickle,
)
from napari_cryodeco.data.foreign.recovar import is_recovar, read_recovar

_KNOWN = (
    "a result folder of cryoDRGN, cryoDRGN-AI or RECOVAR, a job folder or particles .cs file of "
    "cryoSPARC, or an .npy file with a row for each particle"
)


def open_latents(
    source: Path | str, epoch: int | None = None, z_dim: int | None = None
) -> ForeignLatents:
    """Read latents of another program.

    Parameters
    ----------
    source
        Its result folder, or one file of latents in it; a .cs file; ``.npy`` ``(n, d)``; a pickle
        of such an array.
    epoch
        Of a folder of cryoDRGN or cryoDRGN-AI; None: the newest.
    z_dim
        Of a folder of RECOVAR: which of its z, by its length.

    Raises
    ------
    FileNotFoundError, ValueError
        With one sentence that names the file and the cure.
    """
    source = Path(source).absolute()
    if not source.exists():
        raise FileNotFoundError(f"{source} is missing: give {_KNOWN}.")
    if is_recovar(source):
        return read_recovar(source, z_dim)
    if source.is_dir():
        return _open_folder(source, epoch)
    if source.suffix == ".cs":
        return read_cryosparc(source)
    if is_latents(source):
        return read_cryodrgn(source)
    if source.suffix in (".npy", ".pkl"):
        return _open_array(source)
    raise ValueError(f"{source} holds no latents that are known here: give {_KNOWN}.")


def with_given(
    found: ForeignLatents, poses: Path | None, ctf: Path | None, ind: Path | None
) -> ForeignLatents:
    """Latents with the poses, CTF table and subset that the user gives, before what lay there.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing or holds something else.
    """
    if poses is not None:
        found = replace(found, poses=read_poses(poses))
    if ctf is not None:
        found = replace(found, ctf=read_ctf(ctf), ctf_file=ctf)
    if ind is not None:
        found = replace(found, subset=read_subset(ind), subset_file=ind)
    pickles = [file for file in (poses, ctf, ind) if file is not None and file.suffix == ".pkl"]
    return replace(found, notes=(*found.notes, *map(reading_pickle, pickles)))


def _open_folder(folder: Path, epoch: int | None) -> ForeignLatents:
    if files := latent_files(folder):
        wanted = [file for file in files if epoch is None or f".{epoch}." in file.name]
        if not wanted:
            names = ", ".join(file.name for file in files)
            raise ValueError(f"{folder} has no latents of epoch {epoch}: it has {names}.")
        return read_cryodrgn(wanted[-1])
    if found := cs_files(folder):
        return read_cryosparc(found[-1])
    raise ValueError(f"{folder} holds no latents that are known here: give {_KNOWN}.")


def _open_array(path: Path) -> ForeignLatents:
    if path.suffix == ".pkl":
        values, notes = read_pickled_array(path, 2, "table of latents"), (reading_pickle(path),)
        return ForeignLatents("a pickled array", checked_latents(values, path), path, notes=notes)
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is no readable .npy file of numbers ({error}): write it with numpy.save."
        ) from None
    return ForeignLatents("an array", checked_latents(values, path), path)
