"""Encoder views follow the published recipe, spelt out in numpy and scipy (algorithm.md §2.3)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom

from napari_cryodeco.imaging.preprocess import VIEW_MEAN, VIEW_STD, encoder_view

MEAN, STD = 0.549995056189533, 0.11784453744259035


def recipe(image: np.ndarray) -> np.ndarray:
    """One view by the words of the specification, in float64."""
    box = len(image)
    if box > 224:
        spectrum = np.fft.fftshift(np.fft.fft2(image))
        start = box // 2 - 112
        cut = spectrum[start : start + 224, start : start + 224].copy()
        cut[0], cut[:, 0] = 0, 0  # the Nyquist row and column have no opposites
        image = np.fft.ifft2(np.fft.ifftshift(cut)).real * (224 / box) ** 2
    elif box < 224:
        image = zoom(image, 224 / box, order=3)
    view = (image - image.min()) / (image.max() - image.min())
    y, x = np.mgrid[:224, :224] - 111.5
    view[np.hypot(x, y) > 94] = 0
    return (view - MEAN) / STD


@pytest.mark.parametrize("box", [64, 100, 224, 300])
def test_views_are_the_recipe(box: int) -> None:
    images = np.random.default_rng(box).normal(3, 20, (2, box, box))
    found = encoder_view(torch.from_numpy(images).float())
    assert found.shape == (2, 1, 224, 224)
    for image, view in zip(images, found, strict=True):
        np.testing.assert_allclose(view[0].numpy(), recipe(image), atol=2e-4)


def test_constants_and_rim() -> None:
    assert (VIEW_MEAN, VIEW_STD) == (MEAN, STD)
    view = encoder_view(torch.rand(1, 128, 128, generator=torch.Generator().manual_seed(0)))[0, 0]
    axis = torch.arange(224) - 111.5
    outside = (axis[:, None] ** 2 + axis**2).sqrt() > 94
    assert view[outside].unique().tolist() == pytest.approx([-4.667], abs=5e-4)
    assert view[~outside].min() >= -4.6672 and view[~outside].max() <= (1 - MEAN) / STD + 1e-5
    assert view[112, 112 + 93] != view[0, 0] and view[112, 112 + 94] == view[0, 0]  # 93.5, 94.5


def test_brightness_and_scale_do_not_matter_but_contrast_does() -> None:
    images = torch.randn(2, 48, 48, generator=torch.Generator().manual_seed(0))
    view = encoder_view(images)
    torch.testing.assert_close(encoder_view(7 * images + 100), view, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(encoder_view(-images), view, atol=0.1)


@pytest.mark.parametrize("box", [64, 224, 300])
def test_all_of_it_runs_on_the_device_of_the_images(box: int) -> None:
    """Mixing in a tensor of another device is an error, and meta is another device than any."""
    assert encoder_view(torch.empty(2, box, box, device="meta")).device.type == "meta"
