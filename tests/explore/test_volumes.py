"""Maps from latents: units, boxes, filters, cache and speed, with a molecule that has a formula."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch

from napari_cryodeco.explore import devices, volumes
from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest, common_sigma
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.runs.progress import Progress
from napari_cryodeco.runs.run import Run

WIDTH = 9.0  # Å, sigma of the Gaussian blob
GEOMETRY = Geometry(
    box=32, pixel_size=4.0, radius=15, scale=32 * 2.5, source_box=64, source_pixel_size=2.0
)


class Blob:
    """A Gaussian blob of unit height at z Å along x: its Hartley coefficients have a formula."""

    latent_dim = 1

    def __init__(self) -> None:
        self.evaluated: list[int] = []

    def decode_ball(self, z: torch.Tensor, ball: Ball, radius: float | None = None) -> torch.Tensor:
        count = len(ball) if radius is None else ball.count(radius)
        self.evaluated.append(count)
        k = ball.points[:count].double() / GEOMETRY.length
        height = (2 * math.pi) ** 1.5 * (WIDTH / GEOMETRY.pixel_size) ** 3
        envelope = height * torch.exp(-2 * (math.pi * WIDTH) ** 2 * (k**2).sum(-1))
        phase = 2 * math.pi * z.double() * k[:, 0]
        return (envelope * (phase.cos() + phase.sin()) / GEOMETRY.scale).float()


def true_map(shift: float, box: int) -> np.ndarray:
    axis = (np.arange(box) - box // 2) * GEOMETRY.length / box
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.exp(-((x - shift) ** 2 + y**2 + z**2) / (2 * WIDTH**2))


@pytest.fixture
def blob() -> Blob:
    return Blob()


@pytest.fixture
def decoder(blob: Blob) -> VolumeDecoder:
    return VolumeDecoder((blob, GEOMETRY))


@pytest.mark.parametrize("box", [32, 24, 48, 64])
def test_any_box_samples_the_same_map_in_the_users_units(decoder: VolumeDecoder, box: int) -> None:
    volume = decoder.decode(VolumeRequest(np.array([20.0]), box=box))
    assert volume.voxel_size * box == pytest.approx(GEOMETRY.length)
    assert volume.data.dtype == np.float32 and volume.data.shape == (box,) * 3
    truth = true_map(20.0, box)
    np.testing.assert_allclose(volume.data, truth - truth.mean(), atol=2e-3)


def test_less_radius_is_a_smoother_copy_and_needs_fewer_points(
    blob: Blob, decoder: VolumeDecoder
) -> None:
    coarse = decoder.decode(VolumeRequest(np.array([5.0]), radius=4))
    assert blob.evaluated[-1] == Ball(15, 3).count(4)
    fine = decoder.decode(VolumeRequest(np.array([5.0])))
    ball = Ball(15, 3)
    kept = ball.count(4)
    coarse_h, fine_h = (ball.from_map(torch.from_numpy(v.data)) for v in (coarse, fine))
    torch.testing.assert_close(coarse_h[:kept], fine_h[:kept], atol=1e-2, rtol=1e-4)
    assert coarse_h[kept:].abs().max() < 1e-2


def test_low_pass_keeps_what_is_coarser_and_removes_what_is_finer(decoder: VolumeDecoder) -> None:
    z = np.array([0.0])
    plain = decoder.decode(VolumeRequest(z))
    soft = decoder.decode(VolumeRequest(z, low_pass=GEOMETRY.length / 6))
    ball = Ball(15, 3)
    before, after = (ball.from_map(torch.from_numpy(v.data)) for v in (plain, soft))
    low, high = ball.radii <= 5, ball.radii >= 7
    torch.testing.assert_close(after[low], before[low], atol=1e-2, rtol=1e-4)
    assert after[high].abs().max() < 1e-2 < before[high].abs().max()
    edge = (ball.radii == 6).nonzero()[0]
    assert float(after[edge] / before[edge]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("b_factor", [-150.0, 80.0])
def test_a_b_factor_multiplies_amplitudes_by_its_formula(
    decoder: VolumeDecoder, b_factor: float
) -> None:
    """exp(-B s²/4), s in cycles/Å: negative lifts what is fine, as in RELION."""
    z = np.array([4.0])
    plain = decoder.decode(VolumeRequest(z))
    changed = decoder.decode(VolumeRequest(z, b_factor=b_factor))
    s = np.fft.fftfreq(32, d=4.0)
    squared = s[:, None, None] ** 2 + s[:, None] ** 2 + s**2
    expected = np.fft.fftn(plain.data) * np.exp(-b_factor / 4 * squared)
    np.testing.assert_allclose(
        changed.data, np.fft.ifftn(expected).real, atol=1e-4 * np.abs(plain.data).max()
    )
    assert (changed.sigma > plain.sigma) is (b_factor < 0)


def test_the_same_point_is_decoded_once_and_coarser_asks_are_free(
    blob: Blob, decoder: VolumeDecoder
) -> None:
    z = np.array([7.0])
    first = decoder.decode(VolumeRequest(z))
    second = decoder.decode(VolumeRequest(z.astype(np.float32)))
    decoder.decode(VolumeRequest(z, radius=3))
    decoder.decode(VolumeRequest(z, box=64))
    np.testing.assert_array_equal(first.data, second.data)
    assert len(blob.evaluated) == 1
    decoder.decode(VolumeRequest(np.array([8.0])))
    assert len(blob.evaluated) == 2


def test_old_points_are_forgotten(
    blob: Blob, decoder: VolumeDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = len(Ball(15, 3)) * 4
    monkeypatch.setattr("napari_cryodeco.explore.volumes._CACHE_BYTES", 2 * one)
    for z in (0, 1, 0, 2, 0, 1):  # 0 is used all along; 1 is the oldest when 2 comes
        decoder.decode(VolumeRequest(np.array([float(z)])))
    assert len(blob.evaluated) == 4


def test_maps_decoded_together_are_those_decoded_alone(blob: Blob, decoder: VolumeDecoder) -> None:
    requests = [
        VolumeRequest(np.array([float(z)]), box=box, low_pass=filtered)
        for z, box, filtered in [
            (0, 32, None),
            (3, 24, None),
            (6, 64, 20.0),
            (9, 32, None),
            (1, 32, 9),
        ]
    ]
    together = list(decoder.decode_many(requests))
    assert len(blob.evaluated) == 2  # four in one pass, one in the next
    for request, volume in zip(requests, together, strict=True):
        alone = VolumeDecoder((Blob(), GEOMETRY)).decode(request)
        assert volume.voxel_size == alone.voxel_size
        np.testing.assert_allclose(volume.data, alone.data, atol=1e-6)
    assert list(decoder.decode_many([])) == []


def test_many_threads_get_their_own_answers(decoder: VolumeDecoder) -> None:
    answers: dict[int, np.ndarray] = {}

    def ask(i: int) -> None:
        answers[i] = decoder.decode(VolumeRequest(np.array([float(i % 5)]))).data

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, data in answers.items():
        alone = VolumeDecoder((Blob(), GEOMETRY)).decode(VolumeRequest(np.array([float(i % 5)])))
        np.testing.assert_array_equal(data, alone.data)


def test_preview_grows_with_the_time_allowed(
    decoder: VolumeDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(np.arange(0, 1000.0, 0.5))  # every evaluation seems to take half a second
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    radii = [decoder.preview_radius(budget) for budget in (1e-6, 0.5, 0.7, 1e6)]
    assert radii[0] == 6 and radii[-1] == 15 and radii == sorted(radii)
    # the probe's own points in its own time
    assert Ball(15, 3).count(radii[1]) <= 2200
    request = decoder.preview(np.array([3.0]), 0.5)
    assert request.radius == radii[1] and request.box % 2 == 0 and request.box <= 32
    assert decoder.decode(request).data.shape == (request.box,) * 3


def test_wrong_requests_are_named(decoder: VolumeDecoder) -> None:
    for request, words in [
        (VolumeRequest(np.zeros(3)), "z has 3 numbers, this run's latents 1"),
        (VolumeRequest(np.array([np.nan])), "not finite"),
        (VolumeRequest(np.zeros(1), box=33), "must be even"),
        (VolumeRequest(np.zeros(1), radius=0), "at least 1"),
        (VolumeRequest(np.zeros(1), low_pass=-3.0), "must be positive"),
        (VolumeRequest(np.zeros(1), b_factor=-1e5), "B-factor"),
        (VolumeRequest(np.zeros(1), b_factor=np.nan), "B-factor"),
    ]:
        with pytest.raises(ValueError, match=words):
            decoder.decode(request)


def test_sigma_units(decoder: VolumeDecoder) -> None:
    volumes = list(decoder.decode_many([VolumeRequest(np.array([float(z)])) for z in (0, 30)]))
    own = volumes[0].in_sigma()
    assert own.mean() == pytest.approx(0, abs=1e-4) and own.std() == pytest.approx(1, abs=1e-4)
    sigma = common_sigma(volumes)
    ratio = volumes[0].in_sigma(sigma).max() / volumes[1].in_sigma(sigma).max()
    assert ratio == pytest.approx(volumes[0].data.max() / volumes[1].data.max(), rel=1e-3)


# ---- a GPU that has no memory left; `cpu:0` stands in for it

GPU = torch.device("cpu", 0)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(name: torch.device | str) -> torch.device:
        return GPU if name == "auto" else torch.device(name)

    monkeypatch.setattr(volumes, "device_of", named)


class FullGpu(Blob):
    """Has no memory left on the device that it was first on, from the call `last` on."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last, self.refused = last, 0
        self._first: Ball | None = None

    def decode_ball(self, z: torch.Tensor, ball: Ball, radius: float | None = None) -> torch.Tensor:
        self._first = self._first or ball
        if ball is self._first and len(self.evaluated) >= self.last - 1:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return super().decode_ball(z, ball, radius)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("last", [1, 2])
