# SPDX-License-Identifier: Apache-2.0
"""rasant finds surface defects in aligned RGB-D frames, next to the machine.

    with rasant.open_source("realsense") as source, rasant.load("bracket.rasant", engine="auto") as inspector:
        for frame in source:
            inspection = inspector(frame)

Every public name is imported at its first use (PEP 562), so `import rasant` costs next to nothing and loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rasant.bundle import Bundle, Manifest, read_bundle, write_bundle
    from rasant.errors import (
        BackgroundError,
        BundleError,
        CertificateError,
        CheckpointError,
        ConfigError,
        DeviceFailed,
        DeviceUnavailable,
        DtypeError,
        EndOfStream,
        EngineError,
        EngineLost,
        EngineTimeout,
        EngineUnavailable,
        FrameError,
        FrameRefused,
        IntegrityError,
        ManifestError,
        ModelError,
        PlanError,
        RasantError,
        ShapeError,
        SourceBusy,
        SourceDisconnected,
        SourceError,
        SourceTimeout,
        ThresholdError,
        UnsafeBundle,
        WrongDevice,
    )
    from rasant.inspector import Inspector
    from rasant.opening import load
    from rasant.preprocess import Prepared, Preprocessor, PreprocessParams
    from rasant.sensors import Source, open_source
    from rasant.station import Station, read_station
    from rasant.types import (
        Clock,
        Drops,
        Frame,
        Inspection,
        Intrinsics,
        Reason,
        Region,
        Sample,
        Timings,
        Verdict,
    )
    from rasant.verdict import Limits

    __version__: str

__all__ = [
    "BackgroundError",
    "Bundle",
    "BundleError",
    "CertificateError",
    "CheckpointError",
    "Clock",
    "ConfigError",
    "DeviceFailed",
    "DeviceUnavailable",
    "Drops",
    "DtypeError",
    "EndOfStream",
    "EngineError",
    "EngineLost",
    "EngineTimeout",
    "EngineUnavailable",
    "Frame",
    "FrameError",
    "FrameRefused",
    "Inspection",
    "Inspector",
    "IntegrityError",
    "Intrinsics",
    "Limits",
    "Manifest",
    "ManifestError",
    "ModelError",
    "PlanError",
    "Prepared",
    "PreprocessParams",
    "Preprocessor",
    "RasantError",
    "Reason",
    "Region",
    "Sample",
    "ShapeError",
    "Source",
    "SourceBusy",
    "SourceDisconnected",
    "SourceError",
    "SourceTimeout",
    "Station",
    "ThresholdError",
    "Timings",
    "UnsafeBundle",
    "Verdict",
    "WrongDevice",
    "__version__",
    "load",
    "open_source",
    "read_bundle",
    "read_station",
    "write_bundle",
]

# Names that are not errors, by the module that defines them.
_MODULES = {
    "rasant.bundle": ("Bundle", "Manifest", "read_bundle", "write_bundle"),
    "rasant.inspector": ("Inspector",),
    "rasant.opening": ("load",),
    "rasant.preprocess": ("Prepared", "PreprocessParams", "Preprocessor"),
    "rasant.sensors": ("Source", "open_source"),
    "rasant.station": ("Station", "read_station"),
    "rasant.types": (
        "Clock", "Drops", "Frame", "Inspection", "Intrinsics", "Reason", "Region", "Sample", "Timings", "Verdict",
    ),
    "rasant.verdict": ("Limits",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use and keep it."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("rasant")
        except PackageNotFoundError:  # a source tree that is on the path but not installed
            value = "0+unknown"
    elif name in __all__:
        value = getattr(importlib.import_module(_HOME.get(name, "rasant.errors")), name)
    else:
        raise AttributeError(f"module 'rasant' has no attribute {name!r}; see rasant.__all__")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
