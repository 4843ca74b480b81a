"""``cryodeco adopt``: from latents of another program to a run."""

from __future__ import annotations

from pathlib import Path

from napari_cryodeco.terminal import say


def adopt(
    source: Path,
    run: Path,
    /,
    *,
    particles: Path | None = None,
    poses: Path | None = None,
    ctf: Path | None = None,
    ind: Path | None = None,
    datadir: Path | None = None,
    epoch: int | None = None,
    z_dim: int | None = None,
    box: int | None = None,
    overwrite: bool = False,
) -> None:
    """Open latents that another program computed: a run to explore, without a decoder.

    Reads result folders of cryoDRGN, cryoDRGN-AI and RECOVAR, cryoSPARC's 3D Variability, 3D Flex
    and 3D Classification, and arrays. Nothing is written beside them.

    Parameters
    ----------
    source
        Result folder, file of latents, particles .cs file, or .npy (n, d) with a row a particle.
    run
        Folder to make, outside of the result folder.
    particles
        Particle file that the program was given: STAR or .cs; with a CTF table also .mrcs or a .txt
        list of stacks. Where not given, the one that the program names.
    poses
        Pickle of orientations, as `cryodrgn parse_pose_star` writes it.
    ctf
        Pickle of the CTF table, as `cryodrgn parse_ctf_star` writes it.
    ind
        Row numbers from 0 that the latents belong to: cryoDRGN's --ind pickle, or .npy.
    datadir
        Folder of the stacks, where they are not near the particle file.
    epoch
        Of cryoDRGN and cryoDRGN-AI; the newest where not given.
    z_dim
        Of RECOVAR: which of its latents, by their length.
    box
        Box in px that images are cropped to for maps of selections; up to 128 where not given.
    overwrite
        Replace a run of this name.
    """
    from napari_cryodeco.data.foreign.opening import open_latents, with_given
    from napari_cryodeco.runs.adopt import adopt as make

    found = with_given(open_latents(source, epoch, z_dim), poses, ctf, ind)
    made = make(found, run, particles, datadir, box, overwrite)
    for note in made.notes:
        say(note)
    count, length = found.values.shape
    say(f"{run}: z of {length} numbers for {count:,} particles, epoch {found.epoch}.")
    say(f"Next: cryodeco project {run}")
