"""``python -m napari_cryodeco`` is the command line."""

from __future__ import annotations

import sys

from napari_cryodeco.cli import main

if __name__ == "__main__":
    sys.exit(main())
