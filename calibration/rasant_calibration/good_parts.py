# SPDX-License-Identifier: Apache-2.0
"""The scores of the good parts of a source, with everything that weakens what they can prove."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import rasant

__all__ = ["GoodParts", "hash_pixels", "read_good_frames", "score_good_parts"]


def hash_pixels(digest: hashlib._Hash, frame: rasant.Frame) -> None:
    """Add a frame's pixels, with their dtype and shape, to a running hash."""
    for image in (frame.color, frame.depth):
        if image is not None:
            digest.update(repr((image.dtype.str, image.shape)).encode())
            digest.update(image.tobytes())


def read_good_frames(source: str, count: int) -> list[rasant.Frame]:
    """The first good parts of a source, at most `count`; frames without a label are taken for good."""
    found: list[rasant.Frame] = []
    with rasant.open_source(source, skip_damaged=True) as frames:
        for frame in frames:
            if frame.sample is None or not frame.sample.defective:
                found.append(frame)
            if len(found) == count:
                break
    return found


class GoodParts:
    """Scores of the good parts of a source, and what else was in it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.scores: list[float] = []
        self.unknown: list[str] = []  # "name: reason"
        self.ignored = 0  # frames that are not good
        self.damaged = 0
        self.unlabelled = 0
        self.trained_on = 0  # frames of the train split
        self._hash = hashlib.sha256()

    @property
    def data_sha256(self) -> str:
        """SHA-256 over the pixels of all good frames, in order."""
        return self._hash.hexdigest()

    def add(self, frame: rasant.Frame, inspection: rasant.Inspection) -> None:
        """Count one good frame."""
        hash_pixels(self._hash, frame)
        name = frame.name or str(frame.index)
        if inspection.score == inspection.score:
            self.names.append(name)
            self.scores.append(float(inspection.score))
        else:
            self.unknown.append(f"{name}: {inspection.reason.value}")

    def warnings(self) -> list[str]:
        """What a person should know about the source."""
        found = []
        if self.ignored:
            found.append(f"{self.ignored} frames are not good parts and were ignored")
        if self.unlabelled:
            found.append(f"{self.unlabelled} frames carry no label; they were taken for good parts, as you say")
        if self.trained_on:
            found.append(
                f"{self.trained_on} of the parts trained the detector; it scores them lower than new parts, so the "
                "real false-reject rate will be higher. Use parts it has never seen"
            )
        if self.damaged:
            found.append(f"{self.damaged} damaged frames were passed over")
        return found


def score_good_parts(inspector: Callable[[rasant.Frame], rasant.Inspection], source: rasant.Source) -> GoodParts:
    """Inspect the good parts of a source; frames labelled otherwise are counted and never inspected."""
    parts = GoodParts()
    for frame in source:
        if frame.sample is None:
            parts.unlabelled += 1
        elif frame.sample.defective:
            parts.ignored += 1
            continue
        elif frame.sample.split == "train":
            parts.trained_on += 1
        parts.add(frame, inspector(frame))
    parts.damaged = source.stats().damaged
    return parts
