"""Read RELION STAR files of version 3.0, 3.1 and 5 (algorithm.md §1.5 to §1.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.data.document import Block, StarDocument
from napari_cryodeco.data.images import check_box, common_pixel_size, index_images
from napari_cryodeco.data.particles import Particles
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.so3 import euler_to_matrix

IMAGE = "rlnImageName"
GROUP = "rlnOpticsGroup"
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
_OPTIONAL = (
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
    names, slices = image_names(document, block)
    images = index_images(path, names, slices, datadir)
    numbers = _numbers(document, block)
    missing = [label for label in CTF if label not in numbers]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}: estimate the CTF and extract the "
            "particles again with it."
        )
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


def particle_block(document: StarDocument) -> Block:
    """Return the loop of particle images.

    Raises
    ------
    ValueError
        If there is none, if it is empty, or if the particles are those of tomograms.
    """
    block = document.block_with(IMAGE)
    if block is None:
        raise ValueError(f"{document.path} has no column {IMAGE}: choose a STAR file of particles.")
    if "rlnTomoName" in block.labels:
        raise ValueError(
            f"{document.path} lists subtomograms; choose a STAR file of single-particle images."
        )
    if not block.row_lines:
        raise ValueError(
            f"{document.path} is empty: its particle table has no rows; choose one with particles."
        )
    return block


def image_names(document: StarDocument, block: Block) -> tuple[list[str], np.ndarray]:
    """Split ``000001@stack.mrcs`` into stack names and places ``(n,)`` from 0."""
    names: list[str] = []
    slices = np.zeros(len(block), dtype=np.int64)
    for row, value in enumerate(block.columns([IMAGE], document.path)[IMAGE]):
        number, at, name = value.rpartition("@")
        if at and (not number.isdecimal() or int(number) < 1):
            raise ValueError(
                f"{document.path}, row {row + 1}: {value!r} is no image name; RELION counts from "
                "000001@stack.mrcs."
            )
        names.append(name.removesuffix(":mrcs"))  # RELION's way to say that x.mrc is a stack
        slices[row] = int(number) - 1 if at else 0
    return names, slices


def _numbers(document: StarDocument, block: Block) -> dict[str, np.ndarray]:
    wanted = [label for label in (*CTF, *_OPTIONAL) if label in block.labels]
    numbers = {
        label: to_numbers(document.path, label, values)
        for label, values in block.columns(wanted, document.path).items()
    }
    optics = document.block_named("optics")
    if optics is None:
        return numbers
    shared = [
        label for label in (*CTF, *_OPTIONAL) if label in optics.labels and label not in numbers
    ]
    group = _optics_rows(document, block, optics)
    for label, values in optics.columns(shared, document.path).items():
        numbers[label] = to_numbers(document.path, label, values)[group]
    return numbers


def _optics_rows(document: StarDocument, block: Block, optics: Block) -> np.ndarray:
    if GROUP not in block.labels or GROUP not in optics.labels:
        if len(optics) == 1:
            return np.zeros(len(block), dtype=np.int64)
        raise ValueError(
            f"{document.path} has {len(optics)} optics groups but no column {GROUP}; export it "
            "again."
        )
    place = {group: row for row, group in enumerate(optics.columns([GROUP], document.path)[GROUP])}
    groups = block.columns([GROUP], document.path)[GROUP]
    for row, group in enumerate(groups):
        if group not in place:
            raise ValueError(
                f"{document.path}, row {row + 1}: optics group {group} is not in the optics "
                "table; export it again."
            )
    return np.array([place[group] for group in groups])


def to_numbers(path: Path, label: str, values: Sequence[str]) -> np.ndarray:
    """Convert text to float64 ``(n,)``; a row that is no finite number raises ValueError."""
    try:
        numbers = np.array(values, dtype=np.float64)
    except ValueError:
        numbers = np.array([_number(value) for value in values])
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"{path}, row {row + 1}: {label} is {values[row]!r}, no number; correct or remove "
            "this row."
        )
    return numbers


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _pixel_sizes(path: Path, numbers: Mapping[str, np.ndarray]) -> np.ndarray:
    for label in ("rlnImagePixelSize", "rlnPixelSize"):
        if label in numbers:
            return numbers[label]
    if (
        "rlnDetectorPixelSize" in numbers and "rlnMagnification" in numbers
    ):  # RELION 3.0: µm on the detector
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
    if (
        len(angles) > 1 and not angles[:, :2].any()
    ):  # in-plane angles of a 2-D classification are no poses
        return None
    rotations = euler_to_matrix(torch.deg2rad(torch.from_numpy(angles))).float()
    shifts = np.zeros((len(angles), 2))
    if all(label in numbers for label in ORIGINS_ANGST):
        shifts = np.stack([numbers[label] for label in ORIGINS_ANGST], axis=1)
    elif all(label in numbers for label in ORIGINS_PIXELS):
        shifts = pixel_size * np.stack([numbers[label] for label in ORIGINS_PIXELS], axis=1)
    return Poses(rotations, torch.from_numpy(shifts).float())
