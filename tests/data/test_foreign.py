"""Files of other programs, written here as those programs write them, and files that lie."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from napari_cryodeco.data.foreign.array_pickle import read_array_pickle
from napari_cryodeco.data.foreign.cryodrgn import read_poses, read_subset
from napari_cryodeco.data.foreign.opening import open_latents

RANDOM = np.random.default_rng(0)


def dump(path: Path, *values: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    """Write values as pickles in a row, as cryoDRGN's train_vae.save_checkpoint does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for value in values:
            pickle.dump(value, file, protocol=protocol)
    return path


def latents(count: int = 8, size: int = 3) -> np.ndarray:
    return RANDOM.normal(size=(count, size)).astype(np.float32)


# ---- pickles


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        latents(),
        (np.asfortranarray(RANDOM.normal(size=(3, 4))), np.float64(3.5)),
        {4: np.zeros((2, 0)), "4_noreg": [np.array(["a", "bc"]), np.int32(3), np.array(2.0)]},
        np.arange(5, dtype=">i4"),
        np.array([True, False]),
    ],
    ids=["floats", "tuple", "dict", "big-endian", "booleans"],
)
def test_arrays_come_back_from_every_protocol(value: Any, protocol: int, tmp_path: Path) -> None:
    path = dump(tmp_path / "a.pkl", value, protocol=protocol)
    np.testing.assert_equal(read_array_pickle(path), value)


