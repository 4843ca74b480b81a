"""How decoded maps are filtered before they are shown. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_cryodeco.explore.volumes import VolumeRequest


@dataclass(frozen=True)
class MapFilter:
    """Low-pass in Å (None: none) and B-factor in Å²: ``exp(-B s²/4)``, negative sharpens."""

    low_pass: float | None = None
    b_factor: float = 0.0

    def on(self, request: VolumeRequest) -> VolumeRequest:
        """The same request, filtered."""
        return replace(request, low_pass=self.low_pass, b_factor=self.b_factor)
