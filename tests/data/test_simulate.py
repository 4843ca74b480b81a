"""Laws of the simulator: slices of the map, the SNR asked for, files that read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import torch

from napari_cryodeco.data.ground_truth import Recipe, Truth
from napari_cryodeco.data.molecule import Molecule, bead_names, load_beads, swing
from napari_cryodeco.data.projection import project, to_images, true_map
from napari_cryodeco.data.simulate import clean_images, draw_truth, simulate
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.so3 import euler_to_matrix, random_rotations

RECIPE = Recipe(box=32, pixel_size=8.0, count=150, snr=0.5, seed=5)


@pytest.fixture(scope="module")
def molecules() -> list[Molecule]:
    return [load_beads("3wip"), load_beads("1ruz")]


@pytest.fixture(scope="module")
def written(molecules: list[Molecule], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "set"
    assert simulate(molecules, RECIPE, folder) == folder / "particles.star"
    return folder


def test_beads_are_whole_centred_molecules() -> None:
    assert len(bead_names()) >= 5
    for name in bead_names():
        molecule = load_beads(name)
        centre = (molecule.positions * molecule.electrons[:, None]).mean(0)
        assert np.abs(centre).max() < 1e-2
        assert 80 < molecule.diameter < 350
        assert "CC0" in molecule.source


@pytest.mark.parametrize("name", bead_names())
def test_symmetry_leaves_the_map_as_it_is(name: str) -> None:
    molecule = load_beads(name)
    beads = torch.from_numpy(molecule.positions), torch.from_numpy(molecule.electrons)
    views = torch.from_numpy(molecule.symmetry)
    base, *others = project(*beads, views, 32, 12.0, 10.0)
    for other in others:
        assert float((other - base).abs().pow(2).sum() / base.abs().pow(2).sum()) < 0.01
    closed = torch.cdist((views[:, None] @ views).reshape(-1, 9), views.reshape(-1, 9))
    assert float(closed.min(1).values.max()) < 1e-2


def test_an_unknown_structure_is_answered_with_those_there_are() -> None:
    with pytest.raises(FileNotFoundError, match=r"No bead model '9zzz': use one of .*1wcm"):
        load_beads("9zzz")


def test_beads_of_your_own_are_read_by_path(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    xyz, w = rng.normal(0, 30, (50, 3)), rng.uniform(5, 50, 50)
    np.savez(tmp_path / "mine.npz", xyz=xyz, w=w)
    mine = load_beads(tmp_path / "mine.npz")
    np.testing.assert_allclose(mine.positions, xyz - np.average(xyz, 0, w), atol=1e-4)
    np.savez(tmp_path / "other.npz", positions=xyz)
    with pytest.raises(ValueError, match="needs the arrays 'xyz'"):
        load_beads(tmp_path / "other.npz")


def test_one_bead_is_a_gaussian_where_its_rotation_puts_it() -> None:
    """Outside oracle: the analytic Gaussian."""
    box, pixel, blur = 32, 4.0, 8.0
    point, turn = (
        torch.tensor([[17.0, -9.0, 30.0]]),
        euler_to_matrix(torch.tensor([[0.3, 1.1, -0.7]])),
    )
    (image,) = to_images(project(point, torch.tensor([10.0]), turn, box, pixel, blur), box)
    x, y = (turn[0] @ point[0])[:2]
    axis = (torch.arange(box) - box // 2) * pixel
    squared = (axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2
    expected = 10 * pixel**2 / (2 * torch.pi * blur**2) * torch.exp(-squared / (2 * blur**2))
    torch.testing.assert_close(image, expected, atol=2e-3 * float(expected.max()), rtol=0)


def test_projections_are_central_slices_of_the_true_map(molecules: list[Molecule]) -> None:
    """Axis-aligned views need no interpolation: they agree to rounding (slice theorem)."""
    box = 32
    molecule = molecules[1]
    beads = torch.from_numpy(molecule.positions), torch.from_numpy(molecule.electrons)
    volume = true_map(*beads, box, 8.0, 4.0)
    turns = euler_to_matrix(
        torch.pi / 2 * torch.tensor([[0, 0, 0], [1, 1, 0], [2, 1, 3], [0, 1, 1.0]])
    )
    images = to_images(project(*beads, turns, box, 8.0, 4.0), box)
    disc, ball = Ball(box // 2 - 1, 2), Ball(box // 2 - 1, 3)
    table = {tuple(k): i for i, k in enumerate(ball.points.tolist())}
    coefficients = ball.from_map(volume)
    for turn, image in zip(turns, images, strict=True):
        flat = torch.nn.functional.pad(disc.points, (0, 1)).float()
        where = [table[tuple(k)] for k in (flat @ turn).round().long().tolist()]
        seen = disc.from_map(image)
        error = (seen - coefficients[where]).norm() / seen.norm()
        assert error < 1e-3


def test_total_mass_is_kept(molecules: list[Molecule]) -> None:
    molecule = molecules[0]
    beads = torch.from_numpy(molecule.positions), torch.from_numpy(molecule.electrons)
    assert float(true_map(*beads, 32, 8.0, 4.0).sum()) == pytest.approx(
        molecule.electrons.sum(), rel=1e-4
    )


def test_signal_and_noise_are_as_asked(written: Path) -> None:
    images = mrcfile.read(written / "particles.mrcs")
    truth = np.load(written / "gt" / "ground_truth.npz")
    for label in (0, 1):
        assert images[truth["label"] == label].var() == pytest.approx(1 + RECIPE.snr, rel=0.02)
    np.testing.assert_allclose(truth["signal_var"], RECIPE.snr, rtol=1e-3)


def test_states_of_one_molecule_share_one_noise_level(tmp_path: Path) -> None:
    states, angles = swing(load_beads("1wcm"), 3)
    recipe = replace(RECIPE, count=10, pooled=True)
    simulate(states, recipe, tmp_path / "hinge", latent=angles)
    truth = np.load(tmp_path / "hinge" / "gt" / "ground_truth.npz")
    assert len(set(truth["noise_sigma_raw"].tolist())) == 1
    assert truth["signal_var"].mean() == pytest.approx(recipe.snr, rel=1e-3)
    np.testing.assert_allclose(truth["latent"], angles[truth["label"]], rtol=1e-6)


def test_a_hinge_moves_its_part_rigidly_and_nothing_else() -> None:
    molecule = load_beads("1wcm")
    assert molecule.hinge is not None
    (first, last), angles = swing(molecule, 2)
    moving = molecule.hinge.moving
    np.testing.assert_array_equal(first.positions[~moving], molecule.positions[~moving])
    assert np.abs(first.positions[moving] - last.positions[moving]).max() > 30

    def lengths(xyz: np.ndarray) -> np.ndarray:
        part = xyz[moving][::50]
        return np.linalg.norm(part[:, None] - part[None], axis=-1)

    np.testing.assert_allclose(lengths(first.positions), lengths(molecule.positions), atol=1e-3)
    assert angles.tolist() == list(molecule.hinge.angles)
    with pytest.raises(ValueError, match="3wip has no moving part; these have one: 1wcm"):
        swing(load_beads("3wip"), 2)


def test_star_files_read_back(written: Path, molecules: list[Molecule]) -> None:
    """Outside oracle: starfile."""
    blocks = starfile.read(written / "gt" / "particles_gt.star")
    rows, optics = blocks["particles"], blocks["optics"]
    truth = np.load(written / "gt" / "ground_truth.npz")
    n = RECIPE.count * len(molecules)
    assert len(rows) == n and (np.bincount(truth["label"]) == RECIPE.count).all()
    assert optics["rlnImagePixelSize"].item() == RECIPE.pixel_size
    assert rows["rlnImageName"].tolist() == [f"{i + 1:06d}@particles.mrcs" for i in range(n)]
    eulers = rows[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()
    np.testing.assert_allclose(
        euler_to_matrix(torch.from_numpy(np.deg2rad(eulers))), truth["rotation"], atol=1e-5
    )
    plain = starfile.read(written / "particles.star")["particles"]
    assert not [name for name in plain if "Angle" in name and "Defocus" not in name]
    np.testing.assert_array_equal(plain["rlnDefocusU"], rows["rlnDefocusU"])
    for number in range(2):
        with mrcfile.open(written / "gt" / f"vol_{number:03d}.mrc") as mrc:
            assert float(mrc.voxel_size.x) == pytest.approx(RECIPE.pixel_size)


def test_the_same_seed_gives_the_same_files(molecules: list[Molecule], tmp_path: Path) -> None:
    small = replace(RECIPE, count=5)
    simulate(molecules, small, tmp_path / "a")
    simulate(molecules, small, tmp_path / "b")
    simulate(molecules, replace(small, seed=6), tmp_path / "c")
    a, b, c = (mrcfile.read(tmp_path / name / "particles.mrcs") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    star = [(tmp_path / name / "particles.star").read_text() for name in "ab"]
    assert star[0] == star[1]


def test_half_precision_is_mrc_mode_12(
    molecules: list[Molecule], written: Path, tmp_path: Path
) -> None:
    simulate(molecules, replace(RECIPE, half=True), tmp_path / "half")
    with mrcfile.open(tmp_path / "half" / "particles.mrcs") as mrc:
        assert int(mrc.header.mode) == 12
        whole = mrcfile.read(written / "particles.mrcs")
        np.testing.assert_allclose(mrc.data.astype(np.float32), whole, rtol=1e-3, atol=6e-3)


def test_nothing_is_overwritten_or_left_half_made(
    molecules: list[Molecule], tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(FileExistsError, match="set exists already"):
        simulate(molecules, RECIPE, tmp_path / "set")
    broken = replace(molecules[0], electrons=molecules[0].electrons[:-1])
    with pytest.raises(RuntimeError):
        simulate([broken], RECIPE, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("wrong", [{"box": 31}, {"count": 0}, {"snr": 0.0}, {"pixel_size": -1.0}])
def test_a_recipe_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        replace(RECIPE, **wrong)


def back_projection(images: torch.Tensor, truth: Truth, recipe: Recipe) -> torch.Tensor:
    """Coefficients of a map: nearest-point insertion, CTF-weighted average."""
    disc, ball = Ball(recipe.box // 2 - 1, 2), Ball(recipe.box // 2 - 1, 3)
    side = 2 * ball.radius + 1
    ctf = truth.ctf.at(disc.frequencies(recipe.box, recipe.pixel_size))
    shifts = -torch.from_numpy(truth.displacements).float() / recipe.box
    h = disc.shift(disc.from_map(images), shifts)
    flat = torch.nn.functional.pad(disc.points, (0, 1)).float()
    place = (flat @ truth.rotations()).round().long() + ball.radius
    index = (
        ((place[..., 2] * side + place[..., 1]) * side + place[..., 0])
        .clamp(0, side**3 - 1)
        .flatten()
    )
    top = torch.zeros(side**3).index_add_(0, index, (ctf * h).flatten())
    bottom = torch.zeros(side**3).index_add_(0, index, (ctf**2).flatten())
    inside = ball.points + ball.radius
    return (top / (bottom + 1))[(inside[:, 2] * side + inside[:, 1]) * side + inside[:, 0]]


def wrong_conventions(truth: Truth) -> dict[str, Truth]:
    eulers, ctf = truth.eulers, truth.ctf
    flip = {"tilt sign": [1, -1, 1], "psi sign": [1, 1, -1], "rot sign": [-1, 1, 1]}
    turned = {name: replace(truth, eulers=eulers * sign) for name, sign in flip.items()}
    transposed = -eulers[:, ::-1].copy()  # R(ψ, θ, φ)ᵀ = R(−φ, −θ, −ψ) with the roles exchanged
    no_ctf = Ctf(
        **{**vars(ctf), "amplitude": torch.ones(len(ctf)), "cs": 0 * ctf.cs}
        | dict.fromkeys(("defocus_u", "defocus_v"), 0 * ctf.defocus_u)
    )
    return turned | {
        "rotation transposed": replace(truth, eulers=transposed),
        "origin sign": replace(truth, displacements=-truth.displacements),
        "x and y swapped": replace(truth, displacements=truth.displacements[:, ::-1].copy()),
        "origins ignored": replace(truth, displacements=0 * truth.displacements),
        "CTF ignored": replace(truth, ctf=no_ctf),
    }


def test_every_wrong_convention_spoils_a_back_projection(molecules: list[Molecule]) -> None:
    """Negative controls: a sign error anywhere lowers the correlation with the true map."""
    recipe = replace(RECIPE, count=300)
    molecule = molecules[1]
    truth = draw_truth(1, recipe, np.random.default_rng(3))
    images = clean_images(molecule, truth, np.arange(recipe.count), recipe)
    beads = torch.from_numpy(molecule.positions), torch.from_numpy(molecule.electrons)
    expected = Ball(recipe.box // 2 - 1, 3).from_map(true_map(*beads, recipe.box, 8.0, recipe.blur))

    def quality(assumed: Truth) -> float:
        found = back_projection(images, assumed, recipe)
        return float(torch.nn.functional.cosine_similarity(found, expected, dim=0))

    right = quality(truth)
    assert right > 0.85
    for name, wrong in wrong_conventions(truth).items():
        assert quality(wrong) < right - 0.1, name
    mirrored = back_projection(images.flip(1).roll(1, 1), truth, recipe)
    assert float(torch.nn.functional.cosine_similarity(mirrored, expected, dim=0)) < right - 0.1


def test_random_views_are_seen_as_rotations_of_the_beads(molecules: list[Molecule]) -> None:
    """Rotating the beads first or the view later is the same."""
    molecule = molecules[0]
    turn = random_rotations(1, torch.Generator().manual_seed(1))
    positions, electrons = (
        torch.from_numpy(molecule.positions),
        torch.from_numpy(molecule.electrons),
    )
    one = project(positions, electrons, turn, 32, 8.0, 4.0)
    other = project(positions @ turn[0].T, electrons, torch.eye(3)[None], 32, 8.0, 4.0)
    torch.testing.assert_close(one, other, atol=1e-2, rtol=1e-3)
