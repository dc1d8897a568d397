# SPDX-License-Identifier: Apache-2.0
"""Good parts, prepared once by the very class that prepares frames at the machine (`rasant.preprocess`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

import rasant
from rasant.errors import ConfigError, FrameError, FrameRefused
from rasant.preprocess import Prepared, Preprocessor, PreprocessParams
from rasant.sensors.uri import parse_uri
from rasant.types import Frame, Intrinsics
from rasant_training.data.digest import data_sha256, frame_digest
from rasant_training.data.suspects import suspects
from rasant_training.recipe import DataRecipe

__all__ = ["PreparedParts", "good_frames", "prepare_parts", "with_split"]

LABELLED = ("dataset", "mvtec3d")  # schemes with splits and labels

HEIGHT_SPAN = 0.8  # rule "height_range" maps low..high to 0.1..0.9
FLOOR = 0.1


@dataclass(frozen=True)
class PreparedParts:
    """All good parts of one split at network resolution.

    color: (N, 3, h, w) float32 network input; zeros where the source has no colour.
    depth: (N, h, w) float32 network input (normalised, higher = nearer); zeros where the source has no depth.
    foreground, valid: (N, h, w) bool; all True where the source has no depth.
    params: with the class-level constants that were estimated here; they go into the bundle.
    names: of the frames. sha256: of the files' bytes. limits: what good frames look like, for the bundle's validity.
    notes: what a person should know about these data, e.g. too few, duplicates, outliers.
    """

    color: npt.NDArray[np.float32]
    depth: npt.NDArray[np.float32]
    foreground: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]
    params: PreprocessParams
    names: tuple[str, ...]
    category: str
    intrinsics: Intrinsics
    serial: str
    sha256: str
    limits: dict[str, float]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of parts."""
        return len(self.names)

    @property
    def units_per_metre(self) -> float:
        """Change of the depth input for one metre of height. Raises ConfigError for rules without a fixed scale."""
        if self.params.depth_rule != "height_range":
            raise ConfigError(f"depth_rule {self.params.depth_rule!r} has no fixed scale; use height_range")
        return HEIGHT_SPAN / (self.params.depth_high - self.params.depth_low)


def good_frames(uri: str, split: str, damaged: list[str] | None = None) -> Iterator[Frame]:
    """Frames of the good parts of `split`; a source without labels gives all its frames (they must be good parts).

    A damaged file is skipped, and its message appended to `damaged`.
    """
    with rasant.open_source(with_split(uri, split)) as source:
        frames = iter(source)
        while True:
            try:
                frame = next(frames)
            except StopIteration:
                return
            except FrameError as error:
                if damaged is not None:
                    damaged.append(f"left out, damaged: {error}")
                continue
            if frame.sample is None or (frame.sample.split == split and not frame.sample.defective):
                yield frame


def with_split(uri: str, split: str) -> str:
    """The address of one split of a labelled data set; other addresses as they are."""
    parsed = parse_uri(uri)
    if parsed.scheme not in LABELLED or "split" in parsed.query:
        return uri
    return f"{uri}{'&' if parsed.query else '?'}split={split}"


def prepare_parts(
    uri: str, params: PreprocessParams, data: DataRecipe, *, split: str = "train", estimate: bool = True
) -> PreparedParts:
    """Prepare every good part of `uri`; for the train split the class-level depth range is estimated first.

    With `estimate=False` the range of `params` is kept, as for a run that has its range already.

    Both modalities are prepared where the frames have them, so that the part's outline is known even when one is not
    trained on. Raises ConfigError without good parts, when all hold the same pixels, or when categories are mixed. A
    single damaged or refused frame becomes a note.
    """
    if split == "train" and estimate:
        params = _with_height_range(uri, params, data, split)
    preprocessors: dict[str, Preprocessor] = {}
    rows: list[_Row] = []
    notes: list[str] = []
    for frame in good_frames(uri, split, notes):
        try:
            modalities = _present(frame, params)
            if modalities not in preprocessors:
                preprocessors[modalities] = Preprocessor(replace(params, modalities=modalities))
            rows.append(_row(frame, preprocessors[modalities](frame), params.size))
        except FrameRefused as error:
            notes.append(f"{_name(frame)} is left out: {error}")
    _check_parts(rows, uri, split, notes)
    notes += _warnings(rows, split)
    first = rows[0]
    return PreparedParts(
        color=np.stack([row.color for row in rows]),
        depth=np.stack([row.depth for row in rows]),
        foreground=np.stack([row.foreground for row in rows]),
        valid=np.stack([row.valid for row in rows]),
        params=params,
        names=tuple(row.name for row in rows),
        category=first.category,
        intrinsics=first.intrinsics,
        serial=first.serial,
        sha256=data_sha256(uri, split, [row.digest for row in rows]),
        limits=_limits(rows),
        notes=tuple(notes),
    )


def _present(frame: Frame, params: PreprocessParams) -> str:
    """The modalities to prepare: those that are trained on, and the other one where the frame has it."""
    color = params.uses_color or frame.color is not None
    depth = params.uses_depth or frame.depth is not None
    return "rgbd" if color and depth else "rgb" if color else "depth"


