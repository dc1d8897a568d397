# SPDX-License-Identifier: Apache-2.0
"""What is lost while one modality decides alone: two bundles on the same labelled parts, each at its own threshold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

import rasant
from rasant import metrics
from rasant.bundle.stand_in_schema import StandIn
from rasant.intervals import auroc_change_interval
from rasant_calibration.certify import PairedScores

__all__ = ["declare_loss", "labelled"]


def labelled(frames: Iterable[rasant.Frame]) -> Iterator[rasant.Frame]:
    """The frames as they come. Raises ConfigError at one without a label."""
    for frame in frames:
        if frame.sample is None:
            raise rasant.ConfigError(
                f"frame {frame.index} of {frame.source} has no label; what is lost shows on labelled good and "
                "defective parts, e.g. dataset:parts/bracket?split=test"
            )
        yield frame


def declare_loss(
    found: PairedScores, of: rasant.Bundle, thresholds: tuple[float, float], *, seed: int = 0
) -> StandIn:
    """What a manifest says of it.

    found: the stand-in's scores of labelled frames, those of `of` as the reference. thresholds: of both, in this order.
    Raises ConfigError unless good and defective parts have a score from both, ThresholdError where every defective one
    passes.
    """
    defective = np.array(found.defective, np.bool_)
    n_defective, n_good = int(defective.sum()), int((~defective).sum())
    scores, scores_of = np.array(found.scores), np.array(found.reference)
    change = auroc_change_interval(scores, scores_of, defective, seed=seed)
    if change is None:
        raise rasant.ConfigError(
            "what is lost shows on good and on defective parts that have both colour and depth; scored were "
            f"{n_good} good and {n_defective} defective ones, {found.unknown} frames got no score"
        )
    passed, passed_of = scores < thresholds[0], scores_of < thresholds[1]
    if passed[defective].all():
        raise rasant.ThresholdError(
            f"it would pass everything: all of {n_defective} defective parts score below its threshold "
            f"{thresholds[0]:.4g} (I-AUROC {metrics.image_auroc(scores.tolist(), defective):.3f}); train it longer, or "
            "on the other modality"
        )
    return StandIn(
        of=of.sha256, data_sha256=found.sha256, n_good=n_good, n_defective=n_defective, n_unknown=found.unknown,
        i_auroc=float(metrics.image_auroc(scores.tolist(), defective)),
        i_auroc_of=float(metrics.image_auroc(scores_of.tolist(), defective)), i_auroc_change=change,
        escapes=int((passed & defective).sum()), escapes_of=int((passed_of & defective).sum()),
        false_rejects=int((~passed & ~defective).sum()), false_rejects_of=int((~passed_of & ~defective).sum()),
    )  # fmt: skip
