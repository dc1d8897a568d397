# SPDX-License-Identifier: Apache-2.0
"""The command `rasant record`: frames of any source into an MCAP file, or into folders as other programs read them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from rasant.errors import ConfigError, EndOfStream, FrameError, SourceError
from rasant.recording.folders import LAYOUTS, FolderWriter
from rasant.recording.mcap_writer import COMPRESSIONS, RecordingWriter
from rasant.sensors import Source
from rasant.stream import open_stream
from rasant.types import Frame

__all__ = ["record"]

QUEUED = 64  # frames of a live camera between capture and encoding


def record(
    source: Annotated[str, typer.Argument(help="Source URI, for example folder:captures, realsense: or FILE.db3.")],
    out: Annotated[Path, typer.Argument(help="File to write, named .mcap; with --layout a folder.")],
    frames: Annotated[Optional[int], typer.Option(min=1, help="Stop after so many frames.")] = None,  # noqa: UP045
    compress: Annotated[str, typer.Option(help=f"{', '.join(COMPRESSIONS)}; png is small, lz4 fast.")] = "lz4",
    fps: Annotated[float, typer.Option(help="Spacing given to frames without time stamps (files).")] = 10.0,
    layout: Annotated[str, typer.Option(help=f"mcap, or folders of {', '.join(LAYOUTS)}.")] = "mcap",
    category: Annotated[str, typer.Option(help="Name of the part, for folders of frames without a label.")] = "part",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Read the source in a process that is ended where its driver hangs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Record frames of a source, lossless, to a file that opens in rasant, Foxglove and ROS 2, or as folders.

    A live camera is captured in a thread of its own, so encoding never holds it up; what the encoding could not keep up
    with is counted. Damaged frames are left out and counted; Ctrl-C ends the recording properly. Recordings of
    librealsense (.bag, .db3) are imported by recording them, recordings of rasant exported with --layout.

    Example: rasant record folder:captures line3.mcap --frames 100
    """
    if layout == "mcap" and out.suffix != ".mcap":
        raise ConfigError(f"{out}: the name of a recording ends in .mcap; for folders add --layout")
    started = time.monotonic()
    with open_stream(source, policy="drop_oldest", capacity=QUEUED, isolate=isolate) as opened:
        first = _next(opened)  # a source that cannot give one frame leaves no file behind
        if first is None:
            raise SourceError(f"{source} gave no frame")
        writer: RecordingWriter | FolderWriter
        if layout == "mcap":
            writer = RecordingWriter(
                out, source=source, compression=compress, fps=fps, overwrite=force, calibration=opened.calibration,
                settings={name: option.value for name, option in opened.options().items()},
            )
        else:
            writer = FolderWriter(out, layout, category=category)
        with writer:
            try:
                frame: Frame | None = first
                while frame is not None:
                    writer.write(frame)
                    frame = _next(opened) if frames is None or writer.frames < frames else None
            except KeyboardInterrupt:
                typer.echo("stopped by Ctrl-C", err=True)
        drops, note = opened.stats(), opened.note
    result: dict[str, Any] = {
        "path": str(out), "source": source, "frames": writer.frames, "damaged": drops.damaged,
        "lost": {cause: number for cause, number in asdict(drops).items() if number}, "bytes": writer.bytes,
        "seconds": round(time.monotonic() - started, 3), "note": note,
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _tell(result, f"; replay it as replay:{out}" if layout == "mcap" else "")


def _tell(result: dict[str, Any], how: str) -> None:
    """What was written, for a person."""
    megabytes = result["bytes"] / 1e6
    typer.echo(f"{result['path']}: {result['frames']} frames, {megabytes:.1f} MB in {result['seconds']} s{how}")
    if result["lost"]:
        causes = ", ".join(f"{number} {cause}" for cause, number in result["lost"].items())
        typer.echo(f"left out: {causes}", err=True)
    if result["note"]:
        typer.echo(result["note"], err=True)


def _next(source: Source) -> Frame | None:
    """The next sound frame, or None at the end."""
    while True:
        try:
            return source.read()
        except EndOfStream:
            return None
        except FrameError as error:
            typer.echo(f"left out: {error}", err=True)
