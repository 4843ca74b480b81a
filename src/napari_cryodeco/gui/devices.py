"""Which devices can train here, asked in a child process: importing torch stalls the window."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

_QUESTION = """
import json, torch
found = [["auto", "the fastest one found"], ["cpu", f"{torch.get_num_threads()} threads"]]
for i in range(torch.cuda.device_count()):
    card = torch.cuda.get_device_properties(i)
    found.append([f"cuda:{i}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB"])
if torch.backends.mps.is_available():
    found.append(["mps", "Apple GPU"])
import sys; sys.stdout.write(json.dumps(found))
"""
_PATIENCE_S = 120.0  # a cold disk takes long over 5 GB of torch


@dataclass(frozen=True)
class Device:
    """A device by torch's name, and what it is."""

    name: str
    what: str


def list_devices() -> tuple[Device, ...]:
    """Ask torch for the devices of this machine; takes seconds.

    Raises
    ------
    OSError
        If torch does not import, with the last line of why.
    """
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _QUESTION],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"PyTorch did not import within {_PATIENCE_S:.0f} s.") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise OSError(f"PyTorch does not import here: {last}") from None
    return tuple(Device(name, what) for name, what in json.loads(answer.stdout))
