# SPDX-License-Identifier: Apache-2.0
"""The trivial detector is honest: it sees what the network sees, and finds what differs from the mean good part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from labelled import labelled_frame
from rasant.baseline import TrainMean
from rasant.errors import ConfigError
from rasant.preprocess import PreprocessParams
from rasant.types import Verdict

PARAMS = PreprocessParams(size=(48, 64), background="none", depth_rule="metric", fill_passes=0)


def fitted(params: PreprocessParams = PARAMS) -> TrainMean:
    """A baseline that has seen eight good plates."""
    baseline = TrainMean(params, kernel=5)
    assert baseline.fit(labelled_frame("good", i) for i in range(8)) == 8
    return baseline


@pytest.mark.parametrize("label", ["dent", "stain"])
def test_defects_score_above_good_parts(label: str) -> None:
    """On aligned plates a dent or a stain scores above every good part, and the map peaks inside the truth."""
    baseline = fitted()
    good = [baseline(labelled_frame("good", 50 + i)).score for i in range(6)]
    frame = labelled_frame(label, 90)
    inspection = baseline(frame)
    assert inspection.score > max(good)
    assert inspection.pooled_map is not None
    assert inspection.verdict is Verdict.UNKNOWN  # it has no threshold
    y, x = np.unravel_index(int(inspection.pooled_map.argmax()), inspection.pooled_map.shape)
    at = inspection.frame_from_map @ np.array([x, y, 1.0])
    assert frame.sample is not None
    assert frame.sample.truth is not None
    assert frame.sample.truth[round(at[1]), round(at[0])]


def test_only_the_modalities_of_the_bundle_are_seen() -> None:
    """A colour-only baseline is blind to a dent, as a colour-only network is."""
    baseline = fitted(replace(PARAMS, modalities="rgb"))
    assert baseline(labelled_frame("stain", 90)).score > 2 * baseline(labelled_frame("dent", 91)).score


def test_a_frame_that_cannot_be_prepared_is_unknown() -> None:
    """A frame without depth gets no score, and no exception."""
    inspection = fitted()(replace(labelled_frame("good", 0), depth=None))
    assert inspection.anomaly_map is None
    assert np.isnan(inspection.score)


def test_nothing_to_learn_from_is_refused() -> None:
    """No usable training part, or no fit at all, is a ConfigError."""
    with pytest.raises(ConfigError, match="at least one good"):
        TrainMean(PARAMS, kernel=5).fit([])
    with pytest.raises(ConfigError, match="fit"):
        TrainMean(PARAMS, kernel=5)(labelled_frame("good", 0))