def test_a_gpu_that_fills_up_gives_way_to_the_cpu_once(last: int) -> None:
    full = FullGpu(last)
    decoder = VolumeDecoder((full, GEOMETRY), "auto")
    assert decoder.device == GPU
    for shift in (1.0, 2.0, 1.0):
        found = decoder.decode(VolumeRequest(np.array([shift])))
        truth = VolumeDecoder((Blob(), GEOMETRY)).decode(VolumeRequest(np.array([shift])))
        np.testing.assert_array_equal(found.data, truth.data)
    assert decoder.device == torch.device("cpu")
    assert decoder.where == "cpu (the GPU has no memory left)"
    assert full.refused == 1  # it was not tried again


@pytest.mark.usefixtures("gpu")
def test_many_threads_leave_a_full_gpu_together() -> None:
    decoder = VolumeDecoder((FullGpu(5), GEOMETRY), "auto")
    found: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        request = VolumeRequest(np.array([float(i)]))
        found[i] = next(iter(decoder.decode_many([request]))).data

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(12))
    assert decoder.device == torch.device("cpu")


@pytest.mark.usefixtures("gpu")
def test_a_device_that_was_named_is_kept_and_other_errors_are_told() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        VolumeDecoder((FullGpu(1), GEOMETRY), GPU).decode(VolumeRequest(np.array([0.0])))

    class Broken(Blob):
        def decode_ball(self, *words: object) -> torch.Tensor:
            raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        VolumeDecoder((Broken(), GEOMETRY), "auto").decode(VolumeRequest(np.array([0.0])))


