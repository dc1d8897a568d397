# SPDX-License-Identifier: Apache-2.0
"""The `rasant` command. Its commands come from the entry-point group `rasant.commands`; each is imported when called.

Exit codes: 0 ok; 1 rejects found or output cut off, with --fail-on-reject; 2 usage or configuration; 3 environment
(missing extra, engine, device, or a fault of our own); 130 interrupted. An error is one line on stderr; where the
command was given --json it is one JSON object there: {"error": {"code": ..., "message": ...}}.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from rasant.errors import (
    DeviceUnavailable,
    EngineError,
    RasantError,
    SourceBusy,
    SourceDisconnected,
    SourceTimeout,
    WrongDevice,
)

__all__ = ["EXTRAS", "SUMMARIES", "app", "exit_code", "main"]

GROUP = "rasant.commands"

SUMMARIES = {
    "doctor": "Check this machine: versions, engines, native build, extras.",
    "cameras": "List connected cameras, and what each kind would need.",
    "record": "Record a source into an MCAP file.",
    "patterns": "Write the pictures that a projector shows for a structured-light scan.",
    "inspect": "Inspect every frame of a source with a bundle.",
    "evaluate": "Measure how well a bundle finds the defects of a labelled source.",
    "synth": "Make synthetic parts or defects to look at.",
    "bench": "Time bundles and engines side by side, or the operations against numpy and OpenCV.",
    "train": "Train a detector on good parts.",
    "export": "Turn a training run into a bundle.",
    "build": "Compile a bundle's graph for this machine's GPU, ahead of time.",
    "calibrate": "Turn cameras and a trained bundle into a trusted station.",
    "certify": "Prove an engine on a bundle's golden frames, and keep the proof in the bundle.",
}
"""What `rasant --help` says of each command; listing them imports none of them."""

EXTRAS = {
    "torch": "training",
    "lightning": "training",
    "lightning_fabric": "training",
    "safetensors": "training",
    "tensorboard": "training",
    "onnxscript": "training",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
    "pycuda": "pycuda",
    "pyrealsense2": "realsense",
    "harvesters": "genicam",
    "genicam": "genicam",
    "fastapi": "serve",
    "uvicorn": "serve",
    "cryptography": "signing",
    "mlperf_loadgen": "bench",
}
"""Top-level module -> the extra of this distribution that brings it."""

ENVIRONMENT = (
    DeviceUnavailable, EngineError, SourceBusy, SourceDisconnected, SourceTimeout, WrongDevice, ImportError,
)


class _LazyGroup(TyperGroup):
    """Lists commands by name and summary, imports the one that runs, and turns errors into exit codes."""

    def list_commands(self, ctx: Any) -> list[str]:
        found = {point.name for point in entry_points(group=GROUP)}
        return [name for name in SUMMARIES if name in found] + sorted(found - set(SUMMARIES))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        point = _find(cmd_name)
        if point is None:
            return None
        summary = SUMMARIES.get(cmd_name, f"From {point.module}.")
        return TyperCommand(cmd_name, help=summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        ctx.meta["rasant.json"] = "--json" in rest
        ctx.meta["rasant.gate"] = "--fail-on-reject" in rest
        point = _find(name) if name is not None else None
        try:
            return name, None if point is None else _command(point), rest
        except Exception as error:
            raise typer.Exit(_report(error, "--json" in rest)) from error

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1 if ctx.meta.get("rasant.gate") else 0) from None  # a gate that did not finish is shut
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            if _is_clicks_own(error):
                raise
            raise typer.Exit(_report(error, bool(ctx.meta.get("rasant.json")))) from error


def exit_code(error: BaseException) -> int:
    """2 where the user can mend the call, its files or its input; 3 where the machine or rasant has to be mended."""
    if isinstance(error, ENVIRONMENT):
        return 3
    return 2 if isinstance(error, RasantError | OSError) else 3


def _is_clicks_own(error: Exception) -> bool:
    """Usage errors, exits and aborts, which Typer handles; it may carry its own copy of click."""
    return isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "format_message")


def _report(error: Exception, as_json: bool) -> int:
    """Say what went wrong on stderr; returns the exit code."""
    code = getattr(error, "code", "E_INTERNAL") if isinstance(error, RasantError) else "E_INTERNAL"
    message = str(error)
    if isinstance(error, ImportError):
        code, message = "E_MISSING", _explain_import(error)
    elif isinstance(error, OSError) and not isinstance(error, RasantError):
        code = "E_FILE"
    elif not isinstance(error, RasantError):
        message = f"{type(error).__name__}: {error}"
        traceback.print_exception(error, file=sys.stderr)
    if as_json:
        typer.echo(json.dumps({"error": {"code": code, "message": message}}), err=True)
    else:
        typer.echo(f"rasant: {code}: {message}", err=True)
    return exit_code(error)


def _explain_import(error: ImportError) -> str:
    module = (error.name or "").split(".")[0]
    if module in EXTRAS:
        return f"this command needs {module}; install it with: pip install 'rasant[{EXTRAS[module]}]'"
    if module == "gi":  # a package of the system; the adapter names it
        return str(error)
    return f"{error}; the installation is incomplete, install rasant again"


def _find(name: str) -> EntryPoint | None:
    return next(iter(entry_points(group=GROUP, name=name)), None)


def _command(point: EntryPoint) -> Any:
    """The command behind an entry point, which is a Typer application or a plain function."""
    target = point.load()
    if not isinstance(target, typer.Typer):
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(point.name)(target)
        target = single
    return typer.main.get_command(target)


app = typer.Typer(
    cls=_LazyGroup, name="rasant", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    epilog="Example: rasant inspect bracket.rasant folder:captures --json",
)


def _print_version(asked: bool) -> None:
    if asked:
        from rasant import __version__

        typer.echo(f"rasant {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Find surface defects in aligned RGB-D frames."""


def main() -> None:
    """Entry point of the `rasant` command."""
    app(prog_name="rasant")
