# SPDX-License-Identifier: Apache-2.0
"""What a manifest says about standing in: what is lost where a bundle of one modality decides instead of both."""

from __future__ import annotations

from pydantic import FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from rasant.bundle.schema import Ratio, Sha256, Strict

__all__ = ["StandIn"]


class StandIn(Strict):
    """A bundle of one modality beside one of both, on the same labelled parts, each at its own threshold.

    of: the bundle of both, as it was when this was measured. data_sha256: of the pixels of all frames. n_good,
    n_defective: frames with a score from both, n_unknown without. escapes: defective parts that passed, false_rejects:
    good ones that did not; those of the bundle of both end in `_of`.
    """

    of: Sha256
    data_sha256: Sha256
    n_good: PositiveInt
    n_defective: PositiveInt
    n_unknown: NonNegativeInt
    i_auroc: Ratio
    i_auroc_of: Ratio
    i_auroc_change: tuple[FiniteFloat, FiniteFloat]  # 95 % interval of the difference, paired bootstrap
    escapes: NonNegativeInt
    escapes_of: NonNegativeInt
    false_rejects: NonNegativeInt
    false_rejects_of: NonNegativeInt

    @property
    def loss(self) -> str:
        """What is lost, for a person."""
        return (
            f"of {self.n_defective} defective parts it passes {self.escapes} instead of {self.escapes_of}, "
            f"of {self.n_good} good ones it rejects {self.false_rejects} instead of {self.false_rejects_of}"
        )

    @model_validator(mode="after")
    def _consistent(self) -> StandIn:
        if max(self.escapes, self.escapes_of) > self.n_defective:
            raise ValueError(f"escapes must be at most n_defective, {self.n_defective}")
        if max(self.false_rejects, self.false_rejects_of) > self.n_good:
            raise ValueError(f"false_rejects must be at most n_good, {self.n_good}")
        return self
