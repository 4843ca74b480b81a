"""One folder with all that a paper, a colleague or another program needs of some groups.

Particles as references to the user's files, maps, half-maps, a figure, a ChimeraX script, what was
done and with which versions, and a checksum of each file.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.atomic import refuse_existing, replacing_folder, write_text
from napari_cryodeco.data.star_export import pose_columns
from napari_cryodeco.explore import chimerax, figure, landscape, subset
from napari_cryodeco.explore.backprojection import FEWEST, back_project
from napari_cryodeco.explore.batch import file_names
from napari_cryodeco.explore.columns import Columns
from napari_cryodeco.explore.decoders import open_decoder
from napari_cryodeco.explore.figure import Group
from napari_cryodeco.explore.health import judge_selection
from napari_cryodeco.explore.mapback import MapBack, map_back, write_mapped
from napari_cryodeco.explore.methods import methods
from napari_cryodeco.explore.parts import kept_parts
from napari_cryodeco.explore.projection import Projection
from napari_cryodeco.explore.render import View, suggest_level
from napari_cryodeco.explore.volumes import Volume, VolumeRequest, common_sigma
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import write_mrc

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BundleOptions:
    """What goes into a bundle.

    Parameters
    ----------
    half_maps
        Whether the particles of each group are put back into half-maps (seconds to minutes each).
    view, axes
        Which view the figure shows: "umap" where one was made, else "pca"; and which of its axes.
    level
        Of the surfaces in ChimeraX, in σ above the mean; None: one that suits the maps.
    camera
        Where ChimeraX looks from; None: at all of it.
    surface
        Colour ``#RRGGBB`` of the surface of a bundle of one group; None: that of the group.
    low_pass, b_factor
        Of the decoded maps, Å and Å².
    onto, datadir, partial, within
        Another file of the same particles whose rows are written, as `mapback` finds them.
    device
        Where maps are made.
    """

    half_maps: bool = False
    view: str = "pca"
    axes: tuple[int, int] = (0, 1)
    level: float | None = None
    camera: View | None = None
    surface: str | None = None
    low_pass: float | None = None
    b_factor: float = 0.0
    onto: Path | None = None
    datadir: Path | None = None
    partial: bool = False
    within: float = 1.0
    device: str = "auto"


@dataclass(frozen=True)
class Bundle:
    """The folder `path` that was written, its number of `files`, and `warnings` for the user."""

    path: Path
    files: int
    warnings: tuple[str, ...]


def write_bundle(
    run: Run,
    groups: Sequence[Group],
    out: Path | str,
    options: BundleOptions | None = None,
    epoch: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Write groups of particles of a run, and all that belongs to them, into the new folder `out`.

    The folder appears when everything in it is written and has been read back.

    Parameters
    ----------
    groups
        At least one, each with at least one particle.
    progress
        Called with (done, in all); raising in it cancels.

    Raises
    ------
    FileExistsError
        When `out` is there and may not be replaced.
    FileNotFoundError, ValueError
        When there is nothing to write, or the particle file has changed.
    """
    out, options = Path(out), options or BundleOptions()
    refuse_existing(out, overwrite)
    run.check_source()
    groups = _checked(run, groups)
    names = file_names(groups)
    work = _Work(run, run.epoch(epoch), options, _mapped(run, options), [])
    tell = progress or (lambda done, of: None)
    steps = 2 + len(groups) * (2 + options.half_maps)
    done = 0
    with replacing_folder(out, overwrite) as part:
        volumes, counts = [], []
        for group, name in zip(groups, names, strict=True):
            volumes.append(work.decode(group, part / "maps" / f"{name}.mrc"))
            counts.append(work.write_particles(group, part / "particles" / name))
            tell(done := done + 1, steps)
            card = judge_selection(Columns(run, work.epoch.number), group.rows, group.name)
            write_json(part / "cards" / f"{name}.json", card.record())
            write_text(part / "cards" / f"{name}.txt", "\n".join(card.sentences) + "\n")
            tell(done := done + 1, steps)
            if options.half_maps:
                work.write_half_maps(group, part / "half_maps", name)
                tell(done := done + 1, steps)
        work.write_script(groups, names, volumes, part / "open.cxc")
        work.write_figure(groups, part)
        work.write_words(groups, dict(zip(names, counts, strict=True)), part)
        tell(done + 1, steps)
        files = _write_checksums(part)
        tell(steps, steps)
    return Bundle(out, files, tuple(dict.fromkeys(work.warnings)))


