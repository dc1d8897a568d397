# SPDX-License-Identifier: Apache-2.0
"""Every exception of rasant, in one tree. Each is also the builtin that a caller would expect, and carries a `.code`.

    RasantError
    ├── ConfigError            (ValueError)        E_CONFIG       a parameter, recipe or file has a wrong value or key
    ├── ShapeError             (ValueError)        E_SHAPE        an array has the wrong shape or layout
    ├── DtypeError             (TypeError)         E_DTYPE        an array has the wrong dtype
    ├── BackgroundError        (ValueError)        E_BACKGROUND   a depth image shows no background surface
    ├── DeviceUnavailable      (RuntimeError)      E_DEVICE       the asked device or build is not there
    ├── DeviceFailed           (RuntimeError)      E_DEVICE_FAILED  a device that is there ran out of memory or failed
    ├── BundleError            (ValueError)        E_BUNDLE       a bundle is refused
    │   ├── UnsafeBundle                           E_UNSAFE       its archive is hostile: paths, links, bombs
    │   ├── IntegrityError                         E_INTEGRITY    a size or hash differs from the manifest
    │   ├── ManifestError                          E_MANIFEST     the manifest does not satisfy its schema
    │   └── ModelError                             E_MODEL        a graph is damaged or not allowed
    ├── CheckpointError        (ValueError)        E_CHECKPOINT   a safetensors file is damaged or does not fit
    ├── ThresholdError         (ValueError)        E_THRESHOLD    a threshold would pass or reject everything
    ├── EngineError            (RuntimeError)      E_ENGINE       an inference engine failed
    │   ├── EngineUnavailable                      E_ENGINE_UNAVAILABLE
    │   ├── EngineTimeout      (TimeoutError)      E_ENGINE_TIMEOUT  a run takes longer than allowed; it still runs
    │   ├── EngineLost                             E_ENGINE_LOST  its device is gone or out of memory; open it again
    │   ├── PlanError                              E_PLAN         no compiled engine that fits this machine and bundle
    │   └── CertificateError                       E_CERTIFICATE  it answers otherwise than the bundle certifies
    └── SourceError            (OSError)           E_SOURCE       frames cannot be had
        ├── SourceTimeout      (TimeoutError)      E_TIMEOUT      no frame in time; trying again makes sense
        ├── SourceDisconnected (ConnectionError)   E_DISCONNECTED the device is gone; open it again
        ├── SourceBusy                             E_BUSY         another program holds the device
        ├── WrongDevice                            E_SERIAL       another device stands where the bound one was
        ├── EndOfStream        (EOFError)          E_END          a finite source is exhausted
        └── FrameError         (ValueError)        E_FRAME        one frame is damaged; the next may be good
            └── FrameRefused                       E_FRAME        one frame cannot feed the network; `.reason` says why
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BackgroundError",
    "BundleError",
    "CertificateError",
    "CheckpointError",
    "ConfigError",
    "DeviceFailed",
    "DeviceUnavailable",
    "DtypeError",
    "EndOfStream",
    "EngineError",
    "EngineLost",
    "EngineTimeout",
    "EngineUnavailable",
    "FrameError",
    "FrameRefused",
    "IntegrityError",
    "ManifestError",
    "ModelError",
    "PlanError",
    "RasantError",
    "ShapeError",
    "SourceBusy",
    "SourceDisconnected",
    "SourceError",
    "SourceTimeout",
    "ThresholdError",
    "UnsafeBundle",
    "WrongDevice",
]


class RasantError(Exception):
    """Base of all errors that rasant raises on purpose."""

    code: ClassVar[str] = "E_RASANT"


class ConfigError(RasantError, ValueError):
    """A parameter, recipe or file has a wrong value or an unknown key."""

    code = "E_CONFIG"


class ShapeError(RasantError, ValueError):
    """An array has the wrong number of dimensions, size or memory layout."""

    code = "E_SHAPE"


class DtypeError(RasantError, TypeError):
    """An array has the wrong dtype; rasant never converts silently."""

    code = "E_DTYPE"


class BackgroundError(RasantError, ValueError):
    """A depth image shows no surface that a part could lie on."""

    code = "E_BACKGROUND"


class DeviceUnavailable(RasantError, RuntimeError):
    """The asked device is not there, or this build does not support it."""

    code = "E_DEVICE"


class DeviceFailed(RasantError, RuntimeError):
    """A device that is there ran out of memory, refused a kernel or failed in one."""

    code = "E_DEVICE_FAILED"


class BundleError(RasantError, ValueError):
    """A bundle is refused before any runtime sees a byte of it."""

    code = "E_BUNDLE"


class UnsafeBundle(BundleError):
    """The archive has hostile entries: escaping paths, links, duplicates, bombs."""

    code = "E_UNSAFE"


class IntegrityError(BundleError):
    """A file's size or hash differs from what the manifest declares."""

    code = "E_INTEGRITY"


class ManifestError(BundleError):
    """The manifest does not satisfy its schema."""

    code = "E_MANIFEST"


class ModelError(BundleError):
    """A graph is damaged, or holds what the loader does not allow."""

    code = "E_MODEL"


class CheckpointError(RasantError, ValueError):
    """A safetensors checkpoint is damaged or does not fit the network."""

    code = "E_CHECKPOINT"


class ThresholdError(RasantError, ValueError):
    """A threshold would pass everything or reject everything."""

    code = "E_THRESHOLD"


class EngineError(RasantError, RuntimeError):
    """An inference engine failed."""

    code = "E_ENGINE"


class EngineUnavailable(EngineError):
    """The asked engine or provider is not installed, or not really in use."""

    code = "E_ENGINE_UNAVAILABLE"


class EngineTimeout(EngineError, TimeoutError):
    """A run takes longer than the caller wants to wait. It goes on; wait again, or close the engine."""

    code = "E_ENGINE_TIMEOUT"


class EngineLost(EngineError):
    """The device of an engine is gone, failed or is out of memory; the engine has to be opened again."""

    code = "E_ENGINE_LOST"


class PlanError(EngineError):
    """There is no compiled engine for this bundle on this machine, or the one there is damaged or of another machine.

    `rasant build` makes one; nothing else does, since it takes minutes.
    """

    code = "E_PLAN"


class CertificateError(EngineError):
    """An engine's answers on the golden frames differ from the reference by more than the bundle certifies."""

    code = "E_CERTIFICATE"


class SourceError(RasantError, OSError):
    """Frames cannot be had from a source."""

    code = "E_SOURCE"


class SourceTimeout(SourceError, TimeoutError):
    """No frame arrived in time; the source is still open."""

    code = "E_TIMEOUT"


class SourceDisconnected(SourceError, ConnectionError):
    """The device is gone; the source has to be opened again."""

    code = "E_DISCONNECTED"


class SourceBusy(SourceError):
    """Another program holds the device, or it is open already."""

    code = "E_BUSY"


class WrongDevice(SourceError):
    """Another device stands where the one was that this source is bound to by its serial number."""

    code = "E_SERIAL"


class EndOfStream(SourceError, EOFError):
    """A finite source has given its last frame."""

    code = "E_END"


class FrameError(SourceError, ValueError):
    """One frame is damaged or missing; the next one may be good. A source sets `index` and `name` of that frame."""

    code = "E_FRAME"
    index: int = -1
    name: str = ""


class FrameRefused(FrameError):
    """One frame cannot feed the network. `reason` is the value of the `rasant.Reason` that its verdict carries."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
