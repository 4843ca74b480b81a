"""A run made of latents that another program computed: all the explorer needs, but no decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.atomic import replacing_folder
from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.calibration import calibrate, check_working_box, geometry_of
from napari_cryodeco.data.foreign.latents import ForeignLatents
from napari_cryodeco.data.foreign.particles import own_file, particles_of, poses_of, rows_of
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.stack import ParticleStack
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.runs.checkpoint import NO_POSES, write_epoch
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.origin import Origin, describe
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Status
from napari_cryodeco.runs.run import Run, check_place, fill
from napari_cryodeco.runs.store import write_tensors
from napari_cryodeco.stage_config import DataConfig

LARGEST_BOX = 128  # px that images are cropped to for maps of selections, unless another is asked


@dataclass(frozen=True)
class Adopted:
    """The run that was made, and sentences for the user."""

    run: Run
    notes: tuple[str, ...]


def adopt(
    found: ForeignLatents,
    path: Path | str,
    particles: Path | None = None,
    datadir: Path | None = None,
    box: int | None = None,
    overwrite: bool = False,
) -> Adopted:
    """Make the run directory `path`; row i of it is latent i and its particle.

    Nothing is written beside the latents or the particles. The images stay in their stacks and are
    read when a selection is reconstructed.

    Parameters
    ----------
    found
        Latents and what lay beside them.
    path
        New folder, outside of the one that the latents lie in.
    particles
        File of the particles; None: the one that the program names.
    datadir
        Folder of the stacks, where they are not near the file.
    box
        Working box in px, even; None: that of the images up to 128.
    overwrite
        Whether a run of this name may be replaced.

    Raises
    ------
    FileExistsError, FileNotFoundError, ValueError
        With one sentence that names file and cure.
    """
    path = Path(path).absolute()
    _refuse_place(path, found)
    check_place(path, overwrite)
    listed = particles_of(found, _particle_file(found, particles), datadir)
    rows = rows_of(found, listed)
    box = min(listed.box, LARGEST_BOX) if box is None else box
    check_working_box(listed, box)
    poses, said = _poses(found, listed, rows)
    with replacing_folder(path, overwrite) as part:
        taken = replace(own_file(listed, rows, part), poses=poses)
        config = TrainConfig(
            data=DataConfig(source=listed.source, datadir=datadir or found.datadir, box=box),
            poses="abinitio" if poses is None else "file",
            latent_dim=found.values.shape[1],
        )
        fill(part, taken, config, Status(state="done", share=1.0))
        why = _write_geometry(taken, box, RunPaths(part).geometry)
        write_epoch(RunPaths(part), found.epoch, lambda folder: _write_epoch(found, taken, folder))
        files = {"particles": listed.source, **found.files}
        origin = Origin(found.program, describe(files), len(found), len(listed), said, why)
        write_json(RunPaths(part).origin, origin)
    return Adopted(Run.open(path), (*found.notes, *_notes(found, origin)))


def _refuse_place(path: Path, found: ForeignLatents) -> None:
    """Nothing is written into the folder of a job of another program."""
    if found.home is not None and path.resolve().is_relative_to(found.home.resolve()):
        raise ValueError(
            f"{path} lies in {found.home}, the results of {found.program}: choose a folder outside."
        )


def _particle_file(found: ForeignLatents, given: Path | None) -> Path:
    if given is not None:
        return given
    if found.particles is None:
        raise ValueError(
            f"{found.file} does not say which particles it belongs to: give their file "
            "(--particles)."
        )
    if not found.particles.is_file():
        raise FileNotFoundError(
            f"{found.particles}, the particle file that {found.program} used, is missing: give it "
            "(--particles)."
        )
    return found.particles


def _poses(
    found: ForeignLatents, listed: Particles, rows: np.ndarray | None
) -> tuple[Poses | None, str]:
    """Orientations of the latents' particles, and where they are from."""
    if found.poses is not None:
        return poses_of(found.poses, listed, rows, len(found)), str(found.poses.file)
    if listed.poses is None:
        return None, ""
    poses = listed.poses if rows is None else listed.poses[torch.from_numpy(rows)]
    return poses, str(listed.source)


def _write_geometry(particles: Particles, box: int, path: Path) -> str:
    """Measure a sample of the images; return why that cannot be done, or nothing."""
    try:
        known = calibrate(ParticleStack(particles), box)
    except ValueError as error:  # a landscape can be looked at without images
        return str(error)
    write_json(path, geometry_of(particles, box, known).to_dict())
    return ""


def _write_epoch(found: ForeignLatents, particles: Particles, folder: Path) -> None:
    latents = {"latents": torch.from_numpy(found.values)}
    write_tensors(folder / "latents.safetensors", latents)
    if (poses := particles.poses) is not None:
        columns = {"rotations": poses.rotations, "shifts": poses.shifts}
        write_tensors(folder / "poses.safetensors", columns)
    if found.posteriors is not None:
        posteriors = {"posteriors": torch.from_numpy(found.posteriors)}
        write_tensors(folder / "classes.safetensors", posteriors)


def _notes(found: ForeignLatents, origin: Origin) -> list[str]:
    said = [origin.sentence]
    if origin.particles < origin.listed:
        subset = found.subset_file or found.file
        said.append(
            f"{origin.particles:,} of {origin.listed:,} particles, those that {subset} names; the "
            "run has a particle file of its own with these rows."
        )
    said.append(f"Orientations: {origin.poses}." if origin.poses else NO_POSES)
    if origin.images:
        said.append(f"No maps can be made of the particles: {origin.images}")
    return said