def _checked(run: Run, groups: Sequence[Group]) -> list[Group]:
    if not groups:
        raise ValueError("A bundle needs at least one group of particles: choose one.")
    n = len(run.particles)
    found = []
    for group in groups:
        rows = np.unique(np.asarray(group.rows, np.int64))
        if not len(rows) or rows[0] < 0 or rows[-1] >= n:
            raise ValueError(
                f"{group.name}: choose at least one particle, of the rows 0 to {n - 1} of "
                f"{run.path}."
            )
        found.append(Group(group.name, rows, group.colour))
    return found


def _mapped(run: Run, options: BundleOptions) -> MapBack | None:
    """Where all particles lie in the other file, sought once for all groups."""
    if options.onto is None:
        return None
    return map_back(run, np.arange(len(run.particles)), options.onto, options.within)


@dataclass(frozen=True)
class _Work:
    run: Run
    epoch: Epoch
    options: BundleOptions
    mapped: MapBack | None
    warnings: list[str]

    def decode(self, group: Group, path: Path) -> Volume:
        """Decode the map at the mean z of a group and write it."""
        z = self.epoch.latents()[group.rows].mean(0)
        decoder = open_decoder(self.epoch, self.options.device)
        request = VolumeRequest(z, None, None, self.options.low_pass, self.options.b_factor)
        volume = decoder.decode(request)
        path.parent.mkdir(exist_ok=True)
        write_mrc(path, volume.data, volume.voxel_size)
        return volume

    def write_particles(self, group: Group, stem: Path) -> int:
        """Write a group as .star and, where the source allows, .cs; of the original, if asked.

        Return the number of particles written.
        """
        stem.parent.mkdir(exist_ok=True)
        options, run, count = self.options, self.run, 0
        if self.mapped is not None:
            mapped = self.mapped.only(group.rows)
            for suffix in suffixes(mapped.original):
                written = write_mapped(
                    mapped, stem.with_suffix(suffix), options.datadir, None, options.partial
                )
                self.warnings.extend(written.warnings)
                count = written.count
            return count
        columns = pose_columns(self.epoch.poses()[torch.from_numpy(group.rows)])
        for suffix in suffixes(run.particles.source):
            values = columns if suffix == ".star" else None
            written = subset.write(group.rows, run.particles, stem.with_suffix(suffix), values)
            self.warnings.extend(written.warnings)
            count = written.count
        return count

    def write_half_maps(self, group: Group, folder: Path, name: str) -> None:
        """Put the particles of a group back into two half-maps and one of both."""
        if len(group.rows) < FEWEST:
            self.warnings.append(
                f"{group.name}: {len(group.rows)} particles are too few for half-maps, which need "
                f"{FEWEST}."
            )
            return
        found = back_project(
            self.run, group.rows, None, self.epoch.number, device=self.options.device
        )
        folder.mkdir(exist_ok=True)
        maps = {"half_map_1": found.halves[0], "half_map_2": found.halves[1], "map": found.whole}
        for kind, volume in maps.items():
            write_mrc(folder / f"{name}_{kind}.mrc", volume.data, volume.voxel_size)
        record = {
            "half_maps": [round(float(value), 5) for value in found.fsc],
            "half_maps_agree_to_A": round(found.resolution, 4),
            "fourier_coverage": round(found.coverage, 3),
            "count": found.count,
        }
        write_json(folder / f"{name}_fsc.json", record)

    def write_script(
        self, groups: Sequence[Group], names: Sequence[str], volumes: Sequence[Volume], path: Path
    ) -> None:
        """Write what opens the maps in ChimeraX, all at one level in σ."""
        sigma = common_sigma(volumes)
        level = suggest_level(volumes, sigma) if self.options.level is None else self.options.level
        shown = [
            chimerax.ShownMap(
                f"maps/{name}.mrc",
                group.name,
                chimerax.level_in_map(volume, level, sigma),
                self.options.surface or group.colour if len(groups) == 1 else group.colour,
            )
            for group, name, volume in zip(groups, names, volumes, strict=True)
        ]
        write_text(path, chimerax.script(shown, self.options.camera, volumes[0]))

    def write_figure(self, groups: Sequence[Group], folder: Path) -> None:
        """Draw the view with the groups; a run without z has none."""
        if self.run.config.rigid:
            return
        drawn = figure.draw(self._projection(), groups, self.options.axes)
        figure.write_png(drawn, folder / "view.png")
        figure.write_svg(drawn, folder / "view.svg")

    def _projection(self) -> Projection:
        if self.options.view == "umap":
            path = self.run.paths.views / f"{self.epoch.number:04d}-umap.safetensors"
            found = landscape.load(path)
            if isinstance(found, Projection):
                return found
        latents, number = self.epoch.latents(), self.epoch.number
        if ":" in self.options.view:
            kept = kept_parts(self.run.paths.views, latents, number)
            if self.options.view in kept:
                return kept[self.options.view]
        return landscape.pca(latents, number)

    def write_words(self, groups: Sequence[Group], counts: dict[str, int], folder: Path) -> None:
        """Write settings, methods and a README with the `counts` of particles by file name."""
        (folder / "settings").mkdir()
        shutil.copyfile(self.run.paths.config, folder / "settings" / "run.yaml")
        clusters = landscape.latest_clustering(self.run.paths.views, self.epoch.number)
        words = methods(self.run, self.epoch.number, clusters, self._maps_sentence())
        write_text(folder / "methods.txt", words)
        write_text(folder / "README.txt", self._readme(groups, counts, folder))

    def _maps_sentence(self) -> str:
        options, said = self.options, "Maps were decoded at the mean z of the particles of a group"
        said += f", low-passed to {options.low_pass:g} Å" if options.low_pass else ""
        said += f", with a B-factor of {options.b_factor:g} Å²" if options.b_factor else ""
        halves = "; half-maps are back-projections of every other particle at the poses of the run"
        return said + (f"{halves}." if options.half_maps else ".")

    def _readme(self, groups: Sequence[Group], counts: dict[str, int], folder: Path) -> str:
        n = len(self.run.particles)
        lines = [
            f"Bundle of {self.run.path.resolve()}, epoch {self.epoch.number}, by napari-cryodeco.",
            f"Particles of the run: {n:,}, from {self.run.particles.source}.",
            f"Rows written are those of {self.options.onto or self.run.particles.source}.",
            "",
        ]
        for group, (name, count) in zip(groups, counts.items(), strict=True):
            share = f"{count / n:.1%}"
            lines.append(f"  {name:<24} {count:9,d} particles ({share})  {group.name}")
        lines += ["", *(text for kind, text in _CONTENTS if any(folder.glob(kind)))]
        return "\n".join([*lines, *("", *dict.fromkeys(self.warnings))]) + "\n"


