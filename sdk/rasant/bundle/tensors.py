# SPDX-License-Identifier: Apache-2.0
"""Arrays to safetensors bytes and back, for golden inputs and outputs.

Plain numpy; never an npz, which may hold pickles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.bundle.tensors_check import check_tensors
from rasant.errors import CheckpointError

__all__ = ["read_tensors", "write_tensors"]

_DTYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
}  # fmt: skip
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}


def read_tensors(data: bytes | memoryview) -> dict[str, npt.NDArray[Any]]:
    """Every tensor of a safetensors file as a read-only view of `data`.

    Raises CheckpointError as `check_tensors` does.
    """
    arrays = {}
    view = memoryview(data).cast("B").toreadonly()
    for name, entry in check_tensors(view).tensors.items():
        if entry.dtype not in _DTYPES:
            raise CheckpointError(f"tensor {name!r:.100} has dtype {entry.dtype}, which numpy does not know")
        arrays[name] = np.frombuffer(view[entry.begin : entry.end], _DTYPES[entry.dtype]).reshape(entry.shape)
    return arrays


def write_tensors(arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file; the same arrays always give the same bytes.

    Raises CheckpointError for a dtype it cannot hold.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    parts: list[bytes] = []
    position = 0
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        dtype = _NAMES.get(array.dtype.newbyteorder("<"))
        if dtype is None:
            raise CheckpointError(f"array {name!r} must be of numbers or bool, got dtype {array.dtype}")
        parts.append(array.astype(_DTYPES[dtype], copy=False).tobytes())
        end = position + len(parts[-1])
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)