def test_the_names_of_numpy_before_version_2_are_known(tmp_path: Path) -> None:
    """numpy 1 wrote numpy.core, numpy 2 writes numpy._core: folders of both lie about."""
    raw = pickle.dumps(latents(), protocol=2)
    assert (b"numpy._core" in raw) != (b"numpy.core" in raw)
    other = raw.replace(b"numpy._core", b"numpy.core")
    if other == raw:
        other = raw.replace(b"numpy.core", b"numpy._core")
    (tmp_path / "a.pkl").write_bytes(other)
    np.testing.assert_array_equal(read_array_pickle(tmp_path / "a.pkl"), pickle.loads(raw))


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_that_would_run_something_does_not(
    protocol: int, wrapped: bool, tmp_path: Path
) -> None:
    mark = tmp_path / "was_run"
    value: Any = Evil(mark)
    if wrapped:  # inside an array of objects, which numpy itself would unpickle
        value = np.array([value, None], dtype=object)
    path = dump(tmp_path / "z.1.pkl", value, protocol=protocol)
    with pytest.raises(ValueError, match=r"z\.1\.pkl .*only numpy arrays|z\.1\.pkl is no readable"):
        open_latents(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists()  # it was no empty threat


@pytest.mark.parametrize(
    "raw",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(N(dS'__code__'\nI1\nstb.",  # change a function
        b"cnumpy\nndarray\n(}b.",
        b"cnumpy\nndarray\n.",
        b"\x80\x04\x95\x00",
        b"",
        b"not a pickle",
    ],
)
def test_damaged_and_crafted_pickles_are_refused_in_a_sentence(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.pkl") as caught:
        read_array_pickle(tmp_path / "a.pkl")
    assert "\n" not in str(caught.value).strip()


# ---- cryoDRGN: train_vae.py (save_checkpoint, save_config), pose.py, dashboard/data.py


def cryodrgn_folder(folder: Path, **dataset: Any) -> Path:
    """A result folder of `cryodrgn train_vae`; its config is dumped with Python's tuples."""
    values = {"particles": "/data/particles.star", "ind": None, "ctf": None, "poses": None}
    config = {
        "dataset_args": values | {"norm": (0.0, 1.5), "datadir": None} | dataset,
        "model_args": {"encode_mode": "resid", "zdim": 3},
        "cmd": ["cryodrgn", "train_vae"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.dump(config))
    return folder


def test_the_newest_epoch_of_a_folder_is_taken(tmp_path: Path) -> None:
    folder = cryodrgn_folder(tmp_path / "drgn")
    for epoch in (9, 10):
        dump(folder / f"z.{epoch}.pkl", latents() + epoch, latents())
    found = open_latents(folder)
    assert (found.program, found.epoch, found.values.shape) == ("cryoDRGN", 10, (8, 3))
    assert found.values.dtype == np.float32
    assert found.values.mean() > 9  # the means, not the log-variances behind them
    assert found.particles == Path("/data/particles.star")
    assert any("pickle" in note for note in found.notes)
    assert open_latents(folder, epoch=9).epoch == 9
    with pytest.raises(ValueError, match=r"no latents of epoch 3: it has z\.9\.pkl, z\.10\.pkl"):
        open_latents(folder, epoch=3)


def test_the_last_latents_have_no_number(tmp_path: Path) -> None:
    folder = cryodrgn_folder(tmp_path)
    dump(folder / "z.4.pkl", latents(), latents())
    last = dump(folder / "z.pkl", latents(), latents())
    assert open_latents(folder).file == last


def test_a_subset_is_found_and_kept_in_its_order(tmp_path: Path) -> None:
    ind = dump(tmp_path / "ind.pkl", np.array([5, 2, 7]))
    folder = cryodrgn_folder(tmp_path / "drgn", ind=str(ind))
    dump(folder / "z.1.pkl", latents(3), latents(3))
    found = open_latents(folder)
    assert found.subset is not None
    assert found.subset.tolist() == [5, 2, 7]
    assert found.files["subset"] == ind
    ind.unlink()
    with pytest.raises(FileNotFoundError, match=r"ind\.pkl .*is missing.*--ind"):
        open_latents(folder)


def test_a_subset_names_each_row_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names a row twice"):
        read_subset(dump(tmp_path / "ind.pkl", np.array([1, 1])))
    with pytest.raises(ValueError, match="no row numbers"):
        read_subset(dump(tmp_path / "ind.pkl", np.array([0.5])))


def test_tilt_series_are_refused(tmp_path: Path) -> None:
    dump(tmp_path / "z.1.pkl", latents(), latents())
    (tmp_path / "config.yaml").write_text(
        yaml.dump({"dataset_args": {}, "model_args": {"encode_mode": "tilt"}})
    )
    with pytest.raises(ValueError, match="tilt series"):
        open_latents(tmp_path)


def test_a_config_cannot_run_anything(tmp_path: Path) -> None:
    mark = tmp_path / "was_run"
    dump(tmp_path / "z.1.pkl", latents(), latents())
    config = f"dataset_args:\n  particles: !!python/object/apply:os.system ['touch {mark}']\n"
    (tmp_path / "config.yaml").write_text(config)
    open_latents(tmp_path)
    assert not mark.exists()


def test_shifts_beyond_a_box_are_pixels(tmp_path: Path) -> None:
    """cryoDRGN's PoseTracker.load refuses fractions over 1; its abinit of version 4 writes px."""
    rotations = np.tile(np.eye(3), (4, 1, 1))
    small = dump(tmp_path / "a.pkl", (rotations, np.full((4, 2), 0.03)))
    large = dump(tmp_path / "b.pkl", (rotations, np.full((4, 2), -3.5)))
    assert read_poses(small).unit == "box"
    assert read_poses(large).unit == "px"
    assert read_poses(dump(tmp_path / "c.pkl", rotations)).shifts is None
    with pytest.raises(ValueError, match="row 2: the matrix is no rotation"):
        read_poses(dump(tmp_path / "d.pkl", rotations * np.array([1, 2, 1, 1])[:, None, None]))
    with pytest.raises(ValueError, match="no rotation matrices"):
        read_poses(dump(tmp_path / "e.pkl", latents()))


# ---- cryoDRGN-AI: reconstruct.py (save_latents, load_configs)


def test_cryodrgn_ai_keeps_all_in_out_and_shifts_in_pixels(tmp_path: Path) -> None:
    out = tmp_path / "job" / "out"
    dump(out / "conf.30.pkl", latents())
    poses = (np.tile(np.eye(3), (8, 1, 1)), np.full((8, 2), 0.25))
    dump(out / "pose.30.pkl", poses)
    training = {"particles": "/data/p.star", "ctf": None, "pose": None, "ind": None}
    (out / "drgnai-configs.yaml").write_text(yaml.dump({"training": training}))
    found = open_latents(tmp_path / "job")
    assert (found.program, found.epoch) == ("cryoDRGN-AI", 30)
    assert found.particles == Path("/data/p.star")
    assert found.poses is not None
    assert found.poses.unit == "px"  # though small
    assert found.home == tmp_path / "job"


# ---- RECOVAR: output/output.py (_save_embeddings_per_zdim, reorder_to_original_indexing…)


def recovar_folder(folder: Path, used: np.ndarray, zdims: tuple[int, ...] = (2, 4)) -> Path:
    """A result folder of `recovar pipeline`: NaN where a particle was left out."""
    for zdim in zdims:
        values = np.full((used.max() + 1, zdim), np.nan)
        values[used] = RANDOM.normal(size=(len(used), zdim))
        place = folder / "model" / f"zdim_{zdim}"
        place.mkdir(parents=True)
        np.save(place / "latent_coords.npy", values)
    return folder


def test_recovar_asks_which_z_and_leaves_out_what_it_left_out(tmp_path: Path) -> None:
    used = np.array([0, 2, 3, 5])
    folder = recovar_folder(tmp_path / "rec", used)
    with pytest.raises(ValueError, match=r"z of 2, 4 numbers: choose one with --z-dim"):
        open_latents(folder)
    with pytest.raises(ValueError, match=r"no z of 3 numbers: it has 2, 4"):
        open_latents(folder, z_dim=3)
    found = open_latents(folder, z_dim=4)
    assert (found.program, found.values.shape) == ("RECOVAR", (4, 4))
    assert found.subset is not None
    assert found.subset.tolist() == used.tolist()
    for place in ("model/zdim_4", "model/zdim_4/latent_coords.npy"):
        np.testing.assert_array_equal(open_latents(folder / place).values, found.values)
    halves = [np.array([3, 0]), np.array([5, 2])]
    dump(folder / "model" / "particles_halfsets.pkl", halves)
    again = open_latents(folder, z_dim=4)
    assert again.subset is not None
    assert again.subset.tolist() == used.tolist()
    dump(folder / "model" / "particles_halfsets.pkl", [np.array([3, 0]), np.array([5, 1])])
    with pytest.raises(ValueError, match="not of one job"):
        open_latents(folder, z_dim=4)


@pytest.mark.parametrize("name", ["zs", "latent_coords"])
def test_older_recovar_kept_all_in_a_pickle(name: str, tmp_path: Path) -> None:
    tables = {2: latents(6, 2), 4: latents(6, 4), "4_noreg": latents(6, 4)}
    dump(tmp_path / "model" / "embeddings.pkl", {name: tables, "contrasts": {4: np.ones(6)}})
    found = open_latents(tmp_path, z_dim=4)
    np.testing.assert_array_equal(found.values, tables[4])
    assert found.subset is None


# ---- cryoSPARC: columns as public scripts read them


def saved(path: Path, columns: dict[str, np.ndarray]) -> Path:
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in columns.items()]
    table = np.zeros(len(next(iter(columns.values()))), kinds)
    for name, values in columns.items():
        table[name] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, table)
    return path


def test_components_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    columns = {f"components_mode_{k}/value": np.full(4, k, np.float32) for k in (10, 2, 0, 1)}
    columns |= {"uid": np.arange(4, dtype=np.uint64)}
    found = open_latents(saved(tmp_path / "J9" / "particles.cs", columns))
    assert found.values.tolist() == [[0, 1, 2, 10]] * 4
    assert open_latents(tmp_path / "J9").values.shape == (4, 4)


def test_classes_are_latents_and_posteriors(tmp_path: Path) -> None:
    posterior = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    new = saved(tmp_path / "new.cs", {"alignments3D_multi/class_posterior": posterior})
    columns = {f"alignments_class3D_{k}/class_posterior": posterior[:, k] for k in range(2)}
    for path in (new, saved(tmp_path / "old.cs", columns)):
        found = open_latents(path)
        np.testing.assert_array_equal(found.values, posterior)
        np.testing.assert_array_equal(found.posteriors, posterior)
    with pytest.raises(ValueError, match="no components and no classes"):
        open_latents(saved(tmp_path / "none.cs", {"uid": np.arange(2)}))


# ---- arrays, and what is none


def test_an_array_is_a_row_a_particle(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", latents(5, 2))
    assert open_latents(tmp_path / "z.npy").values.shape == (5, 2)
    np.save(tmp_path / "one.npy", np.arange(5))
    assert open_latents(tmp_path / "one.npy").values.shape == (5, 1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 3, 4)), r"a table of numbers with a row for each particle"),
        (np.zeros((4, 513)), r"513 numbers a particle: give at most 512"),
        (np.array([[0.0], [np.nan]]), r"row 2: a latent is no finite number"),
        (np.array(["a", "b"]), r"a table of numbers"),
    ],
)
def test_what_is_no_table_of_latents_is_refused(
    values: np.ndarray, said: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "z.npy", values)
    with pytest.raises(ValueError, match=said):
        open_latents(tmp_path / "z.npy")


def test_unknown_places_say_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no latents that are known here: give a result"):
        open_latents(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        open_latents(tmp_path / "nowhere")
    np.save(tmp_path / "z.npy", np.array([Evil(tmp_path / "mark")], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"no readable \.npy"):
        open_latents(tmp_path / "z.npy")
    assert not (tmp_path / "mark").exists()
