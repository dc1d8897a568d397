# SPDX-License-Identifier: Apache-2.0
"""Sample pictures of a training: one row a sample with colour, depth, truth and prediction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["preview"]

GAP = 2  # pixels between pictures


def preview(batch: dict[str, torch.Tensor], logits: torch.Tensor, *, rows: int = 4) -> npt.NDArray[np.uint8]:
    """Montage (H, W, 3) uint8 RGB of the first `rows` samples.

    batch: color (B, 3, h, w) and depth (B, 1, h, w) as fed to the network, mask (B, h, w); a modality may be missing.
    logits: (B, 2, h, w).
    """
    rows = min(rows, logits.shape[0])
    probability = torch.softmax(logits[:rows].detach().float(), dim=1)[:, 1]
    columns = []
    if "color" in batch:
        columns.append(_stretch(batch["color"][:rows]).permute(0, 2, 3, 1))
    if "depth" in batch:
        columns.append(_gray(_stretch(batch["depth"][:rows])[:, 0]))
    columns += [_gray(batch["mask"][:rows].float()), _gray(probability)]
    tiles = torch.cat([_framed(column) for column in columns], dim=2).cpu()
    return (tiles.reshape(-1, *tiles.shape[2:]).clamp(0, 1) * 255).to(torch.uint8).numpy()


def _stretch(images: torch.Tensor) -> torch.Tensor:
    """Each (C, h, w) image to 0..1: as it is when it lies there already, else between its extremes."""
    images = images.float()
    low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
    inside = (low >= 0) & (high <= 1) & (high - low > 0.3)
    return torch.where(inside, images, (images - low) / (high - low).clamp_min(1e-6))


def _gray(images: torch.Tensor) -> torch.Tensor:
    return images[..., None].expand(*images.shape, 3)


def _framed(images: torch.Tensor) -> torch.Tensor:
    """(B, h, w, 3) with a white gap to the right and below."""
    return torch.nn.functional.pad(images, (0, 0, 0, GAP, 0, GAP), value=1.0)
