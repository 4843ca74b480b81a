"""Maps of a run on another machine: its decoder computes there, all else is done here.

Hartley coefficients come over the wire, not maps: half the bytes, one sixteenth where a small map
is sampled twice as fine, and a filter that changes asks for nothing.
"""

from __future__ import annotations

import secrets
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_cryodeco.explore import wire
from napari_cryodeco.explore.connection import Connection, ServerRefused
from napari_cryodeco.explore.volumes import Check, VolumeDecoder
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.geometry import Geometry

_MOST_BOX = 4096  # voxels


class RemoteField:
    """Asks a server where a field would compute.

    Parameters
    ----------
    connection
        To the server.
    epoch
        Whose decoder.

    Raises
    ------
    ServerGone, ServerRefused
        When no server answers, or it has no such decoder.
    """

    def __init__(self, connection: Connection, epoch: int) -> None:
        self._connection, self._epoch = connection, epoch
        self._lane = secrets.token_hex(8)
        opened: dict[str, Any] = connection.post(wire.OPEN, {"epoch": epoch})
        try:
            self.geometry = Geometry(**opened["geometry"])
            self.latent_dim, self.where = int(opened["latent_dim"]), str(opened["where"])
            usable = 0 < 2 * self.geometry.radius < self.geometry.box <= _MOST_BOX
        except (KeyError, TypeError, ValueError):
            usable = False
        if not usable:
            raise connection.not_understood()

    def decode_ball(
        self, z: Tensor, ball: Ball, radius: int | None = None, check: Check | None = None
    ) -> Tensor:
        """Coefficients ``(m, count)`` of latents ``(m, d)``; a newer call of a thread cancels."""
        asked = {
            "epoch": self._epoch,
            "points": z.tolist(),
            "radius": radius,
            "lane": f"{self._lane}-{threading.get_ident()}",
        }
        headers, body = self._connection.post_for_bytes(wire.DECODE, asked)
        shape = (len(z), len(ball) if radius is None else ball.count(radius))
        told = headers.get(wire.SHAPE) == f"{shape[0]},{shape[1]}"
        if not told or len(body) != 4 * shape[0] * shape[1]:
            raise ServerRefused("The decode server sent another number of coefficients than asked.")
        self.where = headers.get(wire.WHERE, self.where)
        values = np.frombuffer(body, "<f4").astype(np.float32).reshape(shape)
        return torch.from_numpy(values).to(z.device)


class RemoteDecoder(VolumeDecoder):
    """A `VolumeDecoder` of an epoch on another machine.

    Parameters
    ----------
    connection, epoch
        As of :class:`RemoteField`.
    host
        Name of the machine.
    """

    def __init__(self, connection: Connection, epoch: int, host: str) -> None:
        self._field, self._host = RemoteField(connection, epoch), host
        self._connection = connection
        super().__init__((self._field, self._field.geometry), "cpu")
        self._waiting_s = connection.latency()

    @property
    def where(self) -> str:
        """The machine and its device."""
        return f"{self._host}: {self._field.where}"

    def abandon(self, thread: int) -> None:
        """Break off what a thread decodes; its call raises `ServerGone`."""
        self._connection.abandon(thread)
