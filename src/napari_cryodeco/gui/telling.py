"""What the user's data may forbid, told in one sentence."""

from __future__ import annotations

from collections.abc import Callable


def attempt(act: Callable[[], object], tell: Callable[[str], object]) -> bool:
    """Do something; `tell` gets why it could not be done, or ``""`` once it is done."""
    try:
        act()
    except (ValueError, OSError) as error:
        tell(str(error))
        return False
    tell("")
    return True