@dataclass(frozen=True)
class _Row:
    """One prepared part, copied out of the preprocessor's buffers."""

    name: str
    category: str
    color: npt.NDArray[np.float32]
    depth: npt.NDArray[np.float32]
    foreground: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]
    intrinsics: Intrinsics
    serial: str
    digest: str
    statistics: dict[str, float]


def _row(frame: Frame, prepared: Prepared, size: tuple[int, int]) -> _Row:
    color, depth = prepared.color_input, prepared.depth_input
    return _Row(
        name=_name(frame),
        category=frame.sample.category if frame.sample else "",
        color=np.zeros((3, *size), np.float32) if color is None else color[0].copy(),
        depth=np.zeros(size, np.float32) if depth is None else depth[0, 0].copy(),
        foreground=prepared.foreground.copy(),
        valid=prepared.valid.copy(),
        intrinsics=frame.intrinsics,
        serial=frame.serial,
        digest=frame_digest(frame),
        statistics=_statistics(frame, prepared),
    )


def _name(frame: Frame) -> str:
    return frame.name or f"{frame.index:06d}"


def _statistics(frame: Frame, prepared: Prepared) -> dict[str, float]:
    """A few numbers of a part that differ strongly only when the part or the shot is wrong."""
    numbers: dict[str, float] = {}
    if frame.color is not None:
        gray = frame.color.mean(axis=2)
        numbers |= {"color_mean": float(gray.mean()), "color_std": float(gray.std())}
    if prepared.depth_m is not None and prepared.depth_input is not None:
        measured = prepared.depth_m[prepared.depth_m > 0]
        low, high = np.percentile(measured, (0.5, 99.5))
        relief = prepared.depth_input[0, 0][prepared.foreground]
        numbers |= {
            "valid_depth": prepared.valid_ratio,
            "depth_low_m": float(low),
            "depth_high_m": float(high),
            "foreground": float(prepared.foreground.mean()),
            "relief_mean": float(relief.mean()),
        }
    return numbers


def _with_height_range(uri: str, params: PreprocessParams, data: DataRecipe, split: str) -> PreprocessParams:
    """`params` whose depth range is the percentile range of foreground heights over all good parts."""
    if params.depth_rule != "height_range" or params.background == "none":
        return params
    # With this range the network input is height * 0.8 + 0.1.
    preprocess = Preprocessor(replace(params, modalities="depth", depth_low=0.0, depth_high=1.0))
    heights = []
    for frame in good_frames(uri, split):
        if frame.depth is None and not params.uses_depth:
            continue
        try:
            prepared = preprocess(frame)
        except FrameRefused:
            continue  # reported by the second pass
        assert prepared.depth_input is not None
        measured = prepared.depth_input[0, 0][prepared.foreground & prepared.valid]
        heights.append((measured - FLOOR) / HEIGHT_SPAN)
    if not heights:
        return params  # the second pass says why
    low, high = np.percentile(np.concatenate(heights), data.height_percentiles)
    if not high > low:
        raise ConfigError(f"the good parts of {uri} have no relief: heights from {low:.5f} to {high:.5f} m; "
                          "lower preprocess.foreground_m, or train with --modalities rgb")
    return replace(params, depth_low=round(float(low), 6), depth_high=round(float(high), 6))


def _check_parts(rows: list[_Row], uri: str, split: str, notes: list[str]) -> None:
    if not rows:
        cause = f"; every frame was refused, the first because: {notes[0]}" if notes else ""
        raise ConfigError(f"{uri} has no usable good part in split {split!r}, at least 1 is needed{cause}")
    categories = sorted({row.category for row in rows})
    if len(categories) > 1:
        raise ConfigError(f"{uri} mixes categories {', '.join(categories)}; a detector is trained for one: "
                          f"add /{categories[0]} to the address")
    sizes = {(row.intrinsics.width, row.intrinsics.height) for row in rows}
    if len(sizes) > 1:
        raise ConfigError(f"{uri} mixes frame sizes {sorted(sizes)}; one camera setting per category is expected")
    if split == "train" and len(rows) > 1 and len({row.digest for row in rows}) == 1:
        raise ConfigError(f"all {len(rows)} good parts of {uri} hold the same pixels; a detector needs different "
                          "parts (or shots), record them again")


def _warnings(rows: list[_Row], split: str) -> list[str]:
    if split != "train":
        return []
    notes = []
    if len(rows) <= 2:
        notes.append(f"only {len(rows)} good part{'s' if len(rows) > 1 else ''}: the detector will not know how good "
                     "parts differ; expect false rejects, 20 or more parts are advised")
    copies = len(rows) - len({row.digest for row in rows})
    if copies:
        notes.append(f"{copies} of {len(rows)} good parts are exact copies of others; they teach nothing new")
    return notes + suspects([row.name for row in rows], [row.statistics for row in rows])


def _limits(rows: list[_Row]) -> dict[str, float]:
    """Smallest and largest value of each statistic over the parts: `NAME.min`, `NAME.max`."""
    limits: dict[str, float] = {}
    for name in rows[0].statistics:
        values = [row.statistics[name] for row in rows]
        limits |= {f"{name}.min": min(values), f"{name}.max": max(values)}
    return limits
