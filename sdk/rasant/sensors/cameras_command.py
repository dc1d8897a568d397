# SPDX-License-Identifier: Apache-2.0
"""`rasant cameras`: what is connected, and what each kind of camera would need."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict
from typing import Annotated

import typer

from rasant.sensors.live import Probe
from rasant.sensors.uri import CAMERAS

__all__ = ["cameras", "probe_all"]


def cameras(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the cameras that are connected, and what each kind would need.

    Example: rasant cameras --json
    """
    found = probe_all()
    if as_json:
        typer.echo(json.dumps({probe.scheme: asdict(probe) for probe in found}))
        return
    for probe in found:
        count = len(probe.cameras)
        state = f"needs {probe.needs}" if probe.needs else f"{count} connected" if count else "none connected"
        typer.echo(f"{probe.scheme + ':':<12s} {state}" + (f" ({probe.package})" if probe.package else ""))
        for camera in probe.cameras:
            typer.echo(f"  {camera.uri:<30s} {camera.name}" + (f", {camera.note}" if camera.note else ""))


def probe_all() -> list[Probe]:
    """One `Probe` for each scheme of CAMERAS. A driver that fails is a finding, not an error of this command."""
    found = []
    for scheme, target in CAMERAS.items():
        module, name = target.split(":")
        try:
            found.append(getattr(importlib.import_module(module), name)())
        except Exception as error:
            found.append(Probe(scheme, "", f"a driver that works: {type(error).__name__}: {error}"))
    return found
