"""RELION 3.1.3 (Debian's package `relion`) reads and reconstructs the subsets that we write.

For each species of a set: its true rows are written by `explore.subset` with a float32 copy of
their images; `relion_star_handler` reads them and counts; `relion_reconstruct` makes a map of them,
which is compared with the true one. RELION's own STAR file is then read back by us. Run with

    python benchmarks/relion_roundtrip.py --data DIR [--sets dev_mix4_d32,dev_mix4_d64]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mrcfile
import numpy as np
import starfile
import torch

from napari_cryodeco.data.read import read_particles
from napari_cryodeco.explore import subset
from napari_cryodeco.imaging import fsc

PROGRAMS = ("relion_star_handler", "relion_reconstruct")
RESULT = Path(__file__).parent / "results" / "relion_roundtrip.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the development sets")
    parser.add_argument("--sets", default="dev_mix4_d32,dev_mix4_d64")
    options = parser.parse_args()
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        sys.exit(f"{', '.join(missing)} not found: apt-get install relion.")
    result = {"relion": relion_version(), "gflops": round(gflops(), 1), "sets": {}}
    for name in options.sets.split(","):
        with tempfile.TemporaryDirectory() as folder:
            start = cpu_seconds()
            result["sets"][name] = measure(options.data / name, Path(folder))
            result["sets"][name]["cpu_seconds"] = round(cpu_seconds() - start, 1)
        print(name, json.dumps(result["sets"][name], indent=1), f"{result['gflops']} GFLOP/s")
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def measure(data: Path, folder: Path) -> dict[str, object]:
    """Write, count and reconstruct the true rows of each species."""
    source = data / "gt" / "particles_gt.star"
    particles = read_particles(source)
    labels = np.load(data / "gt" / "ground_truth.npz")["label"]
    species = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        plain = subset.write(rows, particles, folder / f"plain_{label}.star")
        written = subset.write_with_images(rows, particles, folder / f"class_{label}.star")
        counts = [relion_count(path, folder) for path in (plain.path, written.path)]
        correct = same_rows(source, rows, folder / "read.star")
        volume = reconstruct(written.path, particles.box, particles.pixel_size, folder)
        truth = torch.from_numpy(mrcfile.read(data / "gt" / f"vol_{label:03d}.mrc").copy())
        species.append(
            {
                "rows": len(rows),
                "counted_by_relion": counts,
                "values_unchanged_after_relion": correct,
                "mean_fsc_with_truth": round(fsc.mean(volume, truth), 3),
            }
        )
    return {
        "species": species,
        "half_floats_warned": bool(plain.warnings),
        "relion_31_refuses_half_floats": not relion_reads(plain.path, folder),
    }


def relion_count(star: Path, folder: Path) -> int:
    """Count the particles that RELION found in `star` and wrote to read.star."""
    run("relion_star_handler", "--i", star, "--o", folder / "read.star", folder=folder)
    return len(starfile.read(folder / "read.star")["particles"])


def same_rows(source: Path, rows: np.ndarray, read: Path) -> bool:
    """Whether RELION's copy holds the CTF and poses of these rows of the user's file."""
    before = starfile.read(source)["particles"].iloc[rows].reset_index(drop=True)
    after = starfile.read(read)["particles"]
    numbers = [name for name in before if name.startswith(("rlnDefocus", "rlnAngle", "rlnOrigin"))]
    return bool(np.allclose(before[numbers], after[numbers], atol=1e-5))


def reconstruct(star: Path, box: int, pixel_size: float, folder: Path) -> torch.Tensor:
    """Make a map with relion_reconstruct, to the radius D/2 − 1."""
    limit = box * pixel_size / (box / 2 - 1)
    command = ("--i", star.name, "--o", "map.mrc", "--ctf", "--maxres", f"{limit:.4f}")
    run("relion_reconstruct", *command, folder=folder)
    return torch.from_numpy(mrcfile.read(folder / "map.mrc").copy())


def relion_reads(star: Path, folder: Path) -> bool:
    command = ["relion_reconstruct", "--i", star.name, "--o", "half.mrc", "--ctf"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def run(*command: object, folder: Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def relion_version() -> str:
    text = run("relion_reconstruct", "--version", folder=Path.cwd())
    return next((line.strip() for line in text.splitlines() if "ersion" in line), text.strip())


def cpu_seconds() -> float:
    """User and system seconds of this process and of the programs that it ran."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def gflops() -> float:
    """Speed of a float32 matrix product on one thread."""
    torch.set_num_threads(1)
    matrix = torch.randn(1024, 1024)
    matrix @ matrix
    start = time.process_time()
    for _ in range(10):
        matrix @ matrix
    return 10 * 2 * 1024**3 / (time.process_time() - start) / 1e9


if __name__ == "__main__":
    main()
