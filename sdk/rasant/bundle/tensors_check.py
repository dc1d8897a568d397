# SPDX-License-Identifier: Apache-2.0
"""Check a safetensors file before anything uses it. Needs no torch and no safetensors package.

Format: 8 bytes little-endian header size, a JSON header `{name: {dtype, shape, data_offsets: [begin, end]}}` that may
hold `__metadata__` (strings), then the data. Offsets count from the end of the header and must cover the data exactly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from rasant.errors import CheckpointError

__all__ = ["HEADER_BYTES_MAX", "TensorEntry", "TensorsHeader", "check_tensors"]

HEADER_BYTES_MAX = 16 << 20
_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: its safetensors dtype ("F32"), shape, and where its bytes are in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class TensorsHeader:
    """tensors: by name, in file order. metadata: free strings."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]


def check_tensors(data: bytes | memoryview, *, finite: bool = False) -> TensorsHeader:
    """Read and check the header of a safetensors file; with `finite`, also that all its floats are finite.

    Raises CheckpointError for a file that is cut short, a header that is too large, damaged or ambiguous, sizes that do
    not fit their shape, and tensors that overlap, leave gaps or do not reach the end of the file.
    """
    view = memoryview(data).cast("B")
    header, start = _header(view)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise CheckpointError(f"the checkpoint's __metadata__ must map names to strings, got {metadata!r:.100}")
    tensors = {name: _entry(name, value, start) for name, value in header.items()}
    position = start
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            kind = "overlaps the one before it" if entry.begin < position else "leaves a gap before it"
            found, wanted = entry.begin - start, position - start
            raise CheckpointError(f"tensor {name!r:.100} {kind}: it starts at byte {found}, expected {wanted}")
        position = entry.end
    if position != len(view):
        raise CheckpointError(
            f"the checkpoint's tensors need {position - start} bytes of data and the file has {len(view) - start}; "
            "it is cut short or has bytes that belong to no tensor"
        )
    if finite:
        for name, entry in tensors.items():
            _check_finite(name, view[entry.begin : entry.end], entry.dtype)
    return TensorsHeader(MappingProxyType(tensors), MappingProxyType(metadata))


def _header(view: memoryview) -> tuple[dict[str, Any], int]:
    if len(view) < 8:
        raise CheckpointError(f"not a safetensors file: expected at least 8 bytes, got {len(view)}")
    size = int.from_bytes(view[:8], "little")
    if size > HEADER_BYTES_MAX:
        raise CheckpointError(
            f"not a safetensors file, or hostile: its header claims {size} bytes, at most {HEADER_BYTES_MAX} can be"
        )
    if 8 + size > len(view):
        raise CheckpointError(f"cut short or no safetensors: its header needs {size} bytes, has {len(view) - 8}")
    text = bytes(view[8 : 8 + size])
    if not text.startswith(b"{"):
        raise CheckpointError(f"not a safetensors file: its header starts with {text[:8]!r}, expected '{{'")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise CheckpointError("the checkpoint's header is nested too deep") from None
    except ValueError as error:
        raise CheckpointError(f"the checkpoint's header is not valid JSON: {error}") from error
    return header, 8 + size


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def _entry(name: str, value: Any, start: int) -> TensorEntry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"tensor {name!r:.100} must have dtype, shape and data_offsets, got {value!r:.200}")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise CheckpointError(f"tensor {name!r:.100} has dtype {dtype!r:.50}; expected one of {sorted(_SIZES)}")
    if not _naturals(shape) or len(shape) > 16:
        raise CheckpointError(f"tensor {name!r:.100} has shape {shape!r:.200}; expected at most 16 whole numbers >= 0")
    if not _naturals(offsets) or len(offsets) != 2:
        raise CheckpointError(f"tensor {name!r:.100} has data_offsets {offsets!r:.200}; expected [begin, end]")
    begin, end = offsets
    needed = math.prod(shape) * _SIZES[dtype]
    if end - begin != needed:
        raise CheckpointError(f"tensor {name!r:.100} of shape {shape!r:.200} needs {needed} bytes, got {end - begin}")
    return TensorEntry(dtype, tuple(shape), start + begin, start + end)


def _naturals(value: Any) -> bool:
    """True for a list of integers in [0, 2^63)."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)


def _check_finite(name: str, data: memoryview, dtype: str) -> None:
    for begin in range(0, len(data), _CHUNK):
        part = data[begin : begin + _CHUNK]
        if dtype in _FLOATS:
            good = bool(np.isfinite(np.frombuffer(part, _FLOATS[dtype])).all())
        elif dtype == "BF16":  # an exponent of all ones
            good = bool(((np.frombuffer(part, "<u2") & 0x7F80) != 0x7F80).all())
        else:
            return
        if not good:
            raise CheckpointError(f"tensor {name!r:.100} holds NaN or infinity; go back to an earlier checkpoint")
