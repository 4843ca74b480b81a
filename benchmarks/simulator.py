"""Images a second of the training simulator, at the sides that the encoders see.

    python benchmarks/simulator.py --sides 32 224 --device auto

The goal is 5,000 images a second at 224 px on a GPU, and as many as two cores can make on a CPU.
Rows are added to ``results/simulator.json``; a warm-up episode is not counted.
"""

from __future__ import annotations

import argparse
import time

import torch
from measuring import RESULTS, Stopwatch, Table, machine, provenance

from napari_cryodeco.data.episodes import EpisodeSettings, EpisodeSimulator
from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.train.device import choose_device
from napari_cryodeco.train.episodic import make_bank

KEYS = ("side", "device", "threads", "points", "species", "views")
MODELS = {32: "small", 224: "vit-s"}


def wait(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(side: int, species: int, synthetic: int, seconds: float, device: torch.device):
    """Images a second of episodes of `species` × 8 views."""
    model = MODELS.get(side, "small")
    bank = make_bank(PretrainConfig.model_validate({"model": model, "synthetic": synthetic}))
    settings = EpisodeSettings(species=min(species, len(bank)), side=side)
    simulator = EpisodeSimulator(bank, settings, device)
    draws = torch.Generator().manual_seed(0)
    simulator.draw(draws)
    wait(device)
    watch, begun, images = Stopwatch(), time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        images += len(simulator.draw(draws).images)
        wait(device)
    spent = watch.read()
    elapsed = time.perf_counter() - begun
    return {
        "side": side,
        "points": bank.points.shape[1],
        "structures": len(bank),
        "species": settings.species,
        "views": settings.views,
        "images": images,
        "images_per_second": round(images / elapsed, 1),
        "images_per_cpu_second": round(images / max(spent["cpu_seconds"], 0.1), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", nargs="+", type=int, default=[32, 224])
    parser.add_argument("--species", type=int, default=32, help="in an episode; 8 images of each")
    parser.add_argument("--synthetic", type=int, default=200, help="procedural structures")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each side")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    device = choose_device(asked.device)
    table = Table(RESULTS / "simulator.json", KEYS)
    for side in asked.sides:
        row = measure(side, asked.species, asked.synthetic, asked.seconds, device)
        print(
            f"{side} px: {row['images_per_second']:,.0f} images/s, "
            f"{row['images_per_cpu_second']:,.0f} per CPU-s ({device})",
            flush=True,
        )
        table.put(row | machine() | provenance())


if __name__ == "__main__":
    main()
