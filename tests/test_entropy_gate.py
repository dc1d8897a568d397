# SPDX-License-Identifier: Apache-2.0
"""EasyNet's gate: the histogram's entropy by hand, one decision a sample, and no answer from what is not finite."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from rasant.bundle import read_bundle
from rasant.bundle.gate_schema import Gate
from rasant.bundle.manifest import parse_manifest
from rasant.entropy_gate import EntropyGate, histogram_entropy
from rasant.errors import ManifestError


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([0.1, 0.1, 0.1, 0.1], 0.0),  # one bin
        ([0.1, 0.2, 0.3, 0.4], 2.0),  # four bins
        ([0.1, 0.1, 0.3, 0.3], 1.0),
        ([0.1, 0.3, -0.2, 1.5], 1.0),  # below 0 and above 1: not counted
        ([-1.0, 1.001, 7.0, -0.001], 0.0),  # nothing counted
        ([0.0, 1.0, 1.0, 0.0], 1.0),  # both ends belong to the range, 1 to the last bin
        ([0.999, 1.0, 1.0, 1.0], 0.0),
        ([0.0, 1 / 256, 1 / 257, 2 / 256], 1.5),  # an edge belongs to the bin above it
        ([0.1, 0.1, 0.1, 0.9], 0.8112781245),
    ],
)
def test_the_entropy_of_a_histogram_by_hand(values: list[float], bits: float) -> None:
    """Shannon entropy in bits over 256 bins of [0, 1]."""
    assert histogram_entropy(np.array([values]))[0] == pytest.approx(bits, abs=1e-9)


@given(arrays(np.float32, (3, 40), elements=st.floats(-0.5, 1.5, width=32)))
def test_the_entropy_is_that_of_numpys_histogram(values: np.ndarray) -> None:
    """As numpy.histogram counts, row by row."""
    expected = []
    for row in values.astype(np.float64):
        counts = np.histogram(row, bins=256, range=(0.0, 1.0))[0]
        share = counts[counts > 0] / max(counts.sum(), 1)
        expected.append(-(share * np.log2(share)).sum())
    found = histogram_entropy(values)
    assert found == pytest.approx(expected, abs=1e-9)
    assert ((found >= 0) & (found <= 8)).all()


POOLED = np.array(  # colour 2 features, depth 2 more
    [
        [0.1, 0.1, 0.1, 0.1],  # depth adds nothing: 0 bits
        [0.1, 0.1, 0.3, 0.3],  # adds 1 bit
        [0.1, 0.3, 0.1, 0.1],  # takes 0.19 bits away
        [0.1, 0.3, -2.0, 2.0],  # features outside of the range add nothing
    ],
    np.float32,
)


@pytest.mark.parametrize(
    ("mode", "alpha", "opens"),
    [
        ("open", 5.0, [True, True, True, True]),
        ("off", -5.0, [False, False, False, False]),
        ("entropy", 0.0, [True, True, False, True]),  # equal entropies open it, as released
        ("entropy", 0.5, [False, True, False, False]),
        ("entropy", 1.0, [False, True, False, False]),
        ("entropy", -0.2, [True, True, True, True]),
    ],
)
def test_the_gates_table(mode: str, alpha: float, opens: list[bool]) -> None:
    """Each sample of a batch is decided by its own features, alone or among others."""
    gate = Gate(mode=mode, color_features=2, alpha=alpha).to_params()  # type: ignore[arg-type]
    assert gate.opens(POOLED).tolist() == opens
    assert [bool(gate.opens(one[None])[0]) for one in POOLED] == opens
    fused, color = np.ones((4, 2, 3, 3), np.float32), np.zeros((4, 2, 3, 3), np.float32)
    chosen = gate.logits({"logits": fused, "logits_color": color, "pooled": POOLED})
    assert chosen[:, 0, 0, 0].astype(bool).tolist() == opens


@pytest.mark.parametrize("name", ["logits", "logits_color", "pooled"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_no_answer(name: str, wrong: float) -> None:
    """Even in the head that does not count: that sample's logits are NaN, so its verdict is UNKNOWN; others stay."""
    outputs = {"logits": np.ones((4, 2, 3, 3), np.float32), "logits_color": np.ones((4, 2, 3, 3), np.float32),
               "pooled": POOLED.copy()}
    outputs[name][(1, *[0] * (outputs[name].ndim - 1))] = wrong
    chosen = EntropyGate("entropy", 2).logits(outputs)
    assert np.isnan(chosen[1]).all()
    assert np.isfinite(chosen[[0, 2, 3]]).all()


@pytest.mark.parametrize("wrong", [{"mode": "ajar"}, {"color_features": 0}, {"alpha": 9.0}, {"alpha": float("nan")}])
def test_a_manifest_cannot_state_a_senseless_gate(wrong: dict[str, object]) -> None:
    """Unknown modes, no features, and an alpha that no entropy can reach are refused."""
    with pytest.raises(ValidationError):
        Gate.model_validate({"mode": "entropy", "color_features": 2, **wrong})


def test_a_gate_needs_both_heads_of_whole_images(tiny_bundle: Path) -> None:
    """A manifest whose graph lacks a head or the features, sees one modality or runs on tiles, has no gate."""
    values = read_bundle(tiny_bundle).manifest.model_dump(mode="json")
    values["gate"] = {"mode": "entropy", "color_features": 2}
    outputs = values["graphs"]["detector"]["outputs"]

    def refusal() -> str:
        try:
            parse_manifest(json.dumps(values).encode())
        except ManifestError as error:
            return str(error)
        return ""

    assert "logits_color" in refusal()
    outputs += [{"name": "logits_color", "shape": [1, 2, 64, 64]}, {"name": "pooled", "shape": [1, 3]}]
    assert "pooled" in refusal()
    outputs[-1]["shape"] = [1, 4]
    assert refusal() == ""
    values["preprocess"]["roi"], values["tiles"] = [0, 0, 64, 64], {"size": [64, 64], "overlap": 0}
    assert "without tiles" in refusal()
