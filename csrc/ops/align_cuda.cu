// SPDX-License-Identifier: Apache-2.0
// A thread for each depth pixel. The z-buffer of keys is scratch memory: cleared, lowered by atomic minima in whatever
// order the threads run, and read out as depth.
#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/align.hpp"

namespace rasant {
namespace {

constexpr int edge = 16;
constexpr int line = 256;

RASANT_HD Seen seen_at(LensModel model, float z, float x, float y, const AlignParams& p) {
  switch (model) {
    case LensModel::none: return seen_by_color<LensModel::none>(z, x, y, p);
    case LensModel::brown_conrady: return seen_by_color<LensModel::brown_conrady>(z, x, y, p);
    case LensModel::modified_brown_conrady: return seen_by_color<LensModel::modified_brown_conrady>(z, x, y, p);
    case LensModel::rational: return seen_by_color<LensModel::rational>(z, x, y, p);
    case LensModel::kannala_brandt4: return seen_by_color<LensModel::kannala_brandt4>(z, x, y, p);
    default: return seen_by_color<LensModel::ftheta>(z, x, y, p);
  }
}

RASANT_KERNEL void clear_keys(std::uint32_t* keys, std::int64_t pixels) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < pixels) keys[i] = nothing_seen;
}

RASANT_KERNEL void splat_pixels(ImageView<const float> depth, ImageView<const float> rays,
                                ImageView<const float> footprint, AlignParams p, std::uint32_t* keys, int height,
                                int width) {
  const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  if (x >= depth.width || y >= depth.height) return;
  const Seen seen = seen_at(p.color.model, depth(y, x), rays(y, x), rays(y + depth.height, x), p);
  const int block = x / footprint_block;
  const Span h = span_of(seen.x, footprint(y, block), seen.scale, p.margin, static_cast<float>(width));
  const Span v = span_of(seen.y, footprint(y + depth.height, block), seen.scale, p.margin, static_cast<float>(height));
  for (int row = v.first; row <= v.last; ++row)
    for (int column = h.first; column <= h.last; ++column)
      gpu::atomic_min(keys + static_cast<std::ptrdiff_t>(row) * width + column,
                      key_of(seen.z, rank_of(column, h.at, h.density), rank_of(row, v.at, v.density)));
}

RASANT_KERNEL void read_keys(const std::uint32_t* keys, float* out, std::int64_t pixels) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < pixels) out[i] = depth_of_key(keys[i]);
}

RASANT_KERNEL void take_colors(ImageView<const std::uint8_t> color, ImageView<const float> depth, const float* seen,
                               ImageView<const float> rays, AlignParams p, ImageView<std::uint8_t> out,
                               ImageView<std::uint8_t> valid) {
  const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  if (x >= depth.width || y >= depth.height) return;
  const Seen at = seen_at(p.color.model, depth(y, x), rays(y, x), rays(y + depth.height, x), p);
  const Look look = look_of(at, color.height, color.width);
  valid(y, x) = take_color(color, seen, look, at.z, p, out.row(y) + 3 * x) ? 1 : 0;
}

dim3 tiles(ImageView<const float> image) { return dim3(blocks_for(image.width, edge), blocks_for(image.height, edge)); }

}  // namespace

void align_depth_cuda(ImageView<const float> depth, ImageView<const float> rays, ImageView<const float> footprint,
                      const AlignParams& params, ImageView<float> out, Stream stream) {
  const auto pixels = static_cast<std::int64_t>(out.pixels());
  auto* keys = static_cast<std::uint32_t*>(workspace(stream, out.pixels() * sizeof(std::uint32_t)));
  launch(clear_keys, dim3(blocks_for(pixels, line)), dim3(line), 0, stream, keys, pixels);
  launch(splat_pixels, tiles(depth), dim3(edge, edge), 0, stream, depth, rays, footprint, params, keys, out.height,
         out.width);
  launch(read_keys, dim3(blocks_for(pixels, line)), dim3(line), 0, stream, keys, out.data, pixels);
}

void align_color_cuda(ImageView<const std::uint8_t> color, ImageView<const float> depth, ImageView<const float> seen,
                      ImageView<const float> rays, const AlignParams& params, ImageView<std::uint8_t> out,
                      ImageView<std::uint8_t> valid, Stream stream) {
  launch(take_colors, tiles(depth), dim3(edge, edge), 0, stream, color, depth, seen.data, rays, params, out, valid);
}

}  // namespace rasant
