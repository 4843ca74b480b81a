"""What the stages cost against the number of particles, and a million particles of 128 px.

    python benchmarks/scaling.py --data DIR --cache CACHE             # N = 1k, 3k, 10k, 30k, 64 px
    python benchmarks/scaling.py --data DIR --cache CACHE --million   # 1,000,000 × 128²
    python benchmarks/scaling.py --draw

Each stage runs in a process of its own (`scaling_parts.py`), one thread. The curve takes random
particles of `holdout16` (6,250 simulated images of each of 16 species). Of the million, a STAR file
with all rows is real; its stack of 66 GB is sparse (noise in 1,000 images, zeros elsewhere), and of
the working copy of 26 GB the first images are written and the rest is a hole. A row that is there
already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import IMAGES, RESULTS, Table, machine, provenance
from prior_sets import folder

from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.mrc import write_header
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.runs.run import Run
from napari_cryodeco.stage_config import AbinitioConfig, DataConfig, RefineConfig

BEGUN, BATCHES = "first batches of refine", 10
KEYS = ("study", "particles", "part")
COUNTS = (1000, 3000, 10_000, 30_000)
STAGES = (("known", "prepare"), ("known", "subspace"), ("known", BEGUN), ("known", "refine"))
SORTING = (("abinitio", "features"), ("abinitio", "abinit"), ("abinitio", "joint"))
WARMUP = 100  # steps; the field's start costs the same for any N
COLUMNS = (
    *("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnImagePixelSize"),
    *("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnAngleRot", "rlnAngleTilt"),
    *("rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", "rlnMicrographName", "rlnImageName"),
)
MILLION, BOX = 1_000_000, 128


def child(part: str, run: Path, option: object = "") -> dict[str, Any]:
    """Measure a part in a process of its own."""
    words = [sys.executable, str(Path(__file__).with_name("scaling_parts.py")), part, str(run)]
    threads = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*words, str(option)], stdout=subprocess.PIPE, env=threads, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def put(table: Table, study: str, count: int, part: str, found: dict[str, Any]) -> None:
    """Keep and print a row."""
    row = {"study": study, "particles": count, "part": part} | found
    table.put(row | provenance())
    print(
        f"{study:8s} {count:9,d} {part:10s} {found['cpu_s']:8.1f} CPU-s   RssAnon "
        f"{found['RssAnon_MB']:5d} MB (before {found['RssAnon_before_MB']})   RssFile "
        f"{found['RssFile_MB']:5d} MB",
        flush=True,
    )


def made(cache: Path, star: Path, kind: str, count: int) -> Path:
    """The run of `count` random particles; both kinds share one working copy."""
    path = cache / "scaling" / f"{kind}_{count}"
    if path.is_dir():
        return path
    everything = read_particles(star)
    rows = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))[:count]
    config = TrainConfig(
        data=DataConfig(source=star),
        poses="file" if kind == "known" else "abinitio",
        refine_poses=kind == "known",
        abinitio=AbinitioConfig(classes=4, restarts=1),
        refine=RefineConfig(epochs=1, warmup=WARMUP),
        device="cpu",
    )
    run = Run.create(path, everything[rows.sort().values], config)
    if kind != "known":
        other = Run.open(cache / "scaling" / f"known_{count}").paths
        run.paths.stages.mkdir()
        for here, there in (
            (run.paths.images, other.images),
            (run.paths.images.with_suffix(".json"), other.images.with_suffix(".json")),
            (run.paths.geometry, other.geometry),
            (run.paths.stage("prepare"), other.stage("prepare")),
        ):
            os.link(there, here)
    return path


def curve(asked: argparse.Namespace, table: Table) -> None:
    """Every stage for every number of particles."""
    star = folder("holdout16", 0, 0.1, asked.data, asked.cache, 6250) / "gt" / "particles_gt.star"
    for count in asked.counts:
        for kind, part in (*STAGES, *(SORTING if asked.search else SORTING[:1])):
            if asked.parts and part not in asked.parts:
                continue
            if table.find(study="curve", particles=count, part=part) is None:
                run = made(asked.cache, star, kind, count)
                what = ("begun", run, BATCHES) if part == BEGUN else ("stage", run, part)
                put(table, "curve", count, part, child(*what))


def sparse_set(out: Path) -> Path:
    """A STAR file of a million rows and its sparse stack."""
    star, stack = out / "particles.star", out / "particles.mrcs"
    if star.is_file():
        return star
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    with stack.open("wb") as file:
        write_header(file, MILLION, BOX, 1.5)
        for row in torch.linspace(0, MILLION - 1, 1000).long().tolist():  # those that are measured
            file.seek(1024 + 4 * BOX**2 * row)
            file.write(random.standard_normal((BOX, BOX)).astype("<f4").tobytes())
        file.truncate(1024 + 4 * BOX**2 * MILLION)
    with star.open("w") as text:
        text.write("data_particles\n\nloop_\n")
        text.writelines(f"_{name} #{place}\n" for place, name in enumerate(COLUMNS, 1))
        for row, v in enumerate(random.uniform(0, 1, (MILLION, 6))):
            text.write(
                f"300 2.7 0.1 1.5 {1e4 * (1 + v[0]):.1f} {1e4 * (1 + v[0]):.1f} {180 * v[1]:.2f} "
                f"{360 * v[2]:.3f} {180 * v[3]:.3f} {360 * v[4]:.3f} {v[5]:.3f} {v[1]:.3f} "
                f"mic{row // 200:05d}.mrc {row + 1:06d}@particles.mrcs\n"
            )
    return star


def million(asked: argparse.Namespace, table: Table) -> None:
    """A million particles, part by part."""
    out = asked.cache / "scaling" / "million"
    free = shutil.disk_usage(asked.cache).free
    if free < (need := 2e9):
        raise SystemExit(f"{free / 1e9:.1f} GB are free, {need / 1e9:.0f} are needed.")
    star, run = sparse_set(out), out / "run"
    parts = {
        "opening": star,
        "prepare": asked.copied,
        "classical": "",
        "features": 2000,
        "refine": 5,
        "evidence": 10_000,
        "explorer": "",
    }
    for part, option in parts.items():
        if asked.parts and part not in asked.parts:
            continue
        if table.find(study="million", particles=MILLION, part=part) is None:
            put(table, "million", MILLION, part, child(part, run, option))
    for path in (run / "images.npy", out / "particles.mrcs"):
        if not path.is_file():
            continue
        size = path.stat()
        print(f"{path.name}: {size.st_size / 1e9:.1f} GB, {size.st_blocks * 512 / 1e9:.2f} on disk")


def draw(table: Table) -> None:
    """Cost and memory against the number of particles."""
    from prior_figures import LINES, figure, save, tidy

    rows = [row for row in table.rows() if row["study"] == "curve"]
    drawn = figure(7.2, 2.9)
    cost, held = drawn.subplots(1, 2)
    parts = list(dict.fromkeys(row["part"] for row in rows))
    parts.sort(key=lambda part: part == BEGUN)
    for part, colour in zip(parts, (*LINES, "#000000"), strict=False):
        some = sorted((row for row in rows if row["part"] == part), key=lambda r: r["particles"])
        x = [row["particles"] for row in some]
        cpu = [row["cpu_s"] for row in some]
        if part != BEGUN:
            cost.plot(x, cpu, "o-", color=colour, ms=3, lw=1, label=part)
        held.plot(
            x, [row["RssAnon_MB"] for row in some], "o-", color=colour, ms=3, lw=1, label=part
        )
    cost.plot(COUNTS, [1e-2 * n for n in COUNTS], ":", color="#9a9a9a", lw=1, label="10 ms each")
    cost.set(xscale="log", yscale="log")
    held.set(xscale="log", ylim=(0, None))
    tidy(cost, "CPU-seconds, 64 px", "particles").legend(fontsize=6, frameon=False)
    tidy(held, "peak memory of its own (RssAnon), MB", "particles").legend(
        fontsize=6, frameon=False
    )
    save(drawn, IMAGES / "scaling.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the shared data folder")
    parser.add_argument("--cache", type=Path, help="where sets and runs are kept")
    parser.add_argument("--counts", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--parts", nargs="+", help="only these")
    parser.add_argument("--search", action="store_true", help="ab initio's search stages too")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--copied", type=int, default=40_000, help="images really copied of these")
    parser.add_argument("--draw", action="store_true", help="draw the figure again, no more")
    asked = parser.parse_args()
    table = Table(RESULTS / "scaling.json", KEYS)
    if not asked.draw:
        if asked.data is None or asked.cache is None:
            raise SystemExit("--data and --cache are needed.")
        print(machine())
        (million if asked.million else curve)(asked, table)
    draw(table)


if __name__ == "__main__":
    main()
