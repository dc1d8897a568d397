# SPDX-License-Identifier: Apache-2.0
"""The trivial detector that a trained one has to beat: how far a pixel is from the mean of the good training parts.

It sees exactly what the network sees (the same preprocessing), and its map goes through the same box mean and maximum:

    map = mean over the modalities of  |x - mean| / d,   d = mean of |x - mean| over all training pixels of the modality

so that colour and depth weigh the same; a pixel that was not measured differs by 0. Parts are not aligned: where their
pose varies, so does the baseline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, FrameRefused
from rasant.preprocess import Preprocessor, PreprocessParams
from rasant.types import Frame, Inspection, Reason, Timings, Verdict

__all__ = ["TrainMean"]

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class TrainMean:
    """Train-mean difference. Called with a frame, it answers like an inspector without a threshold."""

    def __init__(self, params: PreprocessParams, *, kernel: int) -> None:
        self._preprocess = Preprocessor(params)
        self._size = params.size
        self._kernel = kernel
        self._mean: list[FloatImage] = []
        self._spread: list[float] = []

    def fit(self, frames: Iterable[Frame]) -> int:
        """Learn from good training parts; returns how many were used. Frames that cannot be prepared are passed over.

        Raises ConfigError without a single usable frame.
        """
        kept = [inputs for frame in frames if (inputs := self._inputs(frame)) is not None]
        if not kept:
            raise ConfigError("the baseline needs at least one good training part; the source gave none it can use")
        self._mean, self._spread = [], []
        for modality in zip(*kept, strict=True):
            images, measured = np.stack([image for image, _ in modality]), np.stack([mask for _, mask in modality])
            mean = (images * measured).sum(axis=0) / np.maximum(measured.sum(axis=0), 1)
            self._mean.append(mean.astype(np.float32))
            self._spread.append(max(float((np.abs(images - mean) * measured).mean()), 1e-9))
        return len(kept)

    def _inputs(self, frame: Frame) -> list[tuple[FloatImage, Mask]] | None:
        """(3, h, w) colour and (1, h, w) depth as far as the bundle uses them, each with its measured pixels (1, h, w).

        None for a frame that is refused.
        """
        try:
            prepared = self._preprocess(frame)
        except FrameRefused:
            return None
        everywhere = np.ones((1, *self._size), np.bool_)
        inputs = ((prepared.color_input, everywhere), (prepared.depth_input, prepared.valid[None].copy()))
        return [(image[0].copy(), mask) for image, mask in inputs if image is not None]

    def __call__(self, frame: Frame) -> Inspection:
        """Score one frame; UNKNOWN without a score where it cannot be prepared."""
        if not self._mean:
            raise ConfigError("the baseline has not been fitted; call fit() with good training parts first")
        inputs = self._inputs(frame)
        empty = Inspection(
            frame.index,
            frame.source,
            Verdict.UNKNOWN,
            Reason.FRAME,
            "the frame cannot be prepared",
            float("nan"),
            float("nan"),
            (),
            None,
            None,
            self._preprocess.frame_from_map(frame.size),
            Timings(),
            "",
            "train-mean",
        )
        if inputs is None:
            return empty
        parts = [
            (np.abs(image - mean) * measured).mean(axis=0) / spread
            for (image, measured), mean, spread in zip(inputs, self._mean, self._spread, strict=True)
        ]
        raw = np.asarray(np.stack(parts).mean(axis=0), np.float32)
        pooled = np.asarray(cv2.blur(raw, (self._kernel, self._kernel), borderType=cv2.BORDER_CONSTANT), np.float32)
        return replace(empty, score=float(pooled.max()), anomaly_map=raw, pooled_map=pooled, detail="")
