# SPDX-License-Identifier: Apache-2.0
"""What a manifest says about conversions: golden frames, quantisation, and the certificates of engines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from rasant.bundle.schema import Name, Ratio, Sha256, Strict, Text, sorted_keys

__all__ = ["Certificate", "DataSetResult", "GoldenFrames", "Quantisation", "Tolerance"]


class GoldenFrames(Strict):
    """The camera of the raw frames `frame.color` and `frame.depth` (F, H, W) behind the golden inputs, which prove the
    preprocessing as the golden outputs prove the network. Fields as in `rasant.Intrinsics`."""

    depth_scale: PositiveFloat
    width: PositiveInt
    height: PositiveInt
    fx: PositiveFloat
    fy: PositiveFloat
    cx: FiniteFloat
    cy: FiniteFloat
    distortion_model: Name = "none"
    distortion: Annotated[tuple[FiniteFloat, ...], Field(max_length=14)] = ()


class Quantisation(Strict):
    """How the detector became 8-bit integers or float16.

    method: the rule of the ranges, or "fp16". frames: those that set the ranges, good ones and the same with synthetic
    defects; data_sha256: of the good ones' pixels. probes: frames, half with a synthetic defect, on which the rest was
    chosen. score_mean, score_max, map_max: difference to the float graph on them. float_nodes: nodes left in float32,
    float_share: their part of the multiply-adds.
    """

    method: Name
    frames: PositiveInt
    probes: PositiveInt
    data_sha256: Sha256
    score_mean: NonNegativeFloat
    score_max: NonNegativeFloat
    map_max: NonNegativeFloat
    float_nodes: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    float_share: Ratio = 0.0
    versions: Annotated[dict[Name, Text], AfterValidator(sorted_keys)] = Field(default_factory=dict)


class Tolerance(Strict):
    """What an engine may differ from the golden frames by, on any machine: network inputs, and anomaly map."""

    input: NonNegativeFloat
    map: NonNegativeFloat


class DataSetResult(Strict):
    """An engine against the reference on a data set: `n` frames with a score in both, `n_unknown` without.

    reference: bundle whose graph ONNX Runtime ran beside it. rank_correlation: Spearman's, None where scores are equal.
    flips: verdicts that differ, None without a threshold. i_auroc and the rest: None where a class is missing.
    """

    source: Text
    data_sha256: Sha256
    reference: Sha256
    n: NonNegativeInt
    n_unknown: NonNegativeInt
    map_max: NonNegativeFloat
    map_mean: NonNegativeFloat
    score_max: NonNegativeFloat
    score_mean: NonNegativeFloat
    rank_correlation: Annotated[float, Field(ge=-1.0, le=1.0)] | None
    flips: NonNegativeInt | None
    i_auroc: Ratio | None
    i_auroc_reference: Ratio | None
    i_auroc_change: tuple[FiniteFloat, FiniteFloat] | None  # 95 % interval of the difference, paired bootstrap


class Certificate(Strict):
    """What one engine made of the golden frames, on which machine, and what a target may differ by.

    device: its kind, "cpu", "cuda" or another, without a number. Differences are those of network inputs, anomaly maps
    and scores to the golden ones. float_map_max: to the float network, where the graph is quantised and the golden
    outputs are its own.
    """

    engine: Name
    version: Text
    provider: Text
    device: Name
    precision: Literal["fp32", "fp16", "int8"]
    machine: Text
    created: AwareDatetime
    frames: PositiveInt
    input_max: NonNegativeFloat | None
    map_max: NonNegativeFloat
    map_mean: NonNegativeFloat
    score_max: NonNegativeFloat
    float_map_max: NonNegativeFloat | None
    flips: NonNegativeInt | None
    tolerance: Tolerance
    data: DataSetResult | None = None
