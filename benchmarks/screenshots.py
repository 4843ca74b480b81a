"""Pictures of the window for the README, made from a trained run.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/screenshots.py --run demo-run/run

writes ``explorer.png`` (1600×1000), ``reconstruct.png`` and ``evidence.png`` (1280×800) into
``docs/images``; with ``--all`` also every panel at both sizes, to look at. The guided tour has a
script of its own: ``tour.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from studio import Studio, click, lasso, register, spin, wait

from napari_cryodeco.explore.landscape import cluster

SIZES = ((1280, 800), (1600, 1000))


def explore(studio: Studio, run: Path):
    """Open a run, colour it by clusters, lasso one of them."""
    explorer = studio.open_run(run)
    session = explorer.session
    if session.clustering is None:
        session.set_clustering(cluster(session.loaded().latents, 3, epoch=session.epoch))
    explorer.view_bar.colour_chosen.emit("cluster")
    click(explorer.selection_bar.button("lasso"))
    lasso(explorer, 0)
    spin(4.0)
    return explorer


def movie(studio: Studio) -> None:
    """Decode a short path and stop in the middle."""
    panel = studio.open("Movie")
    panel.chooser.frames.setValue(9)
    panel.decode.click()
    wait(lambda: panel.export.write.isEnabled(), 400)
    panel.player.slider.setValue(2)
    spin(1.0)


def evidence(studio: Studio) -> None:
    """Reconstruct from the selected particles."""
    panel = studio.open("Evidence")
    panel.start.click()
    wait(lambda: panel.save.isEnabled())
    spin(1.0)


def reconstruct(studio: Studio, run: Path) -> None:
    """Watch the run as its training left it."""
    panel = studio.open("Reconstruct")
    panel.folder.show_value(run)
    spin(2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--all", type=Path, help="folder for every panel at both sizes")
    args = parser.parse_args()
    run = args.run.resolve()
    register()

    big = Studio(SIZES[1])
    explore(big, run)
    movie(big)
    big.shoot(args.out / "explorer.png")
    big.close()
    small = Studio(SIZES[0])
    explore(small, run)
    reconstruct(small, run)
    small.shoot(args.out / "reconstruct.png")
    small.close()
    small = Studio(SIZES[0])
    explore(small, run)
    evidence(small)
    small.shoot(args.out / "evidence.png")
    small.close()
    for size in SIZES if args.all else ():
        studio = Studio(size)
        explore(studio, run)
        name = f"{size[0]}x{size[1]}.png"
        studio.shoot(args.all / f"explorer-{name}")
        movie(studio)
        studio.shoot(args.all / f"movie-{name}")
        studio.open("Export")
        studio.shoot(args.all / f"export-{name}")
        evidence(studio)
        studio.shoot(args.all / f"evidence-{name}")
        studio.close()


if __name__ == "__main__":
    main()
