// SPDX-License-Identifier: Apache-2.0
// A block computes 16 x 16 normals from a tile of depth in shared memory, with the window's reach around it.
#include "core/launch.hpp"
#include "ops/normals.hpp"

namespace rasant {
namespace {

constexpr int edge = 16;
constexpr int reach = normals_max_size / 2;
constexpr int side = edge + 2 * reach;

RASANT_KERNEL void fit_normals(ImageView<const float> depth, NormalsScale scale, int radius, float step,
                               ImageView<float> out) {
  RASANT_SHARED(float, z, side* side);
  RASANT_SHARED(float, w, side* side);
  RASANT_SHARED(float, breaks, side* side);  // towards the right
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int left = static_cast<int>(blockIdx.x) * edge - reach, top = static_cast<int>(blockIdx.y) * edge - reach;
  for (int i = ty * edge + tx; i < side * side; i += edge * edge) {
    const int x = left + i % side, y = top + i / side;
    const bool inside = x >= 0 && x < depth.width && y >= 0 && y < depth.height;
    z[i] = inside ? depth(y, x) : NAN;
    w[i] = inverse_depth(z[i]);
  }
  gpu::barrier();
  for (int i = ty * edge + tx; i < side * side; i += edge * edge)
    breaks[i] = i + 1 < side * side ? break_between(z[i], z[i + 1], step) : NAN;
  gpu::barrier();
  const int x = left + reach + tx, y = top + reach + ty;
  if (x >= depth.width || y >= depth.height) return;
  const int middle = (ty + reach) * side + tx + reach;
  const RowSums row = sum_row(w + middle, breaks + middle, radius);
  float sum = row.sum, along = row.slope, down = 0.0f, gap = 0.0f;
  for (int j = 1; j <= radius; ++j) {
    const int low = middle + j * side, high = middle - j * side;
    const RowSums below = sum_row(w + low, breaks + low, radius), above = sum_row(w + high, breaks + high, radius);
    sum = sum + (below.sum + above.sum);
    along = along + (below.slope + above.slope);
    down = std::fma(static_cast<float>(j), below.sum - above.sum, down);
    gap = gap + (break_between(z[low], z[low - side], step) + break_between(z[high + side], z[high], step));
  }
  normal_of(sum + gap, along, down, static_cast<float>(x), static_cast<float>(y), scale, out.row(y) + 3 * x);
}

}  // namespace

void surface_normals_cuda(ImageView<const float> depth, const NormalsParams& params, ImageView<float> out,
                          Stream stream) {
  const dim3 grid(blocks_for(depth.width, edge), blocks_for(depth.height, edge));
  launch(fit_normals, grid, dim3(edge, edge), 0, stream, depth, normals_scale(params), params.size / 2, params.step,
         out);
}

}  // namespace rasant
