// SPDX-License-Identifier: Apache-2.0
// Hole filling and conversion of depth to metres.
//
// fill_holes, one pass: a pixel that holds no value takes the mean of the values in its 3 x 3 neighbourhood,
//   out = sum(valid) / count(valid),   sums row by row: (a + b) + c, then (top + middle) + bottom,
// all from the previous pass (Jacobi); a pixel that holds a value keeps it; without a valid neighbour it stays 0.
// A value is valid where 0 < value < inf; everything else (0, negative, NaN, inf) is a hole and 0 on return.
// Border: the window is clamped to the image. With clamp = false row 0 and column 0 are never filled, as in the
// released program of AST (Rudolph et al., WACV 2023), whose window slice is empty there.
// Units: any, the same in and out. Every device gives the same bits.
#pragma once
#include <cstdint>

#include "core/depth.hpp"
#include "core/error.hpp"
#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/stream.hpp"

namespace rasant {

struct FillParams {
  int passes = 2;     // Jacobi passes, 0..64; the largest hole that closes is 2 passes wide
  bool clamp = true;  // false: row 0 and column 0 are left as they are
};

constexpr int fill_max_passes = 64;

RASANT_HD float valid_or_zero(float value) { return is_valid_depth(value) ? value : 0.0f; }

// `above`, `middle`, `below` point to the pixel's column in rows that hold values > 0 or 0, readable one to each side.
RASANT_HD float fill_value(const float* above, const float* middle, const float* below) {
  const auto sum = [](const float* row) { return (row[-1] + row[0]) + row[1]; };
  const auto count = [](const float* row) {
    return static_cast<int>(row[-1] > 0.0f) + static_cast<int>(row[0] > 0.0f) + static_cast<int>(row[1] > 0.0f);
  };
  const float total = (sum(above) + sum(middle)) + sum(below);
  const int valid = count(above) + count(middle) + count(below);
  const float mean = total / static_cast<float>(valid > 0 ? valid : 1);
  return middle[0] > 0.0f ? middle[0] : mean;
}

// counts * scale; 0 stays 0.
RASANT_HD float metres_from_counts(std::uint16_t counts, float scale) { return static_cast<float>(counts) * scale; }

// value * scale; NaN and infinity become 0; a negative value stays, for a range check to find.
RASANT_HD float metres_from_float(float value, float scale) {
  const float metres = value * scale;
  return metres > -3.402823466e+38f && metres < 3.402823466e+38f ? metres : 0.0f;
}

inline void check_fill(const FillParams& params) {
  check(params.passes >= 0 && params.passes <= fill_max_passes, "passes must be 0..", fill_max_passes, ", got ",
        params.passes, "; 2 and 3 are usual");
}

inline void check_scale(float scale) {
  check(scale > 0.0f && scale < 1e6f, "scale must be metres per count and > 0, got ", scale, "; 0.001 for millimetres");
}

// `out` must not overlap `depth`.
void fill_holes_cpu(ImageView<const float> depth, ImageView<float> out, const FillParams& params, int threads);

void to_metres_cpu(ImageView<const std::uint16_t> depth, ImageView<float> out, float scale, int threads);
void to_metres_cpu(ImageView<const float> depth, ImageView<float> out, float scale, int threads);

// Device memory; asynchronous.
void fill_holes_cuda(ImageView<const float> depth, ImageView<float> out, const FillParams& params, Stream stream);

void to_metres_cuda(ImageView<const std::uint16_t> depth, ImageView<float> out, float scale, Stream stream);
void to_metres_cuda(ImageView<const float> depth, ImageView<float> out, float scale, Stream stream);

}  // namespace rasant