_CONTENTS = (
    ("particles/*.star", "particles/*.star  their rows as references to your images"),
    ("particles/*.cs", "particles/*.cs    the same for cryoSPARC, all fields and uids unchanged"),
    ("maps/*.mrc", "maps/*.mrc        decoded maps; box and voxel size in Å in their headers"),
    ("half_maps/*.mrc", "half_maps/        maps of the particles themselves and their FSC"),
    ("cards/*.txt", "cards/            what each group is worth: go, careful or no-go, and why"),
    ("view.png", "view.png, .svg    the view of the latents with the groups"),
    ("open.cxc", "open.cxc          shows the maps in ChimeraX, all at one level"),
    ("methods.txt", "methods.txt       what was done, with which versions, what to cite"),
    ("settings/*", "settings/run.yaml all settings"),
    ("methods.txt", "SHA256SUMS        checksum of each file: sha256sum -c SHA256SUMS"),
)


def suffixes(source: Path) -> tuple[str, ...]:
    """Kinds of files that particles of a source are bundled as."""
    return (".star", ".cs") if source.suffix.lower() == ".cs" else (".star",)


def _write_checksums(folder: Path) -> int:
    """List the SHA-256 of each file as ``sha256sum`` does; return how many there are."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}"
        for path in files
    ]
    write_text(folder / "SHA256SUMS", "\n".join(lines) + "\n")
    return len(files) + 1
