"""The decoder of an epoch, wherever it is: in this run, or at the server that a copy is from."""

from __future__ import annotations

from typing import Literal

from napari_cryodeco.explore.connection import Connection
from napari_cryodeco.explore.remote import RemoteDecoder
from napari_cryodeco.explore.volumes import VolumeDecoder
from napari_cryodeco.explore.wire import parse_address
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.mirrored import read_mirrored


def open_decoder(
    epoch: Epoch,
    device: str = "auto",
    precision: Literal["auto", "bf16", "fp32"] = "fp32",
    why: str = "",
) -> VolumeDecoder:
    """Open the decoder of an epoch; `device`, `precision` and `why` are those of `VolumeDecoder`.

    For a copy of a run on another machine they do not count: the server there chooses.

    Raises
    ------
    ValueError, OSError
        When there is none, or the server of a copy does not answer.
    """
    mirrored = read_mirrored(epoch.path.parent.parent) if epoch.is_served else None
    if mirrored is None:
        return VolumeDecoder(epoch.field_path, device, precision, why)
    connection = Connection(parse_address(mirrored.address))
    return RemoteDecoder(connection, epoch.number, mirrored.host)
