// SPDX-License-Identifier: Apache-2.0
#include "ops/triangulate.hpp"

#include <algorithm>

#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int block = 512;

// A row of every image, from some column on; residual may be null, and so may column or row.
struct Line {
  const float *column, *row, *x, *y;
  float *depth, *residual;
};

// Sight by fields, and the inverse depth.
struct Sights { alignas(64) float a[block], b[block], c[block], u[block], v[block], w[block]; };

// One step of all pixels of a block, which the compiler turns into vectors, unlike all steps of one pixel.
template <LensModel model, bool columns, bool rows>
RASANT_VECTOR void step_block(Sights& __restrict s, int count, const TriangulateParams& params) {
  const TriangulateParams p = params;
  for (int i = 0; i < count; ++i) {
    const Sight sight{s.a[i], s.b[i], s.c[i], s.u[i], s.v[i]};
    s.w[i] = stepped<model, columns, rows>(sight, s.w[i], p);
  }
}

template <LensModel model, bool columns, bool rows>
RASANT_VECTOR void triangulate_block(const Line& line, int count, const TriangulateParams& params) {
  Sights s;
  alignas(64) float residual[block];
  const TriangulateParams p = params;
  const float* __restrict column = columns ? line.column : line.row, * __restrict row = rows ? line.row : line.column;
  const float* __restrict ray_x = line.x, * __restrict ray_y = line.y;
  float* __restrict depth = line.depth;
  for (int i = 0; i < count; ++i) {
    const Sight sight = sight_of<columns, rows>(ray_x[i], ray_y[i], column[i], row[i], p);
    s.a[i] = sight.a, s.b[i] = sight.b, s.c[i] = sight.c, s.u[i] = sight.u, s.v[i] = sight.v;
    s.w[i] = start_of<columns>(sight, p);
  }
  for (int step = 0; step < triangulate_steps; ++step) step_block<model, columns, rows>(s, count, p);
  for (int i = 0; i < count; ++i) {
    const Sight sight{s.a[i], s.b[i], s.c[i], s.u[i], s.v[i]};
    const Triangulated found = found_at<model, columns, rows>(sight, s.w[i], p);
    depth[i] = found.depth;
    residual[i] = found.residual;
  }
  if (line.residual != nullptr) std::copy(residual, residual + count, line.residual);
}

template <LensModel model>
void triangulate_row(const Line& line, int width, const TriangulateParams& params) {
  for (int x = 0; x < width; x += block) {
    const auto from = [&](auto* image) { return image == nullptr ? nullptr : image + x; };
    const Line part{from(line.column), from(line.row),   from(line.x),
                    from(line.y),      from(line.depth), from(line.residual)};
    const int count = std::min(block, width - x);
    if (line.column == nullptr) {
      triangulate_block<model, false, true>(part, count, params);
    } else if (line.row == nullptr) {
      triangulate_block<model, true, false>(part, count, params);
    } else {
      triangulate_block<model, true, true>(part, count, params);
    }
  }
}

}  // namespace

void check_triangulate(const TriangulateParams& p) {
  check(p.max_residual > 0.0f && std::isfinite(p.max_residual), "max_residual_px must be > 0 projector pixels, got ",
        p.max_residual, "; 2 is usual");
  check(p.near >= 0.0f && p.far > p.near, "depth_range_m must be (near, far) metres with 0 <= near < far, got ", p.near,
        " and ", p.far);
  bool finite = true;
  for (const float value : p.pose) finite = finite && std::isfinite(value);
  check(finite && p.pose[3] * p.pose[3] + p.pose[7] * p.pose[7] + p.pose[11] * p.pose[11] > 0.0f,
        "pose must be a finite [R | t] with a baseline; camera and projector in one place see no depth");
}

void triangulate_cpu(ImageView<const float> column, ImageView<const float> row, ImageView<const float> rays,
                     const TriangulateParams& params, ImageView<float> depth, ImageView<float> residual, int threads) {
  with_model(params.projector.model, [&](auto model) {
    for_each_row(depth.height, threads, [&](int first, int last, int) {
      for (int y = first; y < last; ++y) {
        const auto at = [&](const auto& image) { return image.data == nullptr ? nullptr : image.row(y); };
        const Line line{at(column), at(row), rays.row(y), rays.row(y + depth.height), depth.row(y), at(residual)};
        triangulate_row<model()>(line, depth.width, params);
      }
    });
  });
}

}  // namespace rasant
