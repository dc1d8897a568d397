# SPDX-License-Identifier: Apache-2.0
"""From a URI to a stream: live cameras through a pump, files as they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rasant.sensors import Source, open_source
from rasant.stream.process import ProcessSource
from rasant.stream.pump import Pump

__all__ = ["open_stream"]


def open_stream(
    uri: str, *, policy: str = "latest", capacity: int = 4, isolate: bool = False, skip_damaged: bool = False
) -> Source:
    """Open a source by its URI; a live one is read by a `Pump`, so it is opened again when it is lost.

    policy, capacity: of the pump. isolate: open it in a process of its own, which is ended, and with a live source
    started anew, where its driver hangs. Files need no pump: they wait for their reader and lose nothing.
    Raises what `rasant.open_source` raises.
    """
    opens: Callable[[], Source] = partial(open_source, uri, skip_damaged=skip_damaged)
    if isolate:
        opens = partial(ProcessSource, opens)
    first = opens()
    if not first.live:
        return first
    return Pump(opens, first=first, policy=policy, capacity=capacity, skip_damaged=skip_damaged)