@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_is_full_when_a_run_is_opened(
    planted_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = planted_run.epoch().field_path
    request = VolumeRequest(np.zeros(4))
    truth = VolumeDecoder(path, "cpu").decode(request)
    at_once = FieldDecoder.to

    def to(self: FieldDecoder, device: torch.device) -> FieldDecoder:
        if device == GPU:
            raise RuntimeError("CUDA error: out of memory")
        return at_once(self, device)

    with monkeypatch.context() as patch:
        patch.setattr(FieldDecoder, "to", to)
        decoder = VolumeDecoder(path, "auto")
        np.testing.assert_array_equal(decoder.decode(request).data, truth.data)
    assert decoder.where == "cpu (the GPU has no memory left)"
    monkeypatch.setattr(volumes, "has_room", lambda device: False)
    assert VolumeDecoder(path, "auto").where == "cpu (the GPU has no memory left)"


def test_free_memory_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    card = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 * 2**30, 80 * 2**30))
    assert devices.has_room(card)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**20, 80 * 2**30))
    assert not devices.has_room(card)
    assert devices.has_room(torch.device("cpu"))


def test_a_training_on_this_machine_keeps_its_gpu(
    planted_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    run = planted_run.path
    assert devices.beside_training(run, "cuda:3") == ("auto", "")
    with Progress(run) as progress:
        for device in ("auto", "cuda:3"):
            chosen = devices.beside_training(run, device)
            assert chosen == ("cpu", "the GPU is training this run")
        assert devices.beside_training(run, "cpu") == ("cpu", "")
        monkeypatch.setattr(devices.socket, "gethostname", lambda: "another")
        assert devices.beside_training(run, "auto") == ("auto", "")
        monkeypatch.undo()
        progress.finish("done")
    assert devices.beside_training(run, "auto") == ("auto", "")
