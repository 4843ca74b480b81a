"""``cryodeco codebook``."""

from __future__ import annotations

from pathlib import Path

from napari_cryodeco.commands.common import open_run
from napari_cryodeco.terminal import Bar, say


def codebook(
    run: Path,
    /,
    *,
    centres: int = 100,
    side: int = 10,
    box: int = 48,
    near: int = 500,
    epoch: int | None = None,
    device: str = "auto",
) -> None:
    """Make small maps all over the landscape: a copy of the run then shows the nearest at once.

    Written as RUN/codebook.safetensors, in place of an older one. Without a decoder (adopted
    latents) each map is made of the particles about its point.

    Parameters
    ----------
    run
        Run directory.
    centres
        Number of k-means centres of z.
    side
        Cells along each axis of a grid over PC1 and PC2; those without particles are left out.
    box
        Side of the maps in voxels, over the same width in Å.
    near
        Without a decoder: particles that each map is made of.
    epoch
        Number of an epoch; the newest where not given.
    device
        auto, cpu, cuda:0 … or mps.
    """
    for name, value in (("--centres", centres), ("--side", side), ("--near", near)):
        if value < 1:
            raise ValueError(f"{name} {value}: give 1 or more.")
    opened = open_run(run)
    from napari_cryodeco.explore.codebook import make_codebook, save_codebook

    with Bar("maps") as bar:
        made = make_codebook(opened, epoch, centres, side, box, near, device, bar.count)
    save_codebook(made, opened)
    how = "decoded" if made.decoded else f"each of up to {near} particles"
    size = opened.paths.codebook.stat().st_size / 1e6
    say(
        f"{opened.paths.codebook}: {len(made.points)} maps of {made.maps.shape[-1]}³ voxels, "
        f"{made.voxel_size:.4g} Å, {how}; {size:.1f} MB"
    )
