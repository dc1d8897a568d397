# SPDX-License-Identifier: Apache-2.0
"""The strict schema of `manifest.json`: everything a bundle says about itself.

Unknown keys, values of another type, NaN and infinity are refused, and the error names the key (`decision.threshold:
...`). Lengths are metres, times milliseconds, sizes (rows, cols) unless a name says otherwise.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from rasant.bundle.conversion_schema import Certificate, GoldenFrames, Quantisation
from rasant.bundle.gate_schema import Gate
from rasant.bundle.preprocess_schema import Preprocess, Tiles
from rasant.bundle.schema import FileName, Name, Ratio, Sha256, Strict, Text, sorted_keys
from rasant.bundle.stand_in_schema import StandIn
from rasant.errors import ManifestError, ThresholdError
from rasant.tiles import lay_tiles

__all__ = [
    "MANIFEST_BYTES_MAX",
    "MANIFEST_NAME",
    "Attribution",
    "Camera",
    "Certificate",
    "Decision",
    "Exposure",
    "FalseRejectBound",
    "FileEntry",
    "Gate",
    "GoldenFrames",
    "GraphSpec",
    "Level",
    "Manifest",
    "Parity",
    "ParityRecord",
    "Postprocess",
    "Preprocess",
    "Quantisation",
    "StandIn",
    "TensorSpec",
    "Tiles",
    "Training",
    "Validity",
    "check_threshold",
    "dump_manifest",
    "parse_manifest",
]

MANIFEST_NAME = "manifest.json"
MANIFEST_BYTES_MAX = 1 << 20

class TensorSpec(Strict):
    """One input or output of a graph. Shapes are static; the only dtype at a graph's border is float32."""

    name: Name
    shape: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=6)]
    dtype: Literal["float32"] = "float32"


class GraphSpec(Strict):
    """One ONNX graph: where it is, and what it must look like."""

    file: FileName
    opset: Annotated[int, Field(ge=13, le=25)]
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1, max_length=8)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1, max_length=8)]


class FileEntry(Strict):
    """Size in bytes and SHA-256 of one file of the bundle."""

    sha256: Sha256
    size: NonNegativeInt


