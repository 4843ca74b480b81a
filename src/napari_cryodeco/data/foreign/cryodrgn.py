"""Result folders of cryoDRGN and cryoDRGN-AI.

cryoDRGN: ``z.N.pkl`` (epoch N; two pickles in a row, means and log-variances) and ``config.yaml``
with ``dataset_args``; poses from the pickle it names, ``pose.N.pkl`` where the program found or
refined them. cryoDRGN-AI by itself: ``out/conf.N.pkl``, ``out/pose.N.pkl``; in cryoDRGN 4 its files
are named as cryoDRGN's. cryoDRGN writes shifts in units of the box, cryoDRGN-AI in pixels.
Source: ml-struct-bio/cryodrgn (train_vae.py, abinit.py, pose.py, ctf.py, dashboard/data.py),
ml-struct-bio/drgnai (reconstruct.py, dataset.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from napari_cryodeco.data.foreign.array_pickle import read_array_pickle, read_pickled_array
from napari_cryodeco.data.foreign.latents import (
    ForeignLatents,
    ForeignPoses,
    checked_latents,
    reading_pickle,
)

_LATENTS = re.compile(r"(z|conf)(?:\.(\d+))?\.pkl")
_CONFIGS = ("drgnai-configs.yaml", "train-configs.yaml", "config.yaml", "configs.yaml")
_FRACTION = 1.0  # of a box: no particle is shifted by more, and cryoDRGN refuses to read more


def latent_files(folder: Path) -> list[Path]:
    """Files of latents in a result folder, or its ``out``, the newest epoch last."""
    for place in (folder, folder / "out"):
        found = [file for file in place.glob("*.pkl") if _LATENTS.fullmatch(file.name)]
        if found:
            return sorted(found, key=lambda file: (_epoch(file, 10**9), file.name))
    return []


def is_latents(path: Path) -> bool:
    """Whether a file is named as latents of these programs are."""
    return _LATENTS.fullmatch(path.name) is not None


def read_cryodrgn(path: Path) -> ForeignLatents:
    """Read one file of latents and what its folder says.

    Raises
    ------
    FileNotFoundError, ValueError
        With one sentence that names file and cure.
    """
    values = checked_latents(read_pickled_array(path, 2, "table of latents"), path)
    of_ai = path.name.startswith("conf")
    config = _config(path.parent)
    settings = _settings(config) if config else {}
    if settings.get("encode_mode") == "tilt" or settings.get("subtomogram_averaging"):
        raise ValueError(f"{config} is of tilt series: only single-particle images can be opened.")
    base = config.parent if config else path.parent
    subset, subset_file = _subset(settings.get("ind"), base)
    ctf_file = _existing(settings.get("ctf"), base)
    return ForeignLatents(
        program="cryoDRGN-AI" if of_ai else "cryoDRGN",
        values=values,
        file=path,
        home=_home(path.parent) if config else None,
        epoch=_epoch(path, 1),
        particles=_path(settings.get("particles"), base),
        datadir=_existing(settings.get("datadir"), base),
        subset=subset,
        subset_file=subset_file,
        poses=_poses(path, settings, base, of_ai),
        ctf=read_ctf(ctf_file) if ctf_file else None,
        ctf_file=ctf_file,
        others={"config": config} if config else {},
        notes=(reading_pickle(path),),
    )


def read_poses(path: Path, in_pixels: bool = False) -> ForeignPoses:
    """Read a pickle of rotations, or of rotations and shifts.

    Parameters
    ----------
    in_pixels
        Whether shifts are known to be in pixels; else those beyond one box are.

    Raises
    ------
    ValueError
        If it holds no rotation matrices.
    """
    found = read_array_pickle(path)
    rotations, *rest = found if isinstance(found, tuple | list) else (found,)
    shifts = rest[0] if rest else None
    if not isinstance(rotations, np.ndarray) or rotations.shape[1:] != (3, 3):
        raise ValueError(f"{path} holds no rotation matrices (k, 3, 3): give a poses file.")
    if shifts is not None and np.shape(shifts) != (len(rotations), 2):
        raise ValueError(
            f"{path} has {len(rotations)} rotations but shifts of shape {np.shape(shifts)}: give "
            "the poses file as cryoDRGN wrote it."
        )
    product = rotations @ rotations.transpose(0, 2, 1)
    wrong = np.flatnonzero(~(np.abs(product - np.eye(3)).max((1, 2)) < 1e-2))
    if len(wrong):
        raise ValueError(f"{path}, row {int(wrong[0]) + 1}: the matrix is no rotation.")
    beyond = shifts is not None and bool(np.abs(shifts).max() > _FRACTION)
    return ForeignPoses(rotations, shifts, "px" if in_pixels or beyond else "box", path)


def read_ctf(path: Path) -> np.ndarray:
    """Read ``(k, 9)``: box px, Å/px, defocus U and V Å, angle °, kV, mm, amplitude, phase °.

    Raises
    ------
    ValueError
        If it holds another table.
    """
    table = read_pickled_array(path, 2, "CTF table")
    if table.shape[1] != 9:
        raise ValueError(
            f"{path} has {table.shape[1]} columns: cryoDRGN's CTF tables have 9; make it again "
            "with `cryodrgn parse_ctf_star`."
        )
    return table


def read_subset(path: Path) -> np.ndarray:
    """Read row numbers from 0, in the order of the pickle (cryoDRGN's --ind).

    Raises
    ------
    ValueError
        If they are no whole numbers from 0, or name a row twice.
    """
    rows = read_array_pickle(path) if path.suffix == ".pkl" else np.load(path, allow_pickle=False)
    rows = np.asarray(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows) or rows.min() < 0:
        raise ValueError(f"{path} holds no row numbers: give those of the particles, from 0.")
    if len(np.unique(rows)) != len(rows):
        raise ValueError(f"{path} names a row twice: each particle can be there once.")
    return rows.astype(np.int64)


def _epoch(path: Path, none: int) -> int:
    """Epoch in the name of a file of latents; `none` for the file without a number."""
    found = _LATENTS.fullmatch(path.name)
    return int(found[2]) if found and found[2] else none


def _home(folder: Path) -> Path:
    return folder.parent if folder.name == "out" else folder


def _config(folder: Path) -> Path | None:
    places = [folder / name for name in _CONFIGS]
    if folder.name == "out":
        places += [folder.parent / name for name in _CONFIGS]
    return next((place for place in places if place.is_file()), None)


class _PlainLoader(yaml.SafeLoader):
    """Takes tuples and numbers that were written with Python's tags as plain values."""


def _plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _plain)


