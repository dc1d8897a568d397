# SPDX-License-Identifier: Apache-2.0
"""The command `rasant record`: frames of any source into an MCAP file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from rasant.errors import ConfigError, EndOfStream, FrameError, SourceError
from rasant.recording.mcap_writer import COMPRESSIONS, RecordingWriter
from rasant.sensors import Source, open_source
from rasant.types import Frame

__all__ = ["record"]


def record(
    source: Annotated[str, typer.Argument(help="Source URI, for example folder:captures or synthetic:plate.")],
    out: Annotated[Path, typer.Argument(help="File to write; its name ends in .mcap.")],
    frames: Annotated[Optional[int], typer.Option(min=1, help="Stop after so many frames.")] = None,  # noqa: UP045
    compress: Annotated[str, typer.Option(help=f"{', '.join(COMPRESSIONS)}; png is small, lz4 fast.")] = "lz4",
    fps: Annotated[float, typer.Option(help="Spacing given to frames without time stamps (files).")] = 10.0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Record frames of a source, lossless, to a file that opens in rasant, Foxglove and ROS 2.

    Damaged frames are left out and counted; Ctrl-C ends the recording properly.

    Example: rasant record folder:captures line3.mcap --frames 100
    """
    if out.suffix != ".mcap":
        raise ConfigError(f"{out}: the name of a recording ends in .mcap")
    started = time.monotonic()
    with open_source(source) as opened:
        first = _next(opened)  # a source that cannot give one frame leaves no file behind
        if first is None:
            raise SourceError(f"{source} gave no frame")
        with RecordingWriter(out, source=source, compression=compress, fps=fps, overwrite=force) as writer:
            try:
                frame: Frame | None = first
                while frame is not None:
                    writer.write(frame)
                    frame = _next(opened) if frames is None or writer.frames < frames else None
            except KeyboardInterrupt:
                typer.echo("stopped by Ctrl-C", err=True)
        result = {
            "path": str(out),
            "source": source,
            "frames": writer.frames,
            "damaged": opened.stats().damaged,
            "bytes": out.stat().st_size,
            "seconds": round(time.monotonic() - started, 3),
        }
        note = opened.note
    if as_json:
        typer.echo(json.dumps(result | {"note": note}))
        return
    megabytes = out.stat().st_size / 1e6
    typer.echo(f"{out}: {writer.frames} frames, {megabytes:.1f} MB in {result['seconds']} s; replay it as replay:{out}")
    if opened.stats().damaged:
        typer.echo(f"{opened.stats().damaged} damaged frames were left out", err=True)
    if note:
        typer.echo(note, err=True)


def _next(source: Source) -> Frame | None:
    """The next sound frame, or None at the end."""
    while True:
        try:
            return source.read()
        except EndOfStream:
            return None
        except FrameError as error:
            typer.echo(f"left out: {error}", err=True)
