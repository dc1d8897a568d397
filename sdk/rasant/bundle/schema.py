# SPDX-License-Identifier: Apache-2.0
"""What every part of a manifest is made of: strict models, and the kinds of names, texts and numbers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FileName", "Name", "Ratio", "Sha256", "Strict", "Text", "sorted_keys"]

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}$")]
FileName = Annotated[str, Field(min_length=1, max_length=128)]
Text = Annotated[str, Field(max_length=10_000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def sorted_keys(value: dict[str, Any]) -> dict[str, Any]:
    """So that equal manifests have equal bytes."""
    return dict(sorted(value.items()))


class Strict(BaseModel):
    """Unknown keys, values of another type, NaN and infinity are refused; values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
