// SPDX-License-Identifier: Apache-2.0
// Surface normals from depth: a least squares plane through a window of size x size pixels, size 3, 5, 7 or 9.
//
// In a pinhole image a plane N . P = 1 is affine in the inverse depth: w = 1 / z = N . (x, y, 1), x = (u - cx) / fx and
// y = (v - cy) / fy. The fit is on w (Badino et al., "Fast and accurate computation of surface normals from range
// images", ICRA 2011, with pixels for angles and equal weights), where it separates into sums. With i and j the column
// and row from the middle of the window, r = size / 2 and S = r (r + 1) (2 r + 1) / 3, the sum of i^2 over a row:
//   mean = sum(w) / size^2,  N_x = fx sum(i w) / (size S),  N_y = fy sum(j w) / (size S),  N_z = mean - N_x x - N_y y
//   normal = -N / |N|: unit length, camera frame (x right, y down, z forward), towards the camera for every N.
// A plane gives its own normal, whatever its slope. Sums: pairs outwards from the middle, along rows, then down.
// (0, 0, 0) where the window leaves the image, where a pixel of it is not valid (0, negative, NaN, infinite), or where
// it is not continuous: neighbours in one of its rows, or in its middle column, differ by more than `step` metres.
// Units: depth in metres; normals have none. Lens distortion is not undone here.
// IEEE operations in fixed order: the same bits for any number of threads and on every device.
#pragma once
#include <cmath>

#include "core/depth.hpp"
#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/stream.hpp"

namespace rasant {

struct NormalsParams {
  Pinhole camera{1, 1, 0, 0};
  int size = 5;         // pixels a side: 3, 5, 7 or 9
  float step = 0.006f;  // metres between neighbours of one surface
};

constexpr int normals_max_size = 9;

// What is the same for every pixel of an image.
struct NormalsScale { float mean, x, y, inverse_fx, inverse_fy, cx, cy; };

inline NormalsScale normals_scale(const NormalsParams& p) {
  const double size = p.size, r = p.size / 2, S = r * (r + 1) * (2 * r + 1) / 3;
  return {static_cast<float>(1 / (size * size)),
          static_cast<float>(p.camera.fx / (size * S)),
          static_cast<float>(p.camera.fy / (size * S)),
          static_cast<float>(1 / p.camera.fx),
          static_cast<float>(1 / p.camera.fy),
          static_cast<float>(p.camera.cx),
          static_cast<float>(p.camera.cy)};
}

// NaN where depth is not valid: it reaches every sum that holds it.
RASANT_HD float inverse_depth(float z) { return 1.0f / z + (is_valid_depth(z) ? 0.0f : NAN); }

// 0 between neighbours of one surface, else NaN.
RASANT_HD float break_between(float a, float b, float step) { return std::fabs(a - b) <= step ? 0.0f : NAN; }

// Sums of a row of the window; `w` and `breaks` point to its middle, breaks[i] lies between pixels i and i + 1.
struct RowSums { float sum, slope; };

RASANT_HD RowSums sum_row(const float* w, const float* breaks, int radius) {
  float sum = w[0], slope = 0.0f, gap = 0.0f;
  for (int i = 1; i <= radius; ++i) {
    sum = sum + (w[i] + w[-i]);
    slope = std::fma(static_cast<float>(i), w[i] - w[-i], slope);
    gap = gap + (breaks[i - 1] + breaks[-i]);
  }
  return {sum + gap, slope};
}

// The normal at pixel (u, v) from the sums of w, i w and j w; (0, 0, 0) where one is NaN.
RASANT_HD void normal_of(float sum, float along, float down, float u, float v, const NormalsScale& s, float* normal) {
  const float a = along * s.x, b = down * s.y;
  const float x = (u - s.cx) * s.inverse_fx, y = (v - s.cy) * s.inverse_fy;
  const float c = std::fma(-a, x, std::fma(-b, y, sum * s.mean));
  const float square = std::fma(a, a, std::fma(b, b, c * c));
  const bool found = (square > 0.0f) & (square < 3.402823466e+38f);
  const float scale = -1.0f / std::sqrt(square);
  const float nx = a * scale, ny = b * scale, nz = c * scale;
  normal[0] = found ? nx : 0.0f;
  normal[1] = found ? ny : 0.0f;
  normal[2] = found ? nz : 0.0f;
}

// Refuses parameters out of range.
void check_normals(const NormalsParams& params);

// out (H, W, 3).
void surface_normals_cpu(ImageView<const float> depth, const NormalsParams& params, ImageView<float> out, int threads);
void surface_normals_cuda(ImageView<const float> depth, const NormalsParams& params, ImageView<float> out,
                          Stream stream);  // device pointers, asynchronous

}  // namespace rasant
