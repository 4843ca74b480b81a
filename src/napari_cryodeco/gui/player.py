"""Scrub and play a clip: slider, buttons, and the ribbon of support."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cryodeco.gui.playback import Playhead, Repeat
from napari_cryodeco.gui.support_ribbon import SupportRibbon


class Player(QWidget):
    """Shows no frame itself; it says which one is wanted.

    Attributes
    ----------
    frame_changed
        The frame to show, from 0.
    """

    frame_changed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._head = Playhead()
        self._captions: tuple[str, ...] = ()
        self._supported = np.zeros(0, dtype=bool)
        self._ready = np.zeros(0, dtype=bool)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._advance)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.ribbon = SupportRibbon()
        self.play = QPushButton("▶ Play")
        self.play.setCheckable(True)
        self.repeat = QComboBox()
        self.repeat.addItems([mode.value for mode in Repeat])
        self.fps = QSpinBox()
        self.fps.setRange(1, 60)
        self.fps.setValue(10)
        self.fps.setSuffix(" fps")
        self.caption = QLabel("no frames yet")
        self._lay_out()
        self.slider.valueChanged.connect(self._scrubbed)
        self.ribbon.frame_chosen.connect(self.slider.setValue)
        self.play.toggled.connect(self._toggled)
        self.fps.valueChanged.connect(lambda fps: self._timer.setInterval(round(1000 / fps)))
        self.clear()

    @property
    def frame(self) -> int:
        """The frame wanted now, from 0."""
        return self._head.frame

    @property
    def playing(self) -> bool:
        """Whether it runs."""
        return self._timer.isActive()

    def clear(self) -> None:
        """Hold no clip."""
        self.load((), np.zeros(0, dtype=bool))

    def load(self, captions: tuple[str, ...], supported: np.ndarray) -> None:
        """Hold a new clip: one line and one flag a frame; no frame is decoded yet."""
        self.play.setChecked(False)
        self._captions, self._supported = captions, supported
        self._ready = np.zeros(len(supported), dtype=bool)
        self._head = Playhead()
        self.slider.blockSignals(True)
        self.slider.setRange(0, max(0, len(supported) - 1))
        self.slider.setValue(0)
        self.slider.blockSignals(False)
        self.ribbon.show_frames(self._supported, self._ready)
        self._refresh()

    def set_ready(self, frame: int) -> None:
        """A frame has been decoded."""
        self._ready[frame] = True
        self.ribbon.show_frames(self._supported, self._ready)
        self._refresh()

    def _lay_out(self) -> None:
        for widget, hint in (
            (self.slider, "Scrub through the frames"),
            (self.play, "Play or pause (frames per second and repetition beside)"),
            (self.repeat, "What happens after the last frame"),
            (self.fps, "Frames per second, here and in the exported movie"),
        ):
            widget.setToolTip(hint)
        self.caption.setWordWrap(True)
        buttons = QHBoxLayout()
        self.fps.setMinimumWidth(92)  # the style's buttons would cover the unit
        buttons.addWidget(self.play, 1)
        buttons.addWidget(self.repeat, 1)
        buttons.addWidget(self.fps)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.ribbon)
        column.addWidget(self.slider)
        column.addWidget(self.caption)
        column.addLayout(buttons)

    def _scrubbed(self, frame: int) -> None:
        self._head = Playhead(frame, self._head.step)
        self._refresh()
        if self._ready[frame]:
            self.frame_changed.emit(frame)

    def _toggled(self, play: bool) -> None:
        self.play.setText("⏸ Pause" if play else "▶ Play")
        if play:
            if self.frame == len(self._ready) - 1 and self._repeat is Repeat.ONCE:
                self._head = Playhead(-1)  # from the beginning again
            self._timer.start(round(1000 / self.fps.value()))
        else:
            self._timer.stop()

    @property
    def _repeat(self) -> Repeat:
        return Repeat(self.repeat.currentText())

    def _advance(self) -> None:
        after = self._next_ready()
        if after is None:
            self.play.setChecked(False)
            return
        self._head = after
        self.slider.blockSignals(True)
        self.slider.setValue(after.frame)
        self.slider.blockSignals(False)
        self._refresh()
        self.frame_changed.emit(after.frame)

    def _next_ready(self) -> Playhead | None:
        """The next place whose frame is decoded; None when the clip is over."""
        after = self._head.next(len(self._ready), self._repeat)
        for _ in range(2 * len(self._ready)):
            if after is None or self._ready[after.frame]:
                return after
            after = after.next(len(self._ready), self._repeat)
        return None

    def _refresh(self) -> None:
        count = len(self._ready)
        for widget in (self.slider, self.play):
            widget.setEnabled(bool(self._ready.any()))
        if not count:
            self.caption.setText("no frames yet")
            return
        frame = max(self.frame, 0)
        self.ribbon.set_frame(frame)
        words = [f"frame {frame + 1} of {count}"]
        if self._captions:
            words.append(self._captions[frame])
        if not self._ready[frame]:
            words.append("not decoded yet")
        elif not self._supported[frame]:
            words.append("extrapolated: no particles near")
        self.caption.setText("  ·  ".join(words))
