"""``cryodeco new``: from a file of particles and settings to a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from cyclopts import Parameter

from napari_cryodeco.commands.priors import prior_path
from napari_cryodeco.terminal import say


def new(
    star: Path,
    run: Path,
    /,
    *,
    poses: Literal["file", "abinitio"] = "abinitio",
    classes: str = "auto",
    preset: Literal["mixture", "simple-motion", "complex-motion"] = "mixture",
    effort: Literal["fast", "normal", "parity"] = "normal",
    z_dim: int | None = None,
    prior: str = "bundled",
    datadir: Path | None = None,
    device: str = "auto",
    seed: int = 1701,
    box: int | None = None,
    contrast: Literal["auto", "light", "dark"] = "auto",
    refine_poses: bool = False,
    loop: Literal["prior-first", "parity"] | None = None,
    setting: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    pixel_size: float | None = None,
    defocus: float | None = None,
    defocus_v: float | None = None,
    defocus_angle: float = 0.0,
    voltage: float = 300.0,
    cs: float = 2.7,
    amplitude: float = 0.1,
    phase_shift: float = 0.0,
    overwrite: bool = False,
) -> None:
    """Make a run from a file of particles; `cryodeco train RUN` starts it.

    Parameters
    ----------
    star
        RELION STAR, cryoSPARC .cs, or a bare .mrcs stack (with the CTF options below).
    run
        Folder to make.
    poses
        Orientations and shifts: from the file, or found (ab initio).
    classes
        Number of discrete species to start from, 1 for one that moves, or auto.
    preset
        What varies: sets the longest z (16, 4, 16; on a GPU 128, 4, 64).
    effort
        How much work: fast, normal, or parity, the published loop with its published numbers. What
        you set yourself stays.
    z_dim
        Length of z, instead of what the images ask for; 0: no z, one rigid map.
    prior
        bundled, none, a folder or .safetensors file of weights, or the name of downloaded ones
        (see `cryodeco prior list`).
    datadir
        Folder of the stacks, where they are not near the file.
    device
        auto, cpu, cuda:0 … or mps.
    seed
        Of all random numbers.
    box
        Working box in px; larger images are Fourier-cropped.
    contrast
        Whether protein is light (RELION) or dark in the images.
    refine_poses
        Improve given orientations and shifts together with the field.
    loop
        prior-first: classes, maps, then the field; parity: the published loop. By the effort
        where not given.
    setting
        Any other setting, as refine.epochs=10; run.yaml lists them all.
    pixel_size
        Å per px of a bare stack, where its header has none.
    defocus
        Defocus U of a bare stack in Å, underfocus positive.
    defocus_v
        Defocus V in Å; as U where not given.
    defocus_angle
        Angle of astigmatism in degrees.
    voltage
        Acceleration voltage in kV.
    cs
        Spherical aberration in mm.
    amplitude
        Amplitude contrast, 0 to 1.
    phase_shift
        Phase shift in degrees.
    overwrite
        Replace a run of this name.
    """
    from napari_cryodeco.config import TrainConfig
    from napari_cryodeco.data.read import CtfOptions, read_particles
    from napari_cryodeco.runs.run import Run

    chosen = {
        "data.source": str(star.absolute()),
        "data.datadir": None if datadir is None else str(datadir.absolute()),
        "data.box": box,
        "data.contrast": contrast,
        "poses": poses,
        "refine_poses": refine_poses,
        "preset": preset,
        "effort": effort,
        "latent_dim": z_dim,
        "encoder.prior": prior_path(prior),
        "abinitio.classes": int(classes) if classes.isdigit() else classes,
        "loop": loop,
        "device": device,
        "seed": seed,
    }
    for text in setting or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text}: write it as NAME=VALUE, such as refine.epochs=10.")
        chosen[name] = yaml.safe_load(value)
    config = TrainConfig.from_yaml(yaml.safe_dump(_nested(chosen)), "cryodeco new")
    ctf = None
    if defocus is not None:
        ctf = CtfOptions(
            defocus_u=defocus,
            defocus_v=defocus_v,
            angle=defocus_angle,
            voltage=voltage,
            cs=cs,
            amplitude=amplitude,
            phase=phase_shift,
            pixel_size=pixel_size,
        )
    particles = read_particles(star, datadir, ctf)
    Run.create(run, particles, config, overwrite)
    say(f"{run}: {len(particles):,} particles of {particles.box} px at {particles.pixel_size:g} Å.")
    say(f"Start it with: cryodeco train {run}")


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Turn ``{"a.b": 1}`` into ``{"a": {"b": 1}}``; what is None is left to its default."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is not None:
            place[last] = value
    return nested
