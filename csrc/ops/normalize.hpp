// SPDX-License-Identifier: Apache-2.0
// Depth (or height) to the range a network was trained on. Every rule is an affine map of the used pixels:
//   used = foreground && finite && value != 0        out = used ? (value - low) / unit * gain + base : fill
// where low and unit come from `measure`, an order statistic, a 2-means split or the caller (rasant.ops.normalize
// names the rules). levels > 0 quantises to that many grey levels, trunc(v * levels) / levels with v clamped to [0, 1].
// Reductions are order-independent (minimum, maximum, integer sums), so all devices and thread counts agree: the mean
// is taken over values rounded to 2^-20 units (about 1 micrometre) and clamped to +-1024 units. On a device images have
// fewer than 2^31 pixels.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/stream.hpp"

namespace rasant {

struct NormalizeParams {
  float low = 0.0f;    // value that maps to base
  float unit = 1.0f;   // span of values that maps to gain; divided by, so that both ends are met exactly
  float gain = 1.0f;   // output span of one unit
  float base = 0.0f;   // output at low
  float fill = 0.0f;   // output where a pixel is not used
  float floor = 0.0f;  // outputs are clamped to [floor, ceiling] where floor < ceiling
  float ceiling = 0.0f;
  int levels = 0;  // 0: not quantised; 255: 8-bit grey levels
};

struct ValueRange {
  std::int64_t count = 0;  // used pixels
  float low = 0.0f;        // smallest used value; 0 without one
  float high = 0.0f;       // largest
  double mean = 0.0;       // 0 without one
};

struct Percentiles {
  bool found = false;  // there is a used pixel
  float low = 0.0f, high = 0.0f;
};

// Means of the two clusters of 2-means on one dimension; equal where there is one value only.
struct TwoMeans { double near = 0.0, far = 0.0; };

RASANT_HD bool is_used(float value, std::uint8_t foreground) {
  return (foreground != 0) & (value != 0.0f) & (std::fabs(value) < 3.402823466e+38f);
}

// Value in 2^-20 units; |value| <= 1024 fits in 31 bits.
RASANT_HD std::int32_t fixed_value(float value) {
  const float above = value > -1024.0f ? value : -1024.0f;  // NaN too
  const float scaled = (above < 1024.0f ? above : 1024.0f) * 1048576.0f;
  return static_cast<std::int32_t>(scaled + std::copysign(0.5f, scaled));
}

constexpr int rounds_of_two_means = 20;

RASANT_HD bool is_near(float depth, float border) { return (depth > 0.0f) & (depth <= border); }

RASANT_HD double mean_of(std::int64_t sum, std::int64_t count) {
  return static_cast<double>(sum) / 1048576.0 / static_cast<double>(count);
}

// Order-preserving integer of a float, and back: integer minima and maxima vectorise, and need no order.
RASANT_HD std::int32_t sort_key(float value) {
  std::int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits ^ ((bits >> 31) & 0x7FFFFFFF);
}

RASANT_HD float from_key(std::int32_t key) {
  const std::int32_t bits = key ^ ((key >> 31) & 0x7FFFFFFF);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

RASANT_HD float normalized(float value, bool used, const NormalizeParams& p) {
  float v = std::fma((value - p.low) / p.unit, p.gain, p.base);
  if (p.floor < p.ceiling) {
    v = v > p.floor ? v : p.floor;
    v = v < p.ceiling ? v : p.ceiling;
  }
  if (p.levels > 0) {
    const auto levels = static_cast<float>(p.levels);
    v = v > 0.0f ? v : 0.0f;
    v = v < 1.0f ? v : 1.0f;
    v = static_cast<float>(static_cast<int>(v * levels)) / levels;
  }
  return used ? v : p.fill;
}

// `foreground` may be an empty view: then every pixel counts as foreground.
ValueRange measure_cpu(ImageView<const float> value, ImageView<const std::uint8_t> foreground, int threads);

// The used value of rank floor(percent / 100 * (count - 1)) for both percents, exact.
Percentiles percentiles_cpu(ImageView<const float> value, ImageView<const std::uint8_t> foreground, double low_percent,
                            double high_percent);

// 2-means of all valid depths (foreground or not), from minimum and maximum, at most 20 rounds.
TwoMeans two_means_cpu(ImageView<const float> depth, int threads);

void normalize_cpu(ImageView<const float> value, ImageView<const std::uint8_t> foreground, ImageView<float> out,
                   const NormalizeParams& params, int threads);

// Device memory, asynchronous. The answers lie in device memory too, valid until the stream's next operation.
const ValueRange* measure_cuda(ImageView<const float> value, ImageView<const std::uint8_t> foreground, Stream stream);
const Percentiles* percentiles_cuda(ImageView<const float> value, ImageView<const std::uint8_t> foreground,
                                    double low_percent, double high_percent, Stream stream);
const TwoMeans* two_means_cuda(ImageView<const float> depth, Stream stream);
void normalize_cuda(ImageView<const float> value, ImageView<const std::uint8_t> foreground, ImageView<float> out,
                    const NormalizeParams& params, Stream stream);

// Refuse parameters out of range.
void check_percents(double low_percent, double high_percent);
void check_normalize(const NormalizeParams& params);

}  // namespace rasant
