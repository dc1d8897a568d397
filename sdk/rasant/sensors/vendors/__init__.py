# SPDX-License-Identifier: Apache-2.0
"""Frames of cameras whose maker has a library of its own: one module each, with one function `frame_of`.

The library is opened, set and triggered as its maker shows; `frame_of` turns what it hands out into a `rasant.Frame`
that owns its pixels, for `Inspector.inspect`. None of these modules imports the library. They were written from its
documentation and types, and tested with objects of that shape: never on a camera.
"""

from __future__ import annotations

__all__: list[str] = []
