"""Small files in the formats of the programs that users come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest

BOX = 16
Writer = Callable[..., Path]


def write_mrc_stack(path: Path, images: np.ndarray, pixel_size: float = 2.0) -> Path:
    """Write with mrcfile, the outside oracle of the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(images)
        mrc.set_image_stack()
        mrc.voxel_size = pixel_size
    return path


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(6, BOX, BOX)).astype(np.float32)


@pytest.fixture
def stack_writer() -> Writer:
    return write_mrc_stack


RELION_31 = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
_rlnImageDimensionality #8
opticsGroup1       1   300.000000     2.700000     0.100000     2.000000           16       2
opticsGroup2       2   200.000000     2.000000     0.070000     2.000000           16       2


# version 30001

data_particles

loop_
_rlnCoordinateX #1
_rlnImageName #2
_rlnMicrographName #3
_rlnOpticsGroup #4
_rlnDefocusU #5
_rlnDefocusV #6
_rlnDefocusAngle #7
_rlnAngleRot #8
_rlnAngleTilt #9
_rlnAnglePsi #10
_rlnOriginXAngst #11
_rlnOriginYAngst #12
  101.500000 000001@{stack} "my mic 1.mrc"  1 12345.678900 12000.0 45.00 10.0 20.0 30.0 1.50 -2.50
  102.500000 000002@{stack} mic2.mrc  1 12345.678900 12000.0  45.00 -10.0 20.0 30.0 0.50 -2.50
  103.500000 000004@{stack} mic2.mrc  2 12345.678900 12000.0  90.00 10.0 120.0 30.0 1.50 0
  104.500000 000003@{stack} mic2.mrc  2 11111.000000 10000.000000   0   10.0   20.0   -30.0  1.50 7
  105.500000 6@{stack} mic2.mrc  1 1e4 1e4   0   1  2   3  4 5.25

"""


@pytest.fixture
def relion(tmp_path: Path, images: np.ndarray) -> Path:
    """A RELION 3.1 project: names count from its root, the STAR lies in a job folder."""
    write_mrc_stack(tmp_path / "project" / "Extract" / "job007" / "a.mrcs", images)
    star = tmp_path / "project" / "Refine3D" / "job012" / "run_data.star"
    star.parent.mkdir(parents=True)
    star.write_text(RELION_31.format(stack="Extract/job007/a.mrcs"))
    return star


def cs_table(count: int, blob: str = "J3/extract/a.mrc") -> np.ndarray:
    """What a refinement job of cryoSPARC writes for `count` particles of a stack."""
    rng = np.random.default_rng(0)
    table = np.zeros(
        count,
        dtype=[
            ("uid", "<u8"),
            ("blob/path", "S32"),
            ("blob/idx", "<u4"),
            ("blob/shape", "<u4", (2,)),
            ("blob/psize_A", "<f4"),
            ("blob/sign", "<f4"),
            ("ctf/accel_kv", "<f4"),
            ("ctf/cs_mm", "<f4"),
            ("ctf/amp_contrast", "<f4"),
            ("ctf/df1_A", "<f4"),
            ("ctf/df2_A", "<f4"),
            ("ctf/df_angle_rad", "<f4"),
            ("ctf/phase_shift_rad", "<f4"),
            ("alignments3D/pose", "<f4", (3,)),
            ("alignments3D/shift", "<f4", (2,)),
            ("alignments3D/psize_A", "<f4"),
        ],
    )
    table["uid"] = rng.permutation(10**6)[:count]
    table["blob/path"] = (">" + blob).encode()
    table["blob/idx"] = rng.permutation(count)
    table["blob/shape"] = BOX
    table["blob/psize_A"] = 2.0
    table["blob/sign"] = 1.0
    table["ctf/accel_kv"], table["ctf/cs_mm"], table["ctf/amp_contrast"] = 300, 2.7, 0.1
    table["ctf/df1_A"], table["ctf/df2_A"] = rng.uniform(1e4, 2e4, (2, count))
    table["ctf/df_angle_rad"] = rng.uniform(0, 3, count)
    table["alignments3D/pose"] = rng.normal(size=(count, 3))
    table["alignments3D/shift"] = rng.normal(size=(count, 2))
    table["alignments3D/psize_A"] = 4.0  # aligned at half the sampling
    return table


def save_cs(path: Path, table: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, table)
    return path


@pytest.fixture
def cs_saver() -> Writer:
    return save_cs


@pytest.fixture
def cs_job(tmp_path: Path, images: np.ndarray) -> Path:
    """A cryoSPARC project with one refinement job."""
    write_mrc_stack(tmp_path / "P1" / "J3" / "extract" / "a.mrc", images)
    return save_cs(tmp_path / "P1" / "J5" / "J5_particles.cs", cs_table(len(images)))
