"""The explorer's map: what the session wants decoded, decoded and shown in the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_cryodeco.gui.binding import bind
from napari_cryodeco.gui.decoding import Decoded, DecodeThread, open_decoder
from napari_cryodeco.gui.importing import wait_for_layers
from napari_cryodeco.gui.layers import MapView
from napari_cryodeco.gui.map_bar import MapBar
from napari_cryodeco.gui.session import Cursor, Session, Target
from napari_cryodeco.gui.snapshot import Snapshot

if TYPE_CHECKING:
    from napari_cryodeco.explore.volumes import VolumeDecoder


class ExplorerMap(QObject):
    """Binds the map bar and the map layer to what a session aims at.

    Parameters
    ----------
    session
        Of the viewer.
    layer
        Where the map is shown.
    bar
        Its controls; this object does not own them.
    """

    failed = Signal(str)  # one sentence

    def __init__(
        self, session: Session, layer: MapView, bar: MapBar, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self.layer, self._bar = session, layer, bar
        self.decoding = DecodeThread(self)
        bar.target_chosen.connect(lambda t: session.set_target(Target(t)))
        bar.cluster_chosen.connect(lambda i: session.set_target(Target.CLUSTER, cluster=i))
        bar.level_chosen.connect(layer.set_level)
        bar.filter_chosen.connect(session.set_map_filter)
        bar.auto_asked.connect(lambda: bar.show_level(layer.auto_level()))
        self.decoding.decoded.connect(self._show_decoded)
        self.decoding.failed.connect(self.failed)
        bind(
            self,
            (session.opened, self._show_target),
            (session.clustering_changed, self._show_target),
            (session.cursor_changed, self._cursor_moved),
            (session.target_changed, self._target_changed),
        )

    def use(self, snapshot: Snapshot) -> None:
        """Decode with the field of an epoch from now on."""

        def opened() -> VolumeDecoder:
            wait_for_layers()  # the first map makes one
            return open_decoder(snapshot.run, snapshot.epoch)

        self.decoding.use(opened)

    def decode(self, full: bool = True) -> None:
        """Ask for the map of what the session aims at; the coarse one only, unless `full`."""
        wanted = self._session.wanted()
        if wanted is not None:
            self.decoding.request(wanted.z, wanted.caption, full, self._session.map_filter)

    def _cursor_moved(self, cursor: Cursor | None, final: bool) -> None:
        if cursor is not None:
            self.decode(final)

    def _target_changed(self) -> None:
        self._show_target()
        self.decode()

    def _show_target(self) -> None:
        session, clusters = self._session, self._session.clustering
        self._bar.show_filter(session.map_filter)
        self._bar.show_target(
            session.target, session.target_cluster, clusters.titles if clusters else ()
        )

    def _show_decoded(self, decoded: Decoded) -> None:
        self.layer.show(decoded.volume, decoded.full)
        self._bar.show_level(self.layer.level)
        geometry = self._session.loaded().run.geometry
        finest = geometry.resolution(decoded.radius)
        resolution = max(finest, self._session.map_filter.low_pass or 0.0)
        self._bar.show_decoded(decoded, resolution, geometry.radius)