def _settings(config: Path) -> dict[str, Any]:
    """What the settings say of the data, under cryoDRGN's names."""
    try:
        found = yaml.load(config.read_text(encoding="utf-8"), _PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{config} is no readable YAML ({error}): was it edited?") from None
    if not isinstance(found, dict):
        return {}
    data = found.get("dataset_args") or found.get("training") or found
    model = found.get("model_args") or {}
    settings = dict(data) | {"encode_mode": model.get("encode_mode")}
    return settings | {"poses": data.get("poses") or data.get("pose")}


def _path(value: Any, base: Path) -> Path | None:
    return base / str(value) if value else None


def _existing(value: Any, base: Path) -> Path | None:
    path = _path(value, base)
    return path if path is not None and path.exists() else None


def _subset(value: Any, base: Path) -> tuple[np.ndarray | None, Path | None]:
    if value is None:
        return None, None
    if isinstance(value, int):
        return np.arange(value), None
    path = base / str(value)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} names the particles that were used, and is missing: put it back, or give it "
            "as --ind."
        )
    return read_subset(path), path


def _poses(path: Path, settings: dict[str, Any], base: Path, of_ai: bool) -> ForeignPoses | None:
    """Those found or refined with these latents, else those that were given to the program."""
    own = path.with_name(re.sub("^(z|conf)", "pose", path.name))
    if own.is_file():
        return read_poses(own, in_pixels=of_ai)
    given = _existing(settings.get("poses"), base)
    return read_poses(given) if given else None