class Postprocess(Strict):
    """From logits to scores.

    kernel: side of the box mean, odd, map pixels. score_range: smallest and largest possible score, None = unbounded.
    pixel_map: which map P-AUROC and AUPRO use. ignore_mask: 8-bit PNG at network size, non-zero = never scored.
    mask_to_foreground: score only the foreground, widened by foreground_dilate_px map pixels.
    """

    kernel: Annotated[int, Field(ge=1, le=127)] = 21
    score_range: tuple[float, float | None] = (0.0, 1.0)
    pixel_map: Literal["raw", "pooled"] = "raw"
    ignore_mask: FileName | None = None
    mask_to_foreground: bool = False
    foreground_dilate_px: Annotated[int, Field(ge=0, le=255)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Postprocess:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd so that the mean has a centre, got {self.kernel}")
        low, high = self.score_range
        if high is not None and high <= low:
            raise ValueError(f"score_range must grow, got [{low}, {high}]")
        return self


class FalseRejectBound(Strict):
    """Confidence interval of the false-reject rate that a threshold has on good parts."""

    level: Annotated[float, Field(gt=0.0, lt=1.0)]
    low: Ratio
    high: Ratio


class Decision(Strict):
    """The threshold on the raw pooled score, and how it was chosen. `threshold` None: not calibrated yet.

    n_good: good parts it was chosen from, n_unknown of which got no verdict. margin: score units added to the highest
    good score. data_sha256: of those parts.
    """

    threshold: float | None = None
    rule: Text = ""
    target_false_reject: Ratio | None = None
    n_good: NonNegativeInt = 0
    n_unknown: NonNegativeInt = 0
    margin: NonNegativeFloat = 0.0
    false_reject_bound: FalseRejectBound | None = None
    data_sha256: Sha256 | None = None
    note: Text = ""


class Exposure(Strict):
    """Limits of the colour image, in 8-bit levels."""

    min_mean: Annotated[float, Field(ge=0.0, le=255.0)] = 4.0
    max_mean: Annotated[float, Field(ge=0.0, le=255.0)] = 251.0
    min_std: Annotated[float, Field(ge=0.0, le=255.0)] = 1.0


class Validity(Strict):
    """What a frame must satisfy before its score may mean PASS."""

    min_valid_depth: Ratio = 0.5
    depth_range_m: tuple[NonNegativeFloat, PositiveFloat] = (0.05, 10.0)
    max_age_ms: PositiveFloat | None = 500.0
    deadline_ms: PositiveFloat | None = None
    exposure: Exposure = Exposure()

    @model_validator(mode="after")
    def _consistent(self) -> Validity:
        if self.depth_range_m[0] >= self.depth_range_m[1]:
            raise ValueError(f"depth_range_m must grow, got {list(self.depth_range_m)}")
        if self.exposure.min_mean >= self.exposure.max_mean:
            raise ValueError(f"exposure.min_mean must be below max_mean, got {self.exposure.min_mean}")
        return self


class Camera(Strict):
    """The camera that a bundle is bound to; None means any."""

    width: PositiveInt
    height: PositiveInt
    serial: Text | None = None
    calibration_id: Text | None = None


class Level(Strict):
    """Mean and standard deviation of a quantity on good parts."""

    mean: NonNegativeFloat
    std: PositiveFloat


class Attribution(Strict):
    """Reconstruction residual of each modality on good parts, so that a region can say which modality fired."""

    color: Level | None = None
    depth: Level | None = None


class ParityRecord(Strict):
    """How far one engine's `logits` were from the trainer's own, over `frames` golden frames."""

    engine: Text
    versions: Annotated[dict[Name, Text], AfterValidator(sorted_keys)]
    max_abs: NonNegativeFloat
    mean_abs: NonNegativeFloat
    frames: PositiveInt


class Parity(Strict):
    """Golden inputs and outputs of the network (a safetensors file), and how near the exported graph came to them.

    frames: the camera of the raw frames in the same file, None where it has none.
    """

    golden: FileName | None = None
    frames: GoldenFrames | None = None
    records: tuple[ParityRecord, ...] = ()


class Training(Strict):
    """What the network was trained on and with, so that it can be trained again."""

    data_sha256: Sha256 | None = None
    seed: NonNegativeInt = 0
    steps: NonNegativeInt = 0
    recipe: Annotated[str, Field(max_length=100_000)] = ""
    versions: Annotated[dict[Name, Text], AfterValidator(sorted_keys)] = Field(default_factory=dict)


class Manifest(Strict):
    """`manifest.json`, schema version 1. `graphs` holds "detector", the network whose output `logits` is scored."""

    schema_version: Literal[1] = 1
    method: Name
    preset: Name
    category: Text
    created: AwareDatetime
    licence: Text
    graphs: Annotated[dict[Name, GraphSpec], AfterValidator(sorted_keys), Field(max_length=8)]
    files: Annotated[dict[FileName, FileEntry], AfterValidator(sorted_keys), Field(max_length=64)]
    preprocess: Preprocess
    tiles: Tiles | None = None
    gate: Gate | None = None
    postprocess: Postprocess = Postprocess()
    decision: Decision = Decision()
    stand_in: StandIn | None = None
    validity: Validity = Validity()
    camera: Camera | None = None
    attribution: Attribution = Attribution()
    parity: Parity = Parity()
    quantisation: Quantisation | None = None
    certificates: Annotated[tuple[Certificate, ...], Field(max_length=32)] = ()
    training: Training = Training()
    minimum_versions: Annotated[dict[Name, Text], AfterValidator(sorted_keys)] = Field(default_factory=dict)
    metrics: Annotated[dict[Text, float], AfterValidator(sorted_keys), Field(max_length=1000)] = Field(
        default_factory=dict
    )

    @property
    def detector(self) -> GraphSpec:
        """The graph that is run on every frame."""
        return self.graphs["detector"]

    @property
    def region_size(self) -> tuple[int, int] | None:
        """(rows, cols) of the region of interest, else of the camera's frame; None where neither is stated."""
        if self.preprocess.roi is not None:
            return self.preprocess.roi[3], self.preprocess.roi[2]
        return None if self.camera is None else (self.camera.height, self.camera.width)

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if "detector" not in self.graphs:
            raise ValueError(f'graphs: expected a graph named "detector", got {sorted(self.graphs)}')
        _check_references(self)
        _check_detector(self)
        if self.stand_in is not None and len(self.preprocess.input_channels) > 1:
            raise ValueError("stand_in: only a bundle of one modality stands in for one of both, this one uses both")
        if self.decision.threshold is not None:
            try:
                check_threshold(self.decision.threshold, self.postprocess.score_range)
            except ThresholdError as error:
                raise ValueError(f"decision.threshold: {error}") from error
        return self


def _check_references(manifest: Manifest) -> None:
    named = {f"graphs.{name}.file": graph.file for name, graph in manifest.graphs.items()}
    if manifest.postprocess.ignore_mask is not None:
        named["postprocess.ignore_mask"] = manifest.postprocess.ignore_mask
    if manifest.parity.golden is not None:
        named["parity.golden"] = manifest.parity.golden
    for key, file in named.items():
        if file not in manifest.files:
            raise ValueError(f"{key}: {file!r} is not listed in files, which has {sorted(manifest.files)}")


def _check_detector(manifest: Manifest) -> None:
    batch, (rows, cols) = 1, manifest.preprocess.size
    if manifest.tiles is not None:
        if manifest.region_size is None:
            raise ValueError("tiles: preprocess.roi or camera must say how large the region is that they are cut from")
        lay_tiles((rows, cols), manifest.tiles.to_params())
        batch, (rows, cols) = manifest.detector.inputs[0].shape[0], manifest.tiles.size
    channels = manifest.preprocess.input_channels
    expected_in = {name: (batch, n, rows, cols) for name, n in channels.items()}
    found_in = {spec.name: spec.shape for spec in manifest.detector.inputs}
    if found_in != expected_in:
        raise ValueError(
            "graphs.detector.inputs: preprocess.modalities and the size of tiles, else of preprocess, ask for "
            f"{expected_in}, got {found_in}"
        )
    found_out = {spec.name: spec.shape for spec in manifest.detector.outputs}
    allowed: dict[str, tuple[int, ...]] = {"logits": (batch, 2, rows, cols)}
    if manifest.gate is not None:
        if manifest.tiles is not None or len(channels) < 2:
            raise ValueError("gate: it decides between two heads over a whole image of both modalities, without tiles")
        allowed |= {"logits_color": allowed["logits"], "pooled": (batch, 2 * manifest.gate.color_features)}
    needed = set(allowed)
    allowed["residual"] = (batch, len(channels), rows, cols)
    if not needed <= set(found_out) or any(allowed.get(name) != shape for name, shape in found_out.items()):
        raise ValueError(f"graphs.detector.outputs: expected {allowed} (residual is optional), got {found_out}")


def check_threshold(threshold: float, score_range: tuple[float, float | None]) -> None:
    """Refuse a threshold that no score, or every score, can reach.

    Raises ThresholdError: not finite, at or above the largest possible score (would pass everything), or at or below
    the smallest (would reject everything).
    """
    low, high = score_range
    if not math.isfinite(threshold):
        raise ThresholdError(f"the threshold must be a finite number, got {threshold}: it would pass everything")
    if high is not None and threshold >= high:
        raise ThresholdError(f"{threshold} would pass everything: scores reach at most {high}; choose a smaller one")
    if threshold <= low:
        raise ThresholdError(f"{threshold} would reject everything: scores are at least {low}; choose a larger one")


def parse_manifest(data: bytes) -> Manifest:
    """Read `manifest.json`.

    Raises ManifestError that names each wrong key, for data that is not JSON, has duplicate keys, NaN, is nested too
    deep, is larger than 1 MiB, or does not satisfy the schema.
    """
    if len(data) > MANIFEST_BYTES_MAX:
        raise ManifestError(f"{MANIFEST_NAME} must be at most {MANIFEST_BYTES_MAX} bytes, got {len(data)}")
    try:
        json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ManifestError(f"{MANIFEST_NAME} is nested too deep") from None
    except ValueError as error:
        raise ManifestError(f"{MANIFEST_NAME} is not valid JSON: {error}") from error
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ManifestError(f"{MANIFEST_NAME} is refused: {_explain(error)}") from error


def dump_manifest(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`: the same manifest always gives the same bytes, which parse to an equal manifest."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=1, allow_nan=False) + "\n").encode("ascii")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)[:80]!r} is given twice")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")


def _explain(error: ValidationError, limit: int = 5) -> str:
    """`key.path: what was expected, got what`, for the first few errors."""
    lines = []
    for item in error.errors(include_url=False)[:limit]:
        path = ".".join(str(part) for part in item["loc"])
        text = re.sub(r"^Value error, ", "", item["msg"])
        value = "" if isinstance(item["input"], dict | list | BaseModel) else f", got {item['input']!r:.80}"
        if item["type"] in ("missing", "value_error"):
            value = ""
        lines.append(f"{path}: {text}{value}" if path else f"{text}{value}")
    more = error.error_count() - limit
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")
