# SPDX-License-Identifier: Apache-2.0
"""Kinds of numbers that the recipes of several methods take; a value out of bounds is refused with its place."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

__all__ = ["Exponents", "Positive", "PositiveRange", "Share", "Shares", "Weight", "Width", "rising"]


def rising(bounds: tuple[float, float]) -> tuple[float, float]:
    """`bounds` as they are, for a validator. Raises ValueError where the first is above the second."""
    if bounds[0] > bounds[1]:
        raise ValueError("the first value must not be above the second")
    return bounds


Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Width = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Shares = Annotated[tuple[Share, Share], AfterValidator(rising)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(rising)]
_Exponent = Annotated[int, Field(ge=0, le=8)]
Exponents = Annotated[tuple[_Exponent, _Exponent], AfterValidator(rising)]  # 2^k cells of a noise lattice
