"""Load what must be loaded before the first window."""

from __future__ import annotations

# The fixture `trained_run` trains in this process, which loads timm and with it triton. triton's
# LLVM after that of Mesa's software OpenGL ends the process; the other way round is fine.
import timm  # noqa: F401
