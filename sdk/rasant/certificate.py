# SPDX-License-Identifier: Apache-2.0
"""Does an engine on this machine say what the bundle was proven to say? The golden frames tell, before the first part.

Golden frames are good parts as the camera gave them, what preprocessing made of them, and what the network answered in
training. All three are looked at again: a changed constant, a damaged weight, a runtime that rounds otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rasant.engines import Engine
from rasant.entropy_gate import COLOR_HEAD, FUSED_HEAD, EntropyGate
from rasant.errors import CertificateError
from rasant.ops.score import score_map
from rasant.preprocess import Preprocessor
from rasant.types import Frame, Intrinsics

if TYPE_CHECKING:
    from rasant.bundle import Bundle
    from rasant.bundle.manifest import Certificate

__all__ = ["LIMITS", "Agreement", "check_certificate", "measure_agreement", "refusal"]

# What an engine may differ by where no certificate says it: anomaly map, by precision of the graph. And the least that
# a certificate allows, since machines with other vector units round otherwise.
LIMITS = {"fp32": 1e-3, "fp16": 3e-2, "int8": 0.25}
FLOORS = {"fp32": 2e-4, "fp16": 1e-2, "int8": 0.1}
INPUT_LIMIT = 1e-4  # network input units: preprocessing is the same code everywhere
FRAMES_AT_LOAD = 2

Golden = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Differences to the golden frames: network inputs, anomaly maps, scores; and verdicts that differ.

    input_max: None without raw frames. float_map_max: to the float network, None where the graph is not quantised.
    flips: None without a threshold.
    """

    frames: int
    input_max: float | None
    map_max: float
    map_mean: float
    score_max: float
    float_map_max: float | None
    flips: int | None


def measure_agreement(bundle: Bundle, engine: Engine, *, frames: int | None = None) -> Agreement | None:
    """Run the golden frames through preprocessing and an open engine; None for a bundle without golden frames.

    frames: at most so many. A graph of tiles is asked for its tiles alone. A value that is not finite counts as 1.
    Raises EngineError.
    """
    golden = bundle.golden()
    if not golden:
        return None
    manifest = bundle.manifest
    count = len(golden["logits"]) if frames is None else min(frames, len(golden["logits"]))
    raw = manifest.tiles is None and manifest.parity.frames is not None
    preprocess = Preprocessor(manifest.preprocess.to_params()) if raw else None
    gate = None if manifest.gate is None else manifest.gate.to_params()
    inputs, maps, scores, floats, flips = [0.0], [], [], [], 0
    for index in range(count):
        for name, array in engine.inputs.items():
            array[:] = golden[name][index]
        if preprocess is not None:
            preprocess(_frame(bundle, golden, index), engine.inputs.get("color"), engine.inputs.get("depth"))
            inputs += [_largest(engine.inputs[name][0] - golden[name][index]) for name in engine.inputs]
        engine.infer()
        kernel, threshold = manifest.postprocess.kernel, manifest.decision.threshold
        answers = {name: array[0] for name, array in engine.outputs.items()}
        goldens = {name: golden[name][index] for name in answers}
        for head in (FUSED_HEAD,) if gate is None else (FUSED_HEAD, COLOR_HEAD):
            found, score = _answer(answers[head], kernel)
            wanted, golden_score = _answer(goldens[head], kernel)
            maps.append(np.abs(found - wanted))
            scores.append(abs(score - golden_score))
            if head == FUSED_HEAD and "float.logits" in golden:
                floats.append(_largest(found - _answer(golden["float.logits"][index], kernel)[0]))
        decided, golden_score = (_answer(one[_head(one, gate)], kernel)[1] for one in (answers, goldens))
        flips += threshold is not None and (decided >= threshold) != (golden_score >= threshold)
    return Agreement(
        frames=count, input_max=max(inputs) if raw else None, map_max=max(map(_largest, maps)),
        map_mean=float(np.mean([np.nan_to_num(one, nan=1.0).mean() for one in maps])), score_max=_largest(scores),
        float_map_max=max(floats) if floats else None, flips=None if manifest.decision.threshold is None else flips,
    )


def refusal(found: Agreement, input_limit: float, map_limit: float) -> str:
    """What is wrong, with the measured difference; "" if nothing is."""
    if found.input_max is not None and not found.input_max <= input_limit:
        return (
            f"preprocessing gives network inputs that differ from the golden ones by {found.input_max:.3g}, at most "
            f"{input_limit:.3g} is allowed: the manifest's preprocessing is not the one that the network is proven with"
        )
    if not found.map_max <= map_limit:
        return (
            f"its anomaly maps differ from the golden ones by {found.map_max:.3g} (scores by {found.score_max:.3g}), "
            f"at most {map_limit:.3g} is allowed: the network or the runtime is not the one that was certified"
        )
    return ""


def check_certificate(bundle: Bundle, engine: Engine) -> str:
    """Compare an engine with the golden frames when a bundle is loaded; returns in a sentence what was found.

    The tolerance is that of the engine's certificate, else the limit of the graph's precision. Raises CertificateError
    where it is exceeded, EngineError where the engine fails.
    """
    found = measure_agreement(bundle, engine, frames=FRAMES_AT_LOAD)
    if found is None:
        return "the bundle has no golden frames: nothing proves this engine"
    certificate = find_certificate(bundle, engine)
    tolerance = INPUT_LIMIT, LIMITS[bundle.manifest.detector.precision]
    if certificate is not None:
        tolerance = certificate.tolerance.input, certificate.tolerance.map
    text = refusal(found, *tolerance)
    if text:
        raise CertificateError(
            f"{bundle.name or 'the bundle'} on {engine.info}: {text}; export the bundle again, or run `rasant certify` "
            "and look at what it says"
        )
    proven = "certified" if certificate is not None else "not certified, yet"
    return f"{proven} within {tolerance[1]:.2g} of the golden maps: {found.map_max:.2g} here"


def find_certificate(bundle: Bundle, engine: Engine) -> Certificate | None:
    """The newest certificate of the engine's runtime and device kind."""
    kind = engine.info.device.partition(":")[0]
    mine = [
        one for one in bundle.manifest.certificates if one.engine == engine.info.name and one.device == kind
    ]
    return max(mine, key=lambda one: one.created, default=None)


def _head(outputs: Golden, gate: EntropyGate | None) -> str:
    """Which of one frame's outputs decides."""
    return FUSED_HEAD if gate is None or gate.opens(outputs["pooled"][None])[0] else COLOR_HEAD


def _answer(logits: npt.NDArray[np.float32], kernel: int) -> tuple[npt.NDArray[np.float32], float]:
    raw = np.empty(logits.shape[1:], np.float32)
    return raw, score_map(np.ascontiguousarray(logits), kernel=kernel, out_raw=raw).score


def _largest(difference: npt.ArrayLike) -> float:
    """Largest magnitude; infinity where anything is not finite, so that no comparison passes it."""
    magnitude = np.abs(np.asarray(difference, np.float64))
    return float(magnitude.max(initial=0.0)) if np.isfinite(magnitude).all() else float("inf")


def _frame(bundle: Bundle, golden: Golden, index: int) -> Frame:
    camera = bundle.manifest.parity.frames
    assert camera is not None
    values = camera.model_dump(exclude={"depth_scale"})
    images = {name: golden[f"frame.{name}"][index] for name in ("color", "depth") if f"frame.{name}" in golden}
    return Frame(
        images.get("color"), images.get("depth"), camera.depth_scale, Intrinsics(**values), index, "golden", 0
    )
