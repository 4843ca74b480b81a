"""Follow a run from the window: once a second read what its process has written."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal

from napari_cryodeco.runs.progress import RunFollower, Status

INTERVAL_MS = 1000

STATES = {
    "queued": "not started yet",
    "running": "running",
    "done": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "lost": "no sign of life",
}
RESUME = {
    "queued": "; press Resume to train",
    "stopped": "; press Resume to go on",
    "lost": "; press Resume to go on",
}


class RunWatcher(QObject):
    """Polls one run at a time; files are the only link, so it may start before, during or after.

    Attributes
    ----------
    updated
        ``runs.progress.Update`` with what is new since the last one.
    failed
        One sentence, when the run can no longer be read; watching then ends.
    """

    updated = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._follower: RunFollower | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self.poll)

    def watch(self, path: Path) -> None:
        """Begin to follow a run, from its first record on."""
        self._follower = RunFollower(path)
        self._timer.start()
        self.poll()

    def stop(self) -> None:
        """Follow nothing."""
        self._timer.stop()
        self._follower = None

    def poll(self) -> None:
        """Read what is new now."""
        if self._follower is None:
            return
        try:
            update = self._follower.poll()
        except (OSError, ValueError) as error:
            self.stop()
            self.failed.emit(str(error))
            return
        self.updated.emit(update)


def headline(status: Status, host: str = "") -> str:
    """One line: what the run does now, e.g. ``refine 3 of 20: running, about 4 min left``.

    `host` is the machine that trains the run of a copy: there is nothing to resume here.
    """
    words = STATES.get(status.state, status.state)
    words += f" on {host}" if host else RESUME.get(status.state, "")
    if status.state == "queued":
        return f"{status.message}…" if status.message else words
    if status.state == "failed" and status.error:
        return status.error
    place = ""
    if status.stage and status.state != "done":
        place = f"{status.stage} {min(status.unit + 1, status.units)} of {status.units}: "
    left = ""
    if status.state == "running" and status.eta_s is not None:
        left = f", {remaining(status.eta_s)} left"
    return f"{place}{words}{left}"


def remaining(seconds: float) -> str:
    """A duration as people say it: ``about 4 min``."""
    if seconds < 45:
        return "less than a minute"
    if seconds < 90 * 60:
        return f"about {max(1, round(seconds / 60))} min"
    if seconds < 48 * 3600:
        return f"about {round(seconds / 3600)} h"
    return f"about {round(seconds / 86400)} days"
