// SPDX-License-Identifier: Apache-2.0
// A thread for each pixel; the lens model is a choice that all threads make alike.
#include "core/launch.hpp"
#include "ops/triangulate.hpp"

namespace rasant {
namespace {

constexpr int line = 256;

template <LensModel model, bool columns, bool rows>
RASANT_HD Triangulated triangulate_pixel(float x, float y, float column, float row, const TriangulateParams& p) {
  const Sight s = sight_of<columns, rows>(x, y, column, row, p);
  float w = start_of<columns>(s, p);
  for (int step = 0; step < triangulate_steps; ++step) w = stepped<model, columns, rows>(s, w, p);
  return found_at<model, columns, rows>(s, w, p);
}

template <bool columns, bool rows>
RASANT_HD Triangulated triangulate_at(float x, float y, float column, float row, const TriangulateParams& p) {
  switch (p.projector.model) {
    case LensModel::none: return triangulate_pixel<LensModel::none, columns, rows>(x, y, column, row, p);
    case LensModel::brown_conrady:
      return triangulate_pixel<LensModel::brown_conrady, columns, rows>(x, y, column, row, p);
    case LensModel::modified_brown_conrady:
      return triangulate_pixel<LensModel::modified_brown_conrady, columns, rows>(x, y, column, row, p);
    case LensModel::rational: return triangulate_pixel<LensModel::rational, columns, rows>(x, y, column, row, p);
    case LensModel::kannala_brandt4:
      return triangulate_pixel<LensModel::kannala_brandt4, columns, rows>(x, y, column, row, p);
    default: return triangulate_pixel<LensModel::ftheta, columns, rows>(x, y, column, row, p);
  }
}

RASANT_KERNEL void triangulate_pixels(const float* column, const float* row, const float* rays, std::int64_t pixels,
                                      TriangulateParams p, float* depth, float* residual) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= pixels) return;
  const float x = rays[i], y = rays[pixels + i];
  const Triangulated found = column == nullptr ? triangulate_at<false, true>(x, y, 0.0f, row[i], p)
                             : row == nullptr  ? triangulate_at<true, false>(x, y, column[i], 0.0f, p)
                                               : triangulate_at<true, true>(x, y, column[i], row[i], p);
  depth[i] = found.depth;
  if (residual != nullptr) residual[i] = found.residual;
}

}  // namespace

void triangulate_cuda(ImageView<const float> column, ImageView<const float> row, ImageView<const float> rays,
                      const TriangulateParams& params, ImageView<float> depth, ImageView<float> residual,
                      Stream stream) {
  const auto pixels = static_cast<std::int64_t>(depth.pixels());
  launch(triangulate_pixels, dim3(blocks_for(pixels, line)), dim3(line), 0, stream, column.data, row.data, rays.data,
         pixels, params, depth.data, residual.data);
}

}  // namespace rasant
