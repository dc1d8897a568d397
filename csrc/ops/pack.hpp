// SPDX-License-Identifier: Apache-2.0
// pack: a frame into the engine's input buffers, in one pass: resize, scale, order of channels, HWC uint8 -> CHW
// float32.
//
//   color: out(c, y, x) = gain[c] * resized(y, x, channel[c]) + offset[c]
//   depth: out(y, x)    = mean of the valid source values under the same weights, 0 where less than half is valid
//          (0, NaN and infinity are invalid: a hole never pulls a surface towards the camera)
//
// Resizing is separable, and each axis is on its own: pixel centres are at integers, source = (x + 0.5) * in/out - 0.5.
//   area      an axis that shrinks takes the mean of the covered interval (as cv2.INTER_AREA); one that grows: bilinear
//   bilinear  two taps, clamped at the border (as cv2.INTER_LINEAR: no smoothing when shrinking)
//   nearest   floor((x + 0.5) * in/out) (as cv2.INTER_NEAREST_EXACT, whose rounding differs at ties)
// Sums run in tap order, rows first, so the result has the same bits for any thread count and vector width.
#pragma once
#include <cstdint>

#include "core/image.hpp"

namespace rasant {

enum class Interpolation { kArea, kBilinear, kNearest };

struct ColorRule {
  int channel[3];   // source channel of each output plane: {0, 1, 2} keeps RGB, {2, 1, 0} gives BGR
  float gain[3];    // of each output plane: scale / std
  float offset[3];  // of each output plane: -mean / std
};

// out holds three planes of height x width, one after the other: (3, h, w) as rows 0 .. 3h-1.
void pack_color_cpu(ImageView<const std::uint8_t> color, const ColorRule& rule, Interpolation interpolation,
                    ImageView<float> out, int threads);
void pack_depth_cpu(ImageView<const float> depth, Interpolation interpolation, ImageView<float> out, int threads);

}  // namespace rasant
