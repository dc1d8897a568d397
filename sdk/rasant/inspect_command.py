# SPDX-License-Identifier: Apache-2.0
"""`rasant inspect BUNDLE SOURCE`: a line for every frame, whatever the frame is like."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rasant.errors import (
    ConfigError,
    EndOfStream,
    FrameError,
    SourceDisconnected,
    SourceError,
    SourceTimeout,
    WrongDevice,
)
from rasant.types import Drops, Frame, Inspection, Reason, Verdict

if TYPE_CHECKING:
    from rasant.inspector import Inspector, Status
    from rasant.resolution import Resolution
    from rasant.sensors import Source

__all__ = ["inspect"]

LIVE_TIMEOUT_S = 2.0  # a live camera that is silent for so long is a line of its own
STYLES = {Verdict.PASS: "green", Verdict.REJECT: "bold red", Verdict.UNKNOWN: "yellow"}


def inspect(
    bundle: Annotated[Path, typer.Argument(help="The bundle (.rasant).")],
    source: Annotated[str, typer.Argument(help="A source URI, e.g. folder:captures; default: the station's.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    fail_on_reject: Annotated[
        bool, typer.Option("--fail-on-reject", help="Exit code 1 unless every frame is PASS; UNKNOWN is a reject.")
    ] = False,
    frames: Annotated[int | None, typer.Option("--frames", min=1, help="Stop after so many frames.")] = None,
    station: Annotated[
        Path | None, typer.Option("--station", help="TOML or JSON file with this station's limits, region and mask.")
    ] = None,
    stand_in: Annotated[
        Path | None, typer.Option("--stand-in", help="A bundle of one modality; decides while the other is missing.")
    ] = None,
    overlay: Annotated[Path | None, typer.Option("--overlay", help="Write a picture of every verdict here.")] = None,
    engine: Annotated[str, typer.Option("--engine", help="The inference engine; see rasant doctor.")] = "auto",
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:N, ...; by default the engine's own.")] = "",
    threads: Annotated[int, typer.Option("--threads", min=0, max=256, help="0: as the engine's runtime likes.")] = 0,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.001, help="Seconds to wait for a frame; of a live camera 2.")
    ] = None,
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Read the source in a process that is ended where its driver hangs.")
    ] = False,
) -> None:
    """Inspect every frame of a source with a bundle: PASS, REJECT or UNKNOWN with its reason.

    A damaged frame is a line with UNKNOWN and E_FRAME; the next frame is inspected all the same. Of a live camera the
    newest frame is taken; where none comes in time the line is UNKNOWN with E_TIMEOUT, E_DISCONNECTED or E_SERIAL, and
    the camera is opened again.

    Example: rasant inspect bracket.rasant folder:captures --json --fail-on-reject
    """
    from rasant.opening import load
    from rasant.stream import open_stream

    uri = source or _station_source(station)
    log = _Log(as_json)
    if overlay is not None:
        overlay.mkdir(parents=True, exist_ok=True)
    with (
        load(bundle, engine, device=device or None, station=station, stand_in=stand_in, threads=threads) as inspector,
        open_stream(uri, policy="latest", isolate=isolate) as opened,
    ):
        timeout = LIVE_TIMEOUT_S if opened.live and timeout is None else timeout
        begin = time.perf_counter()
        for frame, inspection in _inspections(inspector, opened, frames, timeout):
            log.line(inspection)
            if log.resolution is None and frame is not None:
                log.resolution = inspector.resolution(frame)
            if overlay is not None and frame is not None:
                _draw(overlay, frame, inspection)
        log.summary(time.perf_counter() - begin, inspector.status, opened.stats())
        if opened.note:
            typer.echo(f"rasant: {uri}: {opened.note}", err=True)
    if not log.verdicts:
        raise SourceError(f"{uri} gave no frame; there is nothing to decide")
    if fail_on_reject and set(log.verdicts) != {Verdict.PASS}:
        raise typer.Exit(1)


def _station_source(station: Path | None) -> str:
    if station is not None:
        from rasant.station import read_station

        stated = read_station(station).source
        if stated is not None:
            return stated
    raise ConfigError("no source is given; pass one, e.g. folder:captures, or set `source` in the station file")


def _inspections(
    inspector: Inspector, source: Source, limit: int | None, timeout_s: float | None
) -> Iterator[tuple[Frame | None, Inspection]]:
    """Reads and inspects; a frame that cannot be read, or does not come in time, becomes (None, its UNKNOWN)."""
    coming = number = 0
    while limit is None or coming < limit:
        start = time.perf_counter()
        try:
            frame = source.read(timeout_s)
        except EndOfStream:
            return
        except FrameError as error:
            index = error.index if error.index >= 0 else number
            number = index + 1
            yield None, inspector.refuse(index, source.uri, str(error), name=error.name)
        except (SourceTimeout, SourceDisconnected, WrongDevice) as error:
            if not source.live:
                raise
            yield None, inspector.refuse(number, source.uri, str(error), reason=Reason(error.code))
        else:
            number = frame.index + 1
            yield frame, inspector(frame, acquire_ms=1e3 * (time.perf_counter() - start))
        coming += 1


class _Log:
    """What the command prints, and what it counts."""

    def __init__(self, as_json: bool) -> None:
        from rich.console import Console

        self.as_json = as_json
        self.verdicts: Counter[Verdict] = Counter()
        self.resolution: Resolution | None = None
        self._reasons: Counter[str] = Counter()
        self._milliseconds: list[float] = []
        self._console = Console(highlight=False, soft_wrap=True)

    def line(self, inspection: Inspection) -> None:
        """One frame."""
        self.verdicts[inspection.verdict] += 1
        self._milliseconds.append(inspection.timings.total_ms)
        if inspection.verdict is Verdict.UNKNOWN:
            self._reasons[inspection.reason.value] += 1
        if self.as_json:
            typer.echo(json.dumps(inspection.as_json(), allow_nan=False))
            return
        from rich.text import Text

        text = Text(f"{inspection.frame:6d}  {inspection.name[-28:]:<28s}  ")
        text.append(f"{inspection.verdict.value:<7s}", STYLES[inspection.verdict])
        score = "     -" if inspection.score != inspection.score else f"{inspection.score:6.4f}"
        text.append(f"  score {score} / {inspection.threshold:6.4f}  {inspection.timings.total_ms:7.1f} ms  ")
        if inspection.verdict is Verdict.UNKNOWN:
            text.append(f"{inspection.reason.value}: {inspection.detail}", "yellow")
        elif inspection.regions:
            first = inspection.regions[0]
            more = f" and {len(inspection.regions) - 1} more" if len(inspection.regions) > 1 else ""
            where = f"{first.width}x{first.height} px at ({first.x}, {first.y}) by {first.modality}"
            text.append(where + more + "  ")
        if inspection.stood_in is not None and inspection.verdict is not Verdict.UNKNOWN:
            text.append(inspection.detail, "yellow")
        self._console.print(text)

    def summary(self, seconds: float, status: Status, drops: Drops) -> None:
        """All frames; nothing in JSON mode, where every line stands for itself."""
        if self.as_json or not self._milliseconds:
            return
        count = sum(self.verdicts.values())
        counts = ", ".join(f"{self.verdicts[verdict]} {verdict.value}" for verdict in Verdict)
        reasons = ", ".join(f"{number} {reason}" for reason, number in self._reasons.most_common())
        self._console.print(f"{count} frames: {counts}" + (f" ({reasons})" if reasons else ""), style="bold")
        median = statistics.median(self._milliseconds)
        self._console.print(f"{count / max(seconds, 1e-9):.1f} frames/s, median {median:.1f} ms, {status.engine}")
        for fallback in status.fallbacks:
            self._console.print(fallback, style="yellow")
        lost = ", ".join(f"{number} {cause}" for cause, number in asdict(drops).items() if number)
        if lost:
            self._console.print(f"lost before they were inspected: {lost}", style="yellow")
        if self.resolution is not None:
            self._console.print(str(self.resolution))


def _draw(folder: Path, frame: Frame, inspection: Inspection) -> None:
    from rasant.overlay import draw_overlay, write_png

    write_png(folder / f"{frame.index:06d}_{inspection.verdict.value}.png", draw_overlay(frame, inspection))
