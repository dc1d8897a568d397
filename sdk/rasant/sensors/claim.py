# SPDX-License-Identifier: Apache-2.0
"""One camera, one program: a lock on a file named after the camera, which the kernel releases with the process.

Drivers answer a second program in their own ways: busy, no device, no power, or two halves of a stream. A claim that is
made before the driver is asked answers the same for all of them.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from pathlib import Path

from rasant.errors import SourceBusy

__all__ = ["Claim"]


class Claim:
    """Held until `release`. Raises SourceBusy, with the process that holds it, where the camera is claimed already."""

    def __init__(self, scheme: str, serial: str) -> None:
        name = re.sub(r"[^A-Za-z0-9.-]", "_", f"rasant-{os.getuid()}-{scheme}-{serial}.lock")
        self._file = os.open(Path(tempfile.gettempdir()) / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode(errors="replace").strip()
            self.release()
            raise SourceBusy(f"{scheme}: camera {serial} is held by process {holder or '?'}; end that one") from None
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        """Let others have it; may be called again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
