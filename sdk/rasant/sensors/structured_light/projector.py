# SPDX-License-Identifier: Apache-2.0
"""What throws the patterns: a window on the projector's screen, or a projector that holds them and steps by itself."""

from __future__ import annotations

import os
import re
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, DeviceUnavailable
from rasant.sensors.live import Probe

__all__ = ["Projector", "StoredPatterns", "WindowProjector", "probe"]

ByteImage = npt.NDArray[np.uint8]
_PLACE = re.compile(r"\+(\d{1,5})\+(\d{1,5})")


class Projector(Protocol):
    """Shows pictures. `paced`: whether show() puts a picture up, rather than the projector stepping by itself."""

    paced: bool

    def show(self, index: int, picture: ByteImage) -> None:
        """Put up picture `index` (height, width) uint8; returns when it has been handed to the screen."""

    def close(self) -> None:
        """Give the screen back."""


class StoredPatterns:
    """A projector that holds the exported pictures and steps through them, triggering the camera at each.

    Nothing is sent to it: the camera's frames are the captures, in order, and none may be missing.
    """

    paced = False

    def show(self, index: int, picture: ByteImage) -> None:
        """The projector does it."""

    def close(self) -> None:
        """There is nothing to give back."""


class WindowProjector:
    """A borderless window at `place` of the desktop, such as "+1920+0" for a projector right of a full-HD screen.

    Needs a desktop and Python's tkinter. Pixels are sent as they are: set the projector to its native resolution, and
    keystone correction, sharpening and eco modes off. Raises DeviceUnavailable where there is no desktop.
    """

    paced = True

    def __init__(self, width: int, height: int, place: str = "+0+0") -> None:
        if _PLACE.fullmatch(place) is None:
            raise ConfigError(f'the place of the projector window must read "+X+Y" in desktop pixels, got {place!r}')
        try:
            import tkinter
        except ImportError as error:
            raise DeviceUnavailable("a projector window needs tkinter (Debian: python3-tk)") from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise DeviceUnavailable(f"a projector window needs a desktop: {error}") from error
        self._image: Any = None
        self._tkinter = tkinter
        self._root.overrideredirect(True)
        self._root.geometry(f"{width}x{height}{place}")
        self._root.configure(cursor="none", background="black")
        self._label = tkinter.Label(self._root, borderwidth=0, highlightthickness=0)
        self._label.pack()

    def show(self, index: int, picture: ByteImage) -> None:
        """Put up a picture; returns when the desktop has taken it. When it is seen is a matter of `settle_ms`."""
        height, width = picture.shape
        data = b"P5 %d %d 255\n" % (width, height) + picture.tobytes()
        image = self._tkinter.PhotoImage(master=self._root, data=data, format="PPM")
        self._label.configure(image=image)
        self._image = image  # tkinter shows nothing of an image that nobody holds
        self._root.update()

    def close(self) -> None:
        """Close the window."""
        self._root.destroy()


def probe() -> Probe:
    """What a projector window would need here. A scanner is put together of other devices: none is listed."""
    try:
        import tkinter
    except ImportError:
        return Probe("scanner", "", "python3-tk for a projector window, or projector=stored")
    has_desktop = bool(os.environ.get("DISPLAY"))
    needs = "" if has_desktop else "a desktop for a projector window (DISPLAY is not set), or projector=stored"
    return Probe("scanner", f"tkinter {tkinter.TkVersion}", needs)
