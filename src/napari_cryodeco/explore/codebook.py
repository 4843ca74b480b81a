"""Small maps all over a landscape, made once: the nearest one is there at once, on any machine.

A run directory that was copied to a laptop opens without a GPU, and without a decoder where its
latents were adopted: then the maps are those of the particles about each point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.explore.backprojection import FEWEST, back_project, neighbours
from napari_cryodeco.explore.decoders import open_decoder
from napari_cryodeco.explore.projection import FIT_LIMIT, Progress, checked, principal_axes
from napari_cryodeco.explore.volumes import Check, Volume, VolumeRequest
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.imaging.resample import resample
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_tensors, write_tensors

BOX = 48  # voxels: 200 maps of this box are 44 MB
_PERCENTILES = (1.0, 99.0)  # of the particles, between which the grid lies
_LATENTS, _FIELD = "latents.safetensors", "field.safetensors"


@dataclass(frozen=True, eq=False)
class Codebook:
    """Maps at some points of z.

    Parameters
    ----------
    points
        ``(m, d)`` float32.
    maps
        ``(m, b, b, b)`` float16 zyx; times `scale` they have the values of decoded maps.
    scale
        The largest value of all maps: float16 goes to 65,504 only.
    voxel_size
        Å.
    decoded
        True: by the decoder; False: made of the particles about each point.
    epoch, latents, field
        Number of the epoch, and SHA-256 of its latents and of its decoder (empty: none).
    """

    points: np.ndarray
    maps: np.ndarray
    scale: float
    voxel_size: float
    decoded: bool
    epoch: int
    latents: str
    field: str

    def nearest(self, z: np.ndarray) -> Volume:
        """The map whose point is nearest to `z` ``(d,)``; its request says which point that is.

        Raises
        ------
        ValueError
            If z has another length.
        """
        point = np.asarray(z, np.float32).reshape(-1)
        if len(point) != self.points.shape[1]:
            raise ValueError(
                f"z has {len(point)} numbers, the codebook's points {self.points.shape[1]}."
            )
        place = int(((self.points - point) ** 2).sum(1).argmin())
        data = self.maps[place].astype(np.float32) * np.float32(self.scale)
        return Volume(data, self.voxel_size, VolumeRequest(self.points[place]))

    def decoder(self) -> tuple[NearestMap, Geometry]:
        """What `VolumeDecoder` takes: filters, boxes and previews of the nearest map."""
        box = self.maps.shape[-1]
        sizes = box, self.voxel_size, box // 2 - 1, 1.0
        return NearestMap(self), Geometry(*sizes, box, self.voxel_size)


class NearestMap:
    """Gives the coefficients of the nearest map of a codebook where a decoder would compute."""

    def __init__(self, codebook: Codebook) -> None:
        self._codebook = codebook
        self.latent_dim = codebook.points.shape[1]

    def decode_ball(
        self, z: Tensor, ball: Ball, radius: int | None = None, check: Check | None = None
    ) -> Tensor:
        """Hartley coefficients ``(m, count)`` for points ``(m, d)``; too quick to be cancelled."""
        maps = [torch.from_numpy(self._codebook.nearest(point).data) for point in z.cpu().numpy()]
        count = len(ball) if radius is None else ball.count(radius)
        return ball.from_map(torch.stack(maps).to(z.device))[:, :count]


def points_over(latents: np.ndarray, centres: int, side: int, seed: int = 0) -> np.ndarray:
    """Points of z ``(m, d)`` that particles support.

    K-means centres, and the mean z of the particles in each cell of a grid over PC1 and PC2; cells
    without particles have none.

    Parameters
    ----------
    latents
        ``(n, d)``.
    centres
        How many k-means centres.
    side
        Cells of the grid along each axis, between the 1st and the 99th percentile.
    seed
        Of k-means.
    """
    from sklearn.cluster import MiniBatchKMeans  # sklearn takes seconds to import

    z = checked(latents)
    rows = np.random.default_rng(seed).permutation(len(z))[:FIT_LIMIT]
    fit = MiniBatchKMeans(min(centres, len(rows)), n_init=3, random_state=seed).fit(z[rows])
    scores = principal_axes(z).scores[:, :2]
    low, high = np.percentile(scores, _PERCENTILES, axis=0)
    inside = ((scores >= low) & (scores <= high)).all(1)
    share = (scores[inside] - low) / np.where(high > low, high - low, 1.0)
    cells = np.minimum((share * side).astype(np.int64), side - 1) @ (
        side ** np.arange(share.shape[1])
    )
    found, cell_of, counts = np.unique(cells, return_inverse=True, return_counts=True)
    sums = np.zeros((len(found), z.shape[1]))
    np.add.at(sums, cell_of, z[inside])
    return np.concatenate([fit.cluster_centers_, sums / counts[:, None]]).astype(np.float32)


def make_codebook(
    run: Run,
    epoch: int | None = None,
    centres: int = 100,
    side: int = 10,
    box: int = BOX,
    near: int = 500,
    device: str = "auto",
    progress: Progress | None = None,
) -> Codebook:
    """Decode small maps all over an epoch's latents, or make them of the particles there.

    Parameters
    ----------
    run, epoch
        Which epoch; None: the newest.
    centres, side
        See :func:`points_over`.
    box
        Side of the maps in voxels, even, at most the working box.
    near
        Without a decoder: how many particles about a point a map is made of.
    device
        ``"auto"``, ``"cpu"``, ``"cuda:0"``, …
    progress
        Called with (done, of) maps; raising in it cancels.

    Raises
    ------
    ValueError
        If the run has no z, or neither a decoder nor orientations and images.
    """
    used, geometry = run.epoch(epoch), run.geometry
    if box % 2 or box < 8:
        raise ValueError(f"Maps of {box} voxels: choose an even number from 8.")
    box = min(box, geometry.box)
    points = points_over(used.latents(), centres, side, run.config.seed)
    maps = np.empty((len(points), box, box, box), np.float32)
    made = (
        _decoded(used, points, box, device)
        if used.has_decoder
        else _of_particles(run, used, points, box, near, device)
    )
    for done, (place, volume) in enumerate(zip(maps, made, strict=True), 1):
        place[:] = volume
        if progress is not None:
            progress(done, len(points))
    scale = float(np.abs(maps).max()) or 1.0
    return Codebook(
        points,
        (maps / scale).astype(np.float16),
        scale,
        geometry.length / box,
        used.has_decoder,
        used.number,
        used.sha256(_LATENTS),
        used.sha256(_FIELD),
    )


def _decoded(epoch: Epoch, points: np.ndarray, box: int, device: str) -> Iterator[np.ndarray]:
    decoder = open_decoder(epoch, device)
    requests = [VolumeRequest(point, box // 2 - 1, box) for point in points]
    for volume in decoder.decode_many(requests):
        yield volume.data


def _of_particles(
    run: Run, epoch: Epoch, points: np.ndarray, box: int, near: int, device: str
) -> Iterator[np.ndarray]:
    latents = epoch.latents()
    for point in points:
        about = neighbours(latents, point, max(near, FEWEST))
        whole = back_project(run, about.rows, about.weights, epoch.number, device).whole
        step = run.geometry.length / box
        yield resample(torch.from_numpy(whole.data), whole.voxel_size, box, step).numpy()


def save_codebook(made: Codebook, run: Run) -> None:
    """Write it as ``RUN/codebook.safetensors``, in place of an older one."""
    tensors = {"points": torch.from_numpy(made.points), "maps": torch.from_numpy(made.maps)}
    names = ("scale", "voxel_size", "decoded", "epoch", "latents", "field")
    write_tensors(run.paths.codebook, tensors, {name: getattr(made, name) for name in names})


def load_codebook(run: Run, epoch: int | None = None) -> Codebook | None:
    """Read the codebook of an epoch, the newest by default; None where there is none of it.

    It must have been made of these latents, and by this decoder; a copy of a run from which the
    decoder was left out is taken at its word.
    """
    used, file = run.epoch(epoch), RunPaths(run.path).codebook
    if not file.is_file():
        return None
    tensors, header = read_tensors(file)
    found = Codebook(tensors["points"].numpy(), tensors["maps"].numpy(), **header)
    decoder = used.sha256(_FIELD)
    same = found.latents == used.sha256(_LATENTS) and (not decoder or found.field == decoder)
    return replace(found, epoch=used.number) if same else None
