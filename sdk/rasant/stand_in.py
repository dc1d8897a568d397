# SPDX-License-Identifier: Apache-2.0
"""The stand-in: a bundle of one modality that decides while the other one is missing. Asked for, and never in silence.

It decides only where a frame came without colour or without depth, or with depth that holds not one valid pixel; every
other reason for UNKNOWN stays. What is lost meanwhile was measured beforehand (`rasant calibrate stand-in`), stands in
its manifest and in each inspection that it gives.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rasant.errors import ConfigError
from rasant.settings import Settings, resolve
from rasant.types import Frame, Inspection, Reason, Verdict

if TYPE_CHECKING:
    from rasant.bundle import Bundle
    from rasant.station import Station

__all__ = ["announced", "check_roles", "replaces", "resolve_stand_in", "seen_by"]

LEFT = {Reason.COLOR_MISSING: "depth", Reason.DEPTH_MISSING: "color", Reason.DEPTH_EMPTY: "color"}
WORDS = {"color": "colour", "depth": "depth"}


def check_roles(one: Bundle, both: Bundle) -> None:
    """Whether `one` can stand in for `both`. Raises ConfigError unless it sees one modality of the two, and one part.

    `StandIn.of` is not held against `both`: a threshold that was chosen anew changes a bundle's hash, not what it sees.
    """
    name, of = one.name or "the stand-in", both.name or "the bundle"
    sees, of_sees = list(one.manifest.preprocess.input_channels), list(both.manifest.preprocess.input_channels)
    if len(of_sees) == 1:
        raise ConfigError(
            f"a stand-in is for a bundle of colour and depth, but {of} sees {WORDS[of_sees[0]]} alone; leave it out"
        )
    if len(sees) == 2:
        raise ConfigError(
            f"a stand-in must see one modality alone, but {name} sees colour and depth; train one with --modalities "
            "rgb or depth"
        )
    if one.manifest.category != both.manifest.category:
        raise ConfigError(
            f"a stand-in must be for the same part, but {name} is for {one.manifest.category!r} and {of} for "
            f"{both.manifest.category!r}"
        )


def resolve_stand_in(one: Bundle, both: Bundle, station: Station, main: Settings) -> Settings:
    """The stand-in's settings at a station: all of the station's values but `threshold`, which is the main bundle's.

    How old a frame may be and when the verdict is due is the machine's business, so `main`, the main bundle's settings,
    says it for both. Raises what `check_roles` and `resolve` raise, and ConfigError where no loss is declared.
    """
    check_roles(one, both)
    settings = resolve(one, station.model_copy(update={"threshold": None}))
    if one.manifest.stand_in is None:
        name = one.name or "ONE.rasant"
        raise ConfigError(
            f"{name} does not say what is lost while it stands in; run: rasant calibrate stand-in {name} "
            f"{both.name or 'BOTH.rasant'} LABELLED_PARTS -o OUT.rasant"
        )
    limits = replace(settings.limits, max_age_ms=main.limits.max_age_ms, deadline_ms=main.limits.deadline_ms)
    return replace(settings, limits=limits, loss=one.manifest.stand_in.loss)


def seen_by(settings: Settings, frame: Frame) -> Frame:
    """The frame as the stand-in sees it: without the other modality, so its coming and going changes nothing."""
    return replace(frame, color=None) if "depth" in settings.modalities else replace(frame, depth=None, depth_scale=1.0)


def replaces(settings: Settings, reason: Reason) -> bool:
    """Whether the stand-in decides a frame that has this reason: a modality is missing, and it uses the other one."""
    return LEFT.get(reason) in settings.modalities


def announced(settings: Settings, missing: Inspection, found: Inspection) -> Inspection:
    """The stand-in's inspection, whose detail starts with who decided and why. missing: the main bundle's UNKNOWN."""
    why = f"{missing.reason.value}: {missing.detail}"
    alone = f"{WORDS[settings.modalities[0]]} alone"
    if found.verdict is Verdict.UNKNOWN:
        detail = f"{alone} cannot decide either ({why}); {found.detail}"
    else:
        loss = f"expected loss: {settings.loss}" if settings.loss else ""
        detail = "; ".join(text for text in (f"decided by {alone} ({why})", loss, found.detail) if text)
    return replace(found, detail=detail, stood_in=missing.reason)
