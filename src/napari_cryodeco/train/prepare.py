"""The first stage: the working copy of all images."""

from __future__ import annotations

from torch import Tensor

from napari_cryodeco.data.working_copy import write_working_copy
from napari_cryodeco.imaging.contrast import DECIDED
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.runs.json_file import read_json, write_json
from napari_cryodeco.runs.run import Run
from napari_cryodeco.train.stages import Reporter


def contrast_sentence(geometry: Geometry) -> str:
    """Say what contrast the protein has in the images, and how that is known."""
    score = geometry.contrast_score
    if score is None:
        return f"protein is {geometry.contrast} in them, as the file or the settings say"
    if abs(score) < DECIDED:
        return f"they do not tell whether protein is light in them (score {score:.1f}): light"
    return f"protein is {geometry.contrast} in them (score {score:.1f})"


class PrepareStage:
    """Writes ``images.npy`` and ``geometry.json``; goes on at its block when interrupted.

    Parameters
    ----------
    run
        The run.
    box
        Working box in pixels.
    """

    name = "prepare"

    def __init__(self, run: Run, box: int) -> None:
        self._run, self._box = run, box

    def units(self) -> int:
        """Count one unit."""
        return 1

    def load(self, tensors: dict[str, Tensor] | None) -> None:
        """Begin, or check that the images on disk are those that the settings ask for.

        Raises
        ------
        ValueError
            If the working box was changed after the images were prepared.
        """
        if tensors is None:
            return
        box = read_json(self._run.paths.geometry)["box"]
        if box != self._box:
            raise ValueError(
                f"{self._run.paths.config}: the working box is {self._box} px, but the images were "
                f"prepared at {box} px: set data.box to {box}, or make a new run."
            )

    def advance(self, unit: int, report: Reporter) -> None:
        """Read, crop, window and transform every image."""
        paths = self._run.paths
        geometry = write_working_copy(
            self._run.particles, self._box, paths.images, lambda i, of: report.step(i, of, "images")
        )
        write_json(paths.geometry, geometry.to_dict())
        n = len(self._run.particles)
        report.step(n, n, f"images; {contrast_sentence(geometry)}")

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: the files are the state."""
        return {}
