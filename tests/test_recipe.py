"""Every step of docs/empiar.md on simulated files laid out like a deposited set.

The layout: many stacks under a RELION project's own folders, a STAR file of RELION 3.0 somewhere
else, pixel size by detector and magnification, origins in pixels, dark protein.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest
import starfile

from napari_cryodeco.cli import main
from napari_cryodeco.runs.run import Run

if TYPE_CHECKING:
    from tests.conftest import ParticleSet

PER_STACK = 23


@pytest.fixture
def deposited(particle_set: ParticleSet, tmp_path: Path) -> Path:
    """``entry/`` as downloaded; returns its STAR file."""
    entry = tmp_path / "entry"
    folder = entry / "Extract" / "job012" / "Movies"
    folder.mkdir(parents=True)
    images = mrcfile.read(particle_set.stack)
    blocks = starfile.read(particle_set.star_with_poses)
    table, optics = blocks["particles"], blocks["optics"].iloc[0]
    names = []
    for number, start in enumerate(range(0, len(images), PER_STACK)):
        part = images[start : start + PER_STACK]
        mrcfile.write(folder / f"mic_{number:04d}.mrcs", -part, voxel_size=particle_set.pixel_size)
        stack = f"Extract/job012/Movies/mic_{number:04d}.mrcs"
        names += [f"{i + 1:06d}@{stack}" for i in range(len(part))]
    for axis in "XY":
        table[f"rlnOrigin{axis}"] = table.pop(f"rlnOrigin{axis}Angst") / particle_set.pixel_size
    table = table.drop(columns="rlnOpticsGroup").assign(
        rlnImageName=names,
        rlnMicrographName=[name.split("@")[1] for name in names],
        rlnMagnification=10_000.0,
        rlnDetectorPixelSize=particle_set.pixel_size,  # µm · 10⁴ / magnification = Å
        rlnVoltage=optics["rlnVoltage"],
        rlnSphericalAberration=optics["rlnSphericalAberration"],
        rlnAmplitudeContrast=optics["rlnAmplitudeContrast"],
    )
    star = tmp_path / "downloads" / "consensus_data.star"
    star.parent.mkdir()
    starfile.write(table, star)
    return star


def test_the_recipe_leads_to_a_map(
    deposited: Path, particle_set: ParticleSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry, whole, first = tmp_path / "entry", tmp_path / "all", tmp_path / "first"
    known = ["--poses", "file", "--contrast", "dark", "--datadir", str(entry)]

    # what is wrong is said before anything is computed
    assert main(["new", str(deposited), str(whole), "--poses", "file"]) == 1
    assert "mic_0000.mrcs" in capsys.readouterr().err
    assert not whole.exists()

    # 3. a subset to begin with, as rows of the deposited file
    assert main(["new", str(deposited), str(whole), *known]) == 0
    rows = tmp_path / "rows.txt"
    rows.write_text("\n".join(map(str, range(0, 60, 2))) + "\n")
    subset = tmp_path / "first.star"
    assert main(["select", str(whole), "--rows", str(rows), "-o", str(subset)]) == 0
    original, chosen = starfile.read(deposited), starfile.read(subset)
    assert len(chosen) == 30
    assert chosen["rlnDefocusU"].tolist() == original["rlnDefocusU"][::2].tolist()

    # 4. downsample: the working box; 5. run
    small = ["--box", "16", "--seed", "1"]
    for setting in ("refine.epochs=2", "refine.warmup=50", "field.width=32"):
        small += ["--set", setting]
    assert main(["new", str(subset), str(first), *known, *small]) == 0
    assert main(["train", str(first)]) == 0
    run = Run.open(first)
    assert run.status().state == "done"
    assert run.geometry.box == 16
    assert run.geometry.pixel_size == pytest.approx(particle_set.pixel_size * 20 / 16)
    assert len(run.particles) == 30

    # dark protein gives a light map at the right scale
    assert main(["decode", str(first), "--row", "0", "-o", str(tmp_path / "map.mrc")]) == 0
    with mrcfile.open(tmp_path / "map.mrc") as mrc:
        assert float(mrc.voxel_size.x) == pytest.approx(run.geometry.pixel_size, rel=1e-4)
        centre = np.abs(np.indices(mrc.data.shape) - 8).max(0) <= 2
        assert mrc.data[centre].mean() > mrc.data[~centre].mean()
