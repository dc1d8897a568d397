# SPDX-License-Identifier: Apache-2.0
"""From a bundle's file to an inspector: read and check it, open an engine, prove the engine, and put them together."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rasant.bundle import Bundle, read_bundle
from rasant.certificate import check_certificate
from rasant.engines import Engine, open_engine
from rasant.inspector import Inspector
from rasant.settings import Settings, resolve
from rasant.stand_in import resolve_stand_in
from rasant.station import read_station, station_from

__all__ = ["load"]

FALLBACK = ("onnxruntime", "cpu")  # engine and device that are there where rasant is


def load(
    path: str | Path, engine: str = "auto", *, device: str | None = None, allow_fallback: bool = False,
    station: str | Path | None = None, stand_in: str | Path | None = None, require_threshold: bool = True,
    threads: int = 0, prove: bool = True, **overrides: Any,
) -> Inspector:
    """Open a bundle on an engine.

    path: a `.rasant` file. engine: "auto" or a name that `rasant doctor` lists. device: "cpu", "cuda", "cuda:N" or
        what else the engine knows; None is the engine's own.
    allow_fallback: accept the CPU where the device is not to be had; `Inspector.status` then says so.
    station: a station file.
    stand_in: a bundle of one modality that decides while the other is missing, see `rasant.stand_in`; also a key of the
        station file. Off unless asked for. All values of the station are its too, but `threshold`.
    require_threshold: False also loads a bundle without threshold; its verdicts are UNKNOWN, maps and scores are there.
    threads: for the engine and the operations; 0 leaves the engine to its runtime and takes one for the operations.
    prove: run two golden frames first, see `rasant.certificate`; False is for who measures the engine anyway.
    overrides: single values of a station file, flat, e.g. `threshold=0.6`, `roi=(0, 0, 640, 480)`, `deadline_ms=100`,
        `max_age_ms=None`.

    Raises BundleError and its kin, ThresholdError, ConfigError, EngineUnavailable, CertificateError.
    """
    if stand_in is not None:
        overrides["stand_in"] = stand_in
    stated = station_from(overrides, None if station is None else read_station(station))
    bundle = read_bundle(path)
    settings = resolve(bundle, stated, require_threshold=require_threshold)
    if engine == "auto" and stated.engine is not None:
        engine = stated.engine
    run = partial(
        _open, engine=engine, device=device, allow_fallback=allow_fallback, threads=threads, prove=prove
    )
    if stated.stand_in is None:
        return run(bundle, settings)
    other = read_bundle(stated.stand_in)
    spare = run(other, resolve_stand_in(other, bundle, stated, settings))
    try:
        return run(bundle, settings, stand_in=spare)
    except BaseException:
        spare.close()
        raise


def _open(
    bundle: Bundle, settings: Settings, *, engine: str, device: str | None, allow_fallback: bool, threads: int,
    prove: bool, stand_in: Inspector | None = None,
) -> Inspector:
    """An inspector on a proven engine."""

    def opened(name: str, device: str | None) -> Engine:
        found = open_engine(
            name, bundle.graph(), precision=bundle.manifest.detector.precision, device=device, threads=threads,
            allow_fallback=allow_fallback, certified=[one.engine for one in bundle.manifest.certificates],
        )
        try:
            found.warmup(1)
            if prove:
                found.info = replace(found.info, proof=check_certificate(bundle, found))
        except BaseException:
            found.close()
            raise
        return found

    first = opened(engine, device)
    again = [partial(opened, first.info.name, device)]
    if allow_fallback and (first.info.name, device) != FALLBACK:
        again.append(partial(opened, *FALLBACK))
    return Inspector(first, settings, bundle=bundle, threads=max(1, threads), reopen=again, stand_in=stand_in)
