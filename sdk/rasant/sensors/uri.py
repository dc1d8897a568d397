# SPDX-License-Identifier: Apache-2.0
"""Source URIs: `scheme:path?option=value&option=value`, and the table of schemes."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from rasant.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from rasant.sensors.base import Source

__all__ = ["CAMERAS", "SCHEMES", "Uri", "open_source", "parse_uri"]

SCHEMES: dict[str, str] = {
    "folder": "rasant.sensors.folder:FolderSource",
    "dataset": "rasant.sensors.dataset:DatasetSource",
    "mvtec3d": "rasant.sensors.mvtec3d:Mvtec3dSource",
    "replay": "rasant.sensors.replay:ReplaySource",
    "synthetic": "rasant.sensors.synthetic:SyntheticSource",
    "realsense": "rasant.sensors.realsense:RealSenseSource",
    "genicam": "rasant.sensors.genicam:GenICamSource",
    "aravis": "rasant.sensors.aravis:AravisSource",
    "graycode": "rasant.sensors.structured_light.recorded:GraycodeSource",
    "scanner": "rasant.sensors.structured_light.scanner:ScannerSource",
}
"""Scheme -> class. Each class has `open(uri: Uri, *, skip_damaged: bool) -> Source`."""

CAMERAS: dict[str, str] = {
    "realsense": "rasant.sensors.realsense:probe",
    "genicam": "rasant.sensors.genicam:probe",
    "aravis": "rasant.sensors.aravis:probe",
    "scanner": "rasant.sensors.structured_light.projector:probe",
}
"""Scheme of live cameras -> function `probe() -> Probe`: what is connected, or what is missing to know."""

_SCHEME = re.compile(r"([a-z][a-z0-9]+):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Uri:
    """A parsed source URI. `path` is everything between the scheme and the last question mark."""

    text: str
    scheme: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)

    def options(self, **defaults: Any) -> dict[str, Any]:
        """Options with the types of their defaults; None means text. Raises ConfigError for any other key."""
        unknown = sorted(set(self.query) - set(defaults))
        if unknown:
            known = ", ".join(defaults) or "none"
            raise ConfigError(f"{self.text}: {self.scheme}: does not know the option {unknown[0]!r}; it knows {known}")
        return {key: self._convert(key, default) for key, default in defaults.items()}

    def _convert(self, key: str, default: Any) -> Any:
        text = self.query.get(key)
        if text is None or default is None:
            return default if text is None else text
        try:
            return type(default)(text)
        except ValueError:
            kind = {int: "a whole number", float: "a number"}.get(type(default), "text")
            raise ConfigError(f"{self.text}: option {key!r} must be {kind}, got {text!r}") from None

    def existing(self, kind: str) -> Path:
        """The path, which must exist. Raises SourceError; `kind` says what was expected there."""
        path = Path(self.path).expanduser()
        if not self.path or not path.exists():
            raise SourceError(f"{self.text}: expected {kind} at {str(path)!r}, found nothing")
        return path


def parse_uri(text: str) -> Uri:
    """Parse a source URI, or resolve a bare path to the one scheme that can read it. Raises ConfigError."""
    found = _SCHEME.fullmatch(f"{text}:" if text in CAMERAS else text)
    if found is None:
        return _resolve(text)
    scheme, rest = found.groups()
    if scheme not in SCHEMES:
        raise ConfigError(f"{text!r}: there is no source {scheme!r}; known are {_known()}")
    path, query = _split_query(text, rest)
    return Uri(text, scheme, path, query)


def open_source(uri: str, *, skip_damaged: bool = False) -> Source:
    """Open a source of frames by its URI, for example "folder:captures" or "synthetic:plate?frames=100".

    A bare path is taken where it can only mean one thing: an .mcap file, or a folder in one of the known layouts.
    The name of a camera's scheme alone ("realsense") takes the only camera of that kind.
    `skip_damaged` makes the iterator go on over damaged frames (they are counted); read() always raises FrameError.
    Raises ConfigError for an unknown scheme or option, SourceError where the path or device is missing.
    """
    parsed = parse_uri(uri)
    module, name = SCHEMES[parsed.scheme].split(":")
    source: Source = getattr(importlib.import_module(module), name).open(parsed, skip_damaged=skip_damaged)
    return source


def _known() -> str:
    return ", ".join(f"{scheme}:" for scheme in SCHEMES)


def _split_query(text: str, rest: str) -> tuple[str, dict[str, str]]:
    path, mark, query = rest.rpartition("?")
    if not mark:
        return rest, {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=32) if query else []
    except ValueError as error:
        raise ConfigError(f"{text!r}: options must read name=value&name=value: {error}") from None
    if len(dict(pairs)) != len(pairs):
        raise ConfigError(f"{text!r}: an option stands twice")
    return path, dict(pairs)


def _resolve(text: str) -> Uri:
    bare, query = (text, {}) if Path(text).expanduser().exists() else _split_query(text, text)
    path = Path(bare).expanduser()
    if not bare or not path.exists():
        raise SourceError(f"{text!r} is neither an existing path nor a source URI; known are {_known()}")
    if path.is_file():
        if path.suffix != ".mcap":
            raise ConfigError(f"{text!r} is a file but no .mcap recording; name what it is: {_known()}")
        return Uri(text, "replay", bare, query)
    from rasant.sensors import dataset, folder, mvtec3d

    tests = {"folder": folder.is_folder, "dataset": dataset.is_dataset, "mvtec3d": mvtec3d.is_mvtec3d}
    fits = [scheme for scheme, test in tests.items() if test(path)]
    if len(fits) != 1:
        what = f"fits {' and '.join(f'{scheme}:' for scheme in fits)}" if fits else "has no known layout"
        raise ConfigError(f"folder {text!r} {what}; name what it is: {_known()} (layouts: docs/guide/sources.md)")
    return Uri(text, fits[0], bare, query)
