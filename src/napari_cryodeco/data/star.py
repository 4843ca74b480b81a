"""Read RELION STAR files of version 3.0, 3.1 and 5 (algorithm.md §1.5 to §1.7)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.data.document import StarDocument
from napari_cryodeco.data.images import check_box, common_pixel_size, index_images
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.data.star_rows import particle_block, read_rows
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import euler_to_matrix

CTF = (
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
)
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS_ANGST = ("rlnOriginXAngst", "rlnOriginYAngst")
ORIGINS_PIXELS = ("rlnOriginX", "rlnOriginY")
PIXEL_SIZES = ("rlnImagePixelSize", "rlnPixelSize", "rlnDetectorPixelSize", "rlnMagnification")
CORRECTED = ("rlnCtfDataAreCtfPremultiplied", "rlnCtfDataArePhaseFlipped")
_OPTIONAL = (
    *CORRECTED,
    *("rlnPhaseShift", "rlnImageSize"),
    *(*PIXEL_SIZES, *ANGLES, *ORIGINS_ANGST, *ORIGINS_PIXELS),
)


def read(path: Path, datadir: Path | None = None) -> Particles:
    """Read the particles of a STAR file and check that their images are there.

    Raises
    ------
    FileNotFoundError, ValueError
        With one sentence that names file, row and cure.
    """
    document = StarDocument.read(path)
    block = particle_block(document)
    names, slices, numbers = read_rows(document, block, (*CTF, *_OPTIONAL))
    missing = [label for label in CTF if label not in numbers]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}: estimate the CTF and extract the "
            "particles again with it."
        )
    _refuse_corrected(path, numbers)
    images = index_images(path, names, slices, datadir)
    pixel_size = common_pixel_size(path, _pixel_sizes(path, numbers))
    if "rlnImageSize" in numbers:
        check_box(path, numbers["rlnImageSize"], images.box)
    return Particles(
        source=path,
        stacks=images.stacks,
        stack_of=torch.from_numpy(images.stack_of),
        slice_of=torch.from_numpy(images.slice_of),
        ctf=_ctf(numbers, len(block)),
        poses=_poses(numbers, pixel_size),
        box=images.box,
        pixel_size=pixel_size,
    )


def _refuse_corrected(path: Path, numbers: Mapping[str, np.ndarray]) -> None:
    for label in CORRECTED:
        if label in numbers and numbers[label].any():
            raise ValueError(
                f"{path}, row {int(numbers[label].argmax()) + 1}: {label} says that the images are "
                "CTF-corrected already; extract the particles again without that."
            )


def _pixel_sizes(path: Path, numbers: Mapping[str, np.ndarray]) -> np.ndarray:
    for label in ("rlnImagePixelSize", "rlnPixelSize"):
        if label in numbers:
            return numbers[label]
    if "rlnDetectorPixelSize" in numbers and "rlnMagnification" in numbers:
        # RELION 3.0: µm on the detector
        return 1e4 * numbers["rlnDetectorPixelSize"] / numbers["rlnMagnification"]
    raise ValueError(f"{path} gives no pixel size: add rlnImagePixelSize to its optics table.")


def _ctf(numbers: Mapping[str, np.ndarray], count: int) -> Ctf:
    u, v, angle, voltage, cs, amplitude = (
        torch.from_numpy(numbers[label]).float() for label in CTF
    )
    phase = torch.from_numpy(numbers.get("rlnPhaseShift", np.zeros(count))).float()
    return Ctf(u, v, torch.deg2rad(angle), voltage, cs, amplitude, torch.deg2rad(phase))


def _poses(numbers: Mapping[str, np.ndarray], pixel_size: float) -> Poses | None:
    if any(label not in numbers for label in ANGLES):
        return None
    angles = np.stack([numbers[label] for label in ANGLES], axis=1)
    if len(angles) > 1 and not angles[:, :2].any():
        return None  # in-plane angles of a 2-D classification are no poses
    rotations = euler_to_matrix(torch.deg2rad(torch.from_numpy(angles))).float()
    shifts = np.zeros((len(angles), 2))
    if all(label in numbers for label in ORIGINS_ANGST):
        shifts = np.stack([numbers[label] for label in ORIGINS_ANGST], axis=1)
    elif all(label in numbers for label in ORIGINS_PIXELS):
        shifts = pixel_size * np.stack([numbers[label] for label in ORIGINS_PIXELS], axis=1)
    return Poses(rotations, torch.from_numpy(shifts).float())
