"""Of work off the GUI thread only the newest counts, whether it returns or fails."""

from __future__ import annotations

import threading

from napari_cryodeco.gui.latest import Latest


def test_neither_answers_nor_errors_of_what_is_no_longer_wanted_are_told(qtbot):
    latest, told, gate = Latest(), [], threading.Event()
    latest.returned.connect(told.append)
    latest.failed.connect(told.append)

    def late(error):
        def work(report):
            gate.wait(10)
            if error:
                raise ValueError("too late")
            return "too late"

        return work

    for error in (True, False):
        gate.clear()
        latest.ask(late(error))
        latest.forget()
        gate.set()
        qtbot.waitUntil(lambda: not latest.busy)
        gate.clear()
        latest.ask(late(error))
        latest.ask(lambda report: "newest")
        gate.set()
        qtbot.waitUntil(lambda: bool(told))
        qtbot.wait(50)
        assert told == ["newest"]
        told.clear()

    def fails(report):
        raise OSError("no\nroom")

    latest.ask(fails)
    qtbot.waitUntil(lambda: told == ["no room"])
