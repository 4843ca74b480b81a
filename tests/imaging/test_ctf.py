"""The CTF against torch-ctf and RELION's sign."""

from __future__ import annotations

import torch
from torch_ctf import calculate_ctf_2d

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.ctf import Ctf


def one(defocus_u=15000.0, defocus_v=14000.0, angle=0.4, amplitude=0.1, phase=0.0) -> Ctf:
    column = [
        torch.tensor([v]) for v in (defocus_u, defocus_v, angle, 300.0, 2.7, amplitude, phase)
    ]
    return Ctf(*column)


def test_sign_is_relions():
    assert torch.allclose(one(amplitude=0.1).at(torch.zeros(1, 2)), torch.tensor([[0.1]]))
    low = one().at(torch.tensor([[0.02, 0.0]]))
    assert low > 0.1  # underfocus: white protein stays white at low resolution


def test_equal_to_torch_ctf():
    box, pixel = 64, 3.0
    whole = calculate_ctf_2d(
        defocus=1.45,
        astigmatism=0.05,
        astigmatism_angle=torch.rad2deg(torch.tensor(0.4)),
        voltage=300,
        amplitude_contrast=0.1,
        spherical_aberration=2.7,
        phase_shift=0,
        pixel_size=pixel,
        image_shape=(box, box),
        rfft=False,
        fftshift=True,
    )
    ball = Ball(30, 2)
    ours = one().at(ball.frequencies(box, pixel))[0]
    theirs = ball.from_grid(whole.reshape(box, box))
    assert (ours - theirs * torch.sign((ours * theirs).sum())).abs().max() < 0.02


def test_the_ctf_is_even_in_frequency():
    ball = Ball(10, 2)
    values = one().at(ball.frequencies(32, 4.0))[0]
    assert torch.allclose(values, values[ball.mirror], atol=1e-6)
