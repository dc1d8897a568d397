# SPDX-License-Identifier: Apache-2.0
"""The GPU architectures that a compiled library holds code for, read from its CUDA fat binaries."""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ["architectures"]

MAGIC = b"\x50\xed\x55\xba"
CONTAINER = struct.Struct("<4sHHQ")  # magic, version, bytes of this header, bytes of all entries
ENTRY = struct.Struct("<HHIQ12xI")  # kind, version, bytes of this header, bytes of the code, ..., architecture
KINDS = {1: ("ptx", "compute_"), 2: ("binary", "sm_")}


def architectures(library: str | Path) -> dict[str, list[str]]:
    """{"binary": ["sm_87", ...], "ptx": ["compute_120"]} of a shared library, ascending; {} where it has no kernels.

    binary runs on its architecture as it is; ptx is compiled by the driver of any later one.
    """
    data = Path(library).read_bytes()
    found: dict[str, set[tuple[int, str]]] = {}
    place = data.find(MAGIC)
    while 0 <= place <= len(data) - CONTAINER.size:
        _, _, header, size = CONTAINER.unpack_from(data, place)
        at, end = place + header, min(place + header + size, len(data) - ENTRY.size)
        while at < end:
            kind, _, entry_header, code, number = ENTRY.unpack_from(data, at)
            if kind not in KINDS or entry_header < ENTRY.size:
                break  # these four bytes were no container
            name, prefix = KINDS[kind]
            found.setdefault(name, set()).add((number, f"{prefix}{number}"))
            at += entry_header + code
        place = data.find(MAGIC, place + len(MAGIC))
    return {kind: [name for _, name in sorted(names)] for kind, names in found.items()}
