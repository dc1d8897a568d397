# SPDX-License-Identifier: Apache-2.0
"""Which GPU architectures a library holds: read from the container that the CUDA compiler writes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from rasant import _native
from rasant.fatbin import architectures
from rasant.ops.device import device_status


def container(*entries: tuple[int, int, int]) -> bytes:
    """A fat binary of (kind, architecture, bytes of code)."""
    body = b""
    for kind, number, size in entries:
        body += struct.pack("<HHIQ12xI", kind, 0x101, 64, size, number).ljust(64, b"\0") + bytes(size)
    return struct.pack("<4sHHQ", b"\x50\xed\x55\xba", 1, 16, len(body)) + body


def test_architectures_of_several_containers(tmp_path: Path) -> None:
    """Binaries and PTX of all containers, each once, in numerical order."""
    path = tmp_path / "library.so"
    first, second = container((2, 87, 100), (2, 110, 8)), container((2, 87, 3), (1, 110, 64))
    path.write_bytes(b"ELF" * 9 + first + b"between" + second)
    assert architectures(path) == {"binary": ["sm_87", "sm_110"], "ptx": ["compute_110"]}


@pytest.mark.parametrize("tail", [b"", b"\x50\xed\x55\xba", container((2, 75, 10))[:40], container((9, 75, 10))])
def test_damaged_containers_are_no_crash(tmp_path: Path, tail: bytes) -> None:
    """Four magic bytes by chance, a cut container and an unknown kind give nothing."""
    path = tmp_path / "library.so"
    path.write_bytes(b"x" * 100 + tail)
    assert architectures(path) == {}


def test_this_build() -> None:
    """The built module holds kernels exactly when it was linked with the CUDA runtime."""
    assert bool(architectures(_native.__file__ or "")) == (device_status()["runtime"] > 0)
