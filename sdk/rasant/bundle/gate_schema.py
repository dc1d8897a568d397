# SPDX-License-Identifier: Apache-2.0
"""The manifest's copy of `rasant.entropy_gate.EntropyGate`, checked as data from a file is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveInt

from rasant.bundle.schema import Strict, Text

if TYPE_CHECKING:
    from rasant.entropy_gate import EntropyGate

__all__ = ["Gate"]


class Gate(Strict):
    """Which of a detector's two answers counts, for one that has "logits", "logits_color" and "pooled".

    mode, alpha, color_features: as `rasant.entropy_gate.EntropyGate`. rule: how alpha was chosen, "" where it is the
    published 0.
    """

    mode: Literal["off", "open", "entropy"]
    color_features: PositiveInt
    alpha: Annotated[float, Field(ge=-8.0, le=8.0)] = 0.0
    rule: Text = ""

    def to_params(self) -> EntropyGate:
        """The runtime's own parameters."""
        from rasant.entropy_gate import EntropyGate

        return EntropyGate(self.mode, self.color_features, self.alpha)
