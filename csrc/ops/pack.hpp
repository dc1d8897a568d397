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
// Sums run in tap order, rows first, so the result has the same bits for any thread count, vector width and device.
#pragma once
#include <cstdint>

#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/stream.hpp"

namespace rasant {

enum class Interpolation { kArea, kBilinear, kNearest };

struct ColorRule {
  int channel[3];   // source channel of each output plane: {0, 1, 2} keeps RGB, {2, 1, 0} gives BGR
  float gain[3];    // of each output plane: scale / std
  float offset[3];  // of each output plane: -mean / std
};

// How the output pixels of one axis are made: `taps` consecutive source pixels each, from first_tap() on, with the
// weights of tap_weight(); those that reach beyond weigh 0.
struct Axis {
  enum Kind { kOne, kTwo, kCovered };
  int in, out;  // source and output pixels
  Kind kind;
  int taps;
  double step;  // in / out
};

// The part of source pixel k that output pixel i covers, 0 where it is but rounding.
RASANT_HD double covered(const Axis& axis, int i, int k) {
  const double begin = i * axis.step, end = (i + 1) * axis.step;
  const double part = (end < k + 1.0 ? end : k + 1.0) - (begin > k ? begin : static_cast<double>(k));
  return part > 1e-9 ? part : 0.0;
}

// The first source pixel that output pixel i covers at all.
RASANT_HD int first_covered(const Axis& axis, int i) {
  int first = static_cast<int>(i * axis.step);
  while (covered(axis, i, first) == 0.0) ++first;
  return first;
}

// Where output pixel i lies between its two source pixels, of which the first is at most in - 2.
RASANT_HD double linear_position(const Axis& axis, int i) {
  const double position = (i + 0.5) * axis.in / axis.out - 0.5;
  const double above = position > 0.0 ? position : 0.0;
  return above < axis.in - 1.0 ? above : axis.in - 1.0;
}

RASANT_HD int first_tap(const Axis& axis, int i) {
  if (axis.kind == Axis::kOne) return static_cast<int>((2ll * i + 1) * axis.in / (2ll * axis.out));
  const int first = axis.kind == Axis::kTwo ? static_cast<int>(linear_position(axis, i)) : first_covered(axis, i);
  return first < axis.in - axis.taps ? first : axis.in - axis.taps;
}

// `first` is first_tap(axis, i); t in [0, taps).
RASANT_HD float tap_weight(const Axis& axis, int i, int first, int t) {
  if (axis.kind == Axis::kOne) return 1.0f;
  if (axis.kind == Axis::kTwo) {
    const double share = linear_position(axis, i) - first;
    return static_cast<float>(t == 0 ? 1.0 - share : share);
  }
  const double end = (i + 1) * axis.step, size = axis.in;
  return static_cast<float>(covered(axis, i, first + t) / ((end < size ? end : size) - i * axis.step));
}

inline Axis make_axis(int in, int out, Interpolation interpolation) {
  const double step = static_cast<double>(in) / out;
  if (interpolation == Interpolation::kNearest || in == out || in == 1) return {in, out, Axis::kOne, 1, step};
  if (interpolation != Interpolation::kArea || out >= in) return {in, out, Axis::kTwo, 2, step};
  Axis axis{in, out, Axis::kCovered, 1, step};
  for (int i = 0; i < out; ++i) {
    int taps = 1;
    for (const int first = first_covered(axis, i); first + taps < in && covered(axis, i, first + taps) > 0.0;) ++taps;
    axis.taps = taps > axis.taps ? taps : axis.taps;
  }
  return axis;
}

// Valid depth under a weight, and the weight.
struct DepthShare { float value, part; };

RASANT_HD DepthShare depth_share(float depth, float weight) {
  const bool valid = (depth - depth == 0.0f) & (depth != 0.0f);
  return {valid ? weight * depth : 0.0f, valid ? weight : 0.0f};
}

RASANT_HD float packed_depth(float value, float part) { return part >= 0.49999f ? value / part : 0.0f; }

// What a depth becomes where nothing is resized.
RASANT_HD float kept_depth(float depth) { return depth - depth == 0.0f ? depth : 0.0f; }

// out holds three planes of height x width, one after the other: (3, h, w) as rows 0 .. 3h-1.
void pack_color_cpu(ImageView<const std::uint8_t> color, const ColorRule& rule, Interpolation interpolation,
                    ImageView<float> out, int threads);
void pack_depth_cpu(ImageView<const float> depth, Interpolation interpolation, ImageView<float> out, int threads);

// Device memory; asynchronous.
void pack_color_cuda(ImageView<const std::uint8_t> color, const ColorRule& rule, Interpolation interpolation,
                     ImageView<float> out, Stream stream);
void pack_depth_cuda(ImageView<const float> depth, Interpolation interpolation, ImageView<float> out, Stream stream);

}  // namespace rasant
