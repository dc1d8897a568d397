// SPDX-License-Identifier: Apache-2.0
// Perlin gradient noise: a lattice of random unit gradients, blended by f(t) = 6t^5 - 15t^4 + 10t^3 (Perlin,
// "Improving noise", SIGGRAPH 2002), times sqrt(2). One octave, not periodic, |field| <= 1, exactly 0 on lattice nodes.
//
//   pixel (i, j): cell = (i / cell_rows, j / cell_cols), offset in it (u, v) in [0, 1), gradients g = (gu, gv)
//   line_r(u) = u X_r + Y_r,   X_r = gu_l + f(v) (gu_r - gu_l),   Y_r = v gv_l + f(v) ((v - 1) gv_r - v gv_l)
//   field     = line_0(u) + f(u) (line_1(u - 1) - line_0(u))
//
// X and Y belong to a lattice row and not to a pixel row: what is left for a pixel are four fused operations.
// A lattice that does not divide the image is generated at its next multiple and cropped (cell = ceil(size / lattice)).
// Rotation: about the centre ((width - 1) / 2, (height - 1) / 2), bilinear, 0 outside the field.
// Gradient of node n (nodes row by row): angle = uniform(philox(seed, sample, item, perlin_gradient)[word]) turns, with
// item = 16 (n / 64) + n % 16 and word = n / 16 % 4, so that 16 vector lanes draw 64 consecutive nodes.
// Every operation is an IEEE one in fixed order, so all devices, vector widths and thread counts give the same bits.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/philox.hpp"
#include "core/stream.hpp"

namespace rasant {

struct PerlinParams {
  std::uint64_t seed = 0;    // key of the generator
  std::uint64_t sample = 0;  // counter of the field within the seed
  int lattice_rows = 1;      // cells down, 1..height
  int lattice_cols = 1;      // cells across, 1..width
  float angle = 0.0f;        // radians; positive turns the pattern clockwise on the screen (x towards y)
};

enum class PerlinMask {
  positive,  // 1 where field > threshold
  absolute,  // 1 where |field| > threshold
  ternary,   // 1 where field > threshold, -1 where field < -threshold
};

constexpr int perlin_max_size = 1 << 14;  // rows or columns; keeps every coordinate exact in float

// Sine and cosine of 2 pi turns, turns in [0, 1]; absolute error below 2e-7.
RASANT_HD void sincos_turns(float turns, float& sine, float& cosine) {
  const float quarters = turns * 4.0f;
  const int quadrant = static_cast<int>(quarters + 0.5f);
  const float r = (quarters - static_cast<float>(quadrant)) * 1.57079632679489662f;
  const float r2 = r * r;
  float s = std::fma(r2, -1.9515295891e-4f, 8.3321608736e-3f);
  s = std::fma(r2, s, -1.6666654611e-1f);
  s = std::fma(r2 * r, s, r);
  float c = std::fma(r2, 2.443315711809948e-5f, -1.388731625493765e-3f);
  c = std::fma(r2, c, 4.166664568298827e-2f);
  c = std::fma(r2 * r2, c, std::fma(r2, -0.5f, 1.0f));
  const float a = (quadrant & 1) ? c : s, b = (quadrant & 1) ? s : c;
  sine = (quadrant & 2) ? -a : a;
  cosine = ((quadrant + 1) & 2) ? -b : b;
}

RASANT_HD float perlin_fade(float t) { return t * t * t * (t * (t * 6.0f - 15.0f) + 10.0f); }

// Gradient of a node from its random bits, times sqrt(2): gu along the rows' axis (down), gv across.
RASANT_HD void perlin_gradient(std::uint32_t bits, float& gu, float& gv) {
  sincos_turns(uniform(bits), gv, gu);
  gu *= 1.41421356237309505f;
  gv *= 1.41421356237309505f;
}

RASANT_HD float perlin_x(float fade_v, float gu_left, float gu_right) {
  return std::fma(fade_v, gu_right - gu_left, gu_left);
}

RASANT_HD float perlin_y(float v, float fade_v, float gv_left, float gv_right) {
  const float left = v * gv_left;
  return std::fma(fade_v, (v - 1.0f) * gv_right - left, left);
}

RASANT_HD float perlin_value(float u, float fade_u, float x0, float y0, float x1, float y1) {
  const float above = std::fma(u, x0, y0), below = std::fma(u - 1.0f, x1, y1);
  return std::fma(fade_u, below - above, above);
}

RASANT_HD int perlin_cell(int size, int lattice) { return (size + lattice - 1) / lattice; }

// Where output pixel (i, j) of a rotated field lies in it: row and column of the upper left of four neighbours, counted
// from one row and column before the field, and the weights of the lower and the right ones. Outside it is 0.
struct PerlinTap {
  int row, column;
  float down, right;
};

RASANT_HD PerlinTap perlin_tap(int i, int j, int height, int width, float sine, float cosine) {
  const float cy = static_cast<float>(height - 1) * 0.5f, cx = static_cast<float>(width - 1) * 0.5f;
  const float bottom = static_cast<float>(height + 1), right = static_cast<float>(width + 1);
  const float dy = static_cast<float>(i) - cy, dx = static_cast<float>(j) - cx;
  float x = std::fma(cosine, dx, std::fma(sine, dy, cx + 1.0f));
  float y = std::fma(-sine, dx, std::fma(cosine, dy, cy + 1.0f));
  x = x > 0.0f ? x : 0.0f;
  y = y > 0.0f ? y : 0.0f;
  x = x < right ? x : right;
  y = y < bottom ? y : bottom;
  const int column = static_cast<int>(x), row = static_cast<int>(y);
  return {row, column, y - static_cast<float>(row), x - static_cast<float>(column)};
}

RASANT_HD float perlin_blend(const PerlinTap& tap, float top_left, float top_right, float low_left, float low_right) {
  const float top = std::fma(tap.right, top_right - top_left, top_left);
  const float low = std::fma(tap.right, low_right - low_left, low_left);
  return std::fma(tap.down, low - top, top);
}

RASANT_HD std::int8_t perlin_masked(float value, float threshold, PerlinMask mode) {
  const bool above = value > threshold, below = value < -threshold;  // NaN is neither
  if (mode == PerlinMask::positive) return static_cast<std::int8_t>(above);
  if (mode == PerlinMask::absolute) return static_cast<std::int8_t>(above | below);
  return static_cast<std::int8_t>(static_cast<int>(above) - static_cast<int>(below));
}

// Refuses a size, lattice or angle out of range.
void check_perlin(int height, int width, const PerlinParams& params);

// Refuses a negative threshold or NaN.
float checked_threshold(float threshold);

// Sine and cosine of an angle in radians.
void perlin_rotation(float angle, float& sine, float& cosine);

// Field (height x width) of `params` into `out`.
void perlin_field_cpu(ImageView<float> out, const PerlinParams& params);

// Mask of `count` values; NaN gives 0.
void perlin_mask_cpu(const float* field, std::int8_t* out, std::int64_t count, float threshold, PerlinMask mode);

// `count` fields, one after the other in `out`; params and thresholds are host memory, of each field or of all (step
// 0).
void perlin_fields_cuda(float* out, int count, int height, int width, const PerlinParams* params, Stream stream);
void perlin_masks_cuda(const float* fields, std::int8_t* out, int count, std::int64_t pixels, const float* thresholds,
                       int step, PerlinMask mode, Stream stream);

}  // namespace rasant
