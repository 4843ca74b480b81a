"""Pickles of numpy arrays, as cryoDRGN and RECOVAR write them, read without running anything.

A pickle is a program: the names in it are looked up and called. The few names that numpy arrays
are written with are answered here by stand-ins of our own, which can build arrays of numbers and do
nothing else; every other name is refused before it is looked up. So nothing of the file's choosing
is imported, called or changed.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_BROKEN = (
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    ImportError,
    MemoryError,
    RecursionError,
    OverflowError,
)


class _Refused(Exception):
    """A name that numpy arrays do not need."""


class _Call:
    """A function that a pickle may call and cannot change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it would change a function")


class _Type:
    """Stands for a numpy dtype: named first, then its byte order is set."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, *_: Any) -> None:
        self.dtype = np.dtype(str(code))
        if self.dtype.kind not in "biufcSU":
            raise pickle.UnpicklingError("it holds arrays of something else than numbers and text")

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for a numpy array: made empty, then shape, type and bytes are set."""

    __slots__ = ("values",)

    def __init__(self, *_: Any) -> None:
        self.values = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        shape, kind, by_columns, raw = state[-4:]
        self.fill(raw, kind, shape, "F" if by_columns else "C")

    def fill(self, raw: Any, kind: _Type, shape: Any, order: str) -> _Array:
        """Take bytes as numbers; their count must be that of the shape."""
        data = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)  # str: of Python 2
        if len(data) != math.prod(shape) * kind.dtype.itemsize:
            raise pickle.UnpicklingError("an array has not as many bytes as its shape says")
        flat = np.frombuffer(data, kind.dtype).copy()  # bytes cannot be written to
        self.values = flat.reshape(shape, order="F" if order == "F" else "C")
        return self


def _number(kind: _Type, raw: Any) -> Any:
    return _Array().fill(raw, kind, (), "C").values[()]


def _from_buffer(raw: Any, kind: _Type, shape: Any, order: str) -> _Array:
    return _Array().fill(raw, kind, shape, order)


_ANSWERS: dict[tuple[str, str], _Call] = {
    ("numpy", "ndarray"): _Call(_Array),
    ("numpy", "dtype"): _Call(_Type),
    ("_codecs", "encode"): _Call(lambda text, _: text.encode("latin1")),
    ("__builtin__", "bytes"): _Call(lambda: b""),  # of an empty array, by old protocols
}
for _core in ("numpy.core", "numpy._core"):  # before numpy 2, and since
    _ANSWERS[f"{_core}.multiarray", "_reconstruct"] = _Call(_Array)
    _ANSWERS[f"{_core}.multiarray", "scalar"] = _Call(_number)
    _ANSWERS[f"{_core}.numeric", "_frombuffer"] = _Call(_from_buffer)


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Answer the names of arrays; refuse all others."""
        answer = _ANSWERS.get((module, name))
        if answer is None:
            raise _Refused(f"{module}.{name}")
        return answer


def read_array_pickle(path: Path) -> Any:
    """Read the first value of a pickle: an array, or tuples, lists and dicts of arrays and numbers.

    Raises
    ------
    FileNotFoundError
        If it is missing.
    ValueError
        If it holds anything else, with the name that was refused, or is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: check the path of this pickle.")
    try:
        with path.open("rb") as file:
            return _unwrapped(_ArrayUnpickler(file, encoding="latin1").load())
    except _Refused as error:
        raise ValueError(
            f"{path} is a pickle that asks for {error}: only numpy arrays are taken from pickles, "
            "because any other could run a program; save the array with numpy.save and give that."
        ) from None
    except _BROKEN as error:
        raise ValueError(
            f"{path} is no readable pickle of numpy arrays ({error}): save the array with "
            "numpy.save and give that."
        ) from None


def _unwrapped(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, tuple | list):
        return type(value)(_unwrapped(one) for one in value)
    if isinstance(value, dict):
        return {key: _unwrapped(one) for key, one in value.items()}
    if isinstance(value, _Call | _Type):
        raise pickle.UnpicklingError("it holds no array")
    return value


def read_pickled_array(path: Path, dimensions: int, what: str) -> np.ndarray:
    """Read a pickle that must hold one array of so many dimensions.

    Raises
    ------
    ValueError
        If it holds something else than `what`.
    """
    found = read_array_pickle(path)
    if not isinstance(found, np.ndarray) or found.ndim != dimensions or found.dtype.kind in "SU":
        shape = found.shape if isinstance(found, np.ndarray) else type(found).__name__
        raise ValueError(f"{path} holds no {what} (found {shape}): choose another file.")
    return found
