// SPDX-License-Identifier: Apache-2.0
// Depth from where a camera's pixel is seen by a projector: the ray of the pixel meets the light of a column, of a row,
// or of both.
//
//   point       p(w) = (x, y, 1) / w,  (x, y) the ray of the camera's pixel from a table, w the inverse depth
//   projector   q(w) = R (x, y, 1) + t w,  seen at project(q) with the projector's lens (core/lens.hpp), on a curve
//   start       w of the ray and the plane of the column (row), the lens left out
//   steps       e = measured - seen, in units of the focal length:  w += (J . e) / (J . J),  J = dq/dw of the bare
//               projector. A column has no row: its e and J there are 0. What it converges to has J . e = 0: with one
//               measurement the point itself, with both the point of the curve nearest to the measured pixel, across
//               the curve only. The curve's direction is that of the epipolar line
//   residual    |measured - seen| in projector pixels. With column and row it tells what decoded wrongly: a false
//               column does not lie on the epipolar line but by chance
//   depth       1 / w, metres along the camera's axis, 0 where nothing is known
// Invalid: a measurement that is NaN, a residual above max_residual, a depth outside near..far, a point behind the
// projector or beyond the limit of its lens, steps that did not converge (their residual is large).
// IEEE operations in fixed order: every device gives the same bits.
#pragma once
#include <cmath>

#include "core/error.hpp"
#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/lens.hpp"
#include "core/stream.hpp"

namespace rasant {

constexpr int triangulate_steps = 8;  // each leaves a quarter of the error or less, with lenses as bent as a fisheye

struct TriangulateParams {
  Lens<float> projector;
  float pose[12];              // [R | t] row by row, from the camera's frame to the projector's; t in metres
  float max_residual = 2.0f;   // projector pixels, > 0
  float near = 0.0f, far = 0;  // metres
};

struct Triangulated { float depth, residual; };  // 0 and NaN where there is none

// The ray of a pixel in the projector's frame, and where it was measured, in units of the focal length.
struct Sight { float a, b, c, u, v; };

// How far the point at some inverse depth is seen from there; inverse: 1 / q_z; r2: of the projector's ray.
struct Miss { float x, y, inverse, r2; };

// (column, row) is the measured pixel; one that is not measured is ignored where `columns` or `rows` is false.
template <bool columns, bool rows>
RASANT_HD Sight sight_of(float x, float y, float column, float row, const TriangulateParams& p) {
  const float* m = p.pose;
  Sight s;
  s.a = std::fma(m[0], x, std::fma(m[1], y, m[2]));
  s.b = std::fma(m[4], x, std::fma(m[5], y, m[6]));
  s.c = std::fma(m[8], x, std::fma(m[9], y, m[10]));
  s.u = columns ? (column - p.projector.cx) / p.projector.fx : 0.0f;
  s.v = rows ? (row - p.projector.cy) / p.projector.fy : 0.0f;
  return s;
}

template <bool columns>
RASANT_HD float start_of(const Sight& s, const TriangulateParams& p) {
  const float* m = p.pose;
  const float a = columns ? s.a : s.b, u = columns ? s.u : s.v, t = columns ? m[3] : m[7];
  return std::fma(-u, s.c, a) / std::fma(u, m[11], -t);
}

template <LensModel model, bool columns, bool rows>
RASANT_HD Miss miss_of(const Sight& s, float w, const TriangulateParams& p) {
  const float* m = p.pose;
  Miss miss;
  miss.inverse = 1.0f / std::fma(m[11], w, s.c);
  const float x = std::fma(m[3], w, s.a) * miss.inverse, y = std::fma(m[7], w, s.b) * miss.inverse;
  miss.r2 = std::fma(x, x, y * y);
  float seen_x, seen_y;
  distort<model>(p.projector, x, y, seen_x, seen_y);
  miss.x = columns ? s.u - seen_x : 0.0f;
  miss.y = rows ? s.v - seen_y : 0.0f;
  return miss;
}

template <LensModel model, bool columns, bool rows>
RASANT_HD float stepped(const Sight& s, float w, const TriangulateParams& p) {
  const Miss miss = miss_of<model, columns, rows>(s, w, p);
  const float* m = p.pose;
  const float square = miss.inverse * miss.inverse;
  const float x = columns ? std::fma(m[3], s.c, -(s.a * m[11])) * square : 0.0f;
  const float y = rows ? std::fma(m[7], s.c, -(s.b * m[11])) * square : 0.0f;
  return w + std::fma(x, miss.x, y * miss.y) / std::fma(x, x, y * y);
}

template <LensModel model, bool columns, bool rows>
RASANT_HD Triangulated found_at(const Sight& s, float w, const TriangulateParams& p) {
  const Miss miss = miss_of<model, columns, rows>(s, w, p);
  const float dx = miss.x * p.projector.fx, dy = miss.y * p.projector.fy;
  const float residual = std::sqrt(std::fma(dx, dx, dy * dy)), depth = 1.0f / w;
  const bool found = (residual <= p.max_residual) & (depth >= p.near) & (depth <= p.far) & (depth > 0.0f) &
                     (depth < 3.402823466e+38f) & (miss.inverse > 0.0f) & (miss.r2 <= p.projector.limit);  // NaN is not
  return {found ? depth : 0.0f, found ? residual : NAN};
}

// Refuses parameters out of range.
void check_triangulate(const TriangulateParams& params);

// column and row (height, width) projector pixels, one of them may have no data; rays (2 height, width): x, then y.
// residual may have no data.
void triangulate_cpu(ImageView<const float> column, ImageView<const float> row, ImageView<const float> rays,
                     const TriangulateParams& params, ImageView<float> depth, ImageView<float> residual, int threads);

// Device pointers, asynchronous.
void triangulate_cuda(ImageView<const float> column, ImageView<const float> row, ImageView<const float> rays,
                      const TriangulateParams& params, ImageView<float> depth, ImageView<float> residual,
                      Stream stream);

}  // namespace rasant
