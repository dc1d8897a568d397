// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/defect.hpp"

namespace rasant {
namespace {

constexpr int tile_rows = 8, tile_cols = 32;  // of a block

// Limits of the field while they are looked for: whole numbers in the order of the floats, so that atomics can find
// them; 0 is below all. `low` is complemented, so both are maxima and begin at 0.
struct RangeKeys { std::uint32_t low, high; };

RASANT_HD std::uint32_t key_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

RASANT_HD float value_of(std::uint32_t key) {
  const std::uint32_t bits = key & 0x80000000u ? key & 0x7FFFFFFFu : ~key;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

RASANT_HD FieldRange range_of(const RangeKeys& keys) {
  FieldRange range;
  if (keys.low) range.low = value_of(~keys.low) + 0.0f;
  if (keys.high) range.high = value_of(keys.high) + 0.0f;
  return range;
}

RASANT_KERNEL void find_range(const float* field, std::int64_t pixels, RangeKeys* keys) {
  std::uint32_t low = 0, high = 0;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < pixels; k += step) {
    if (field[k] != field[k]) continue;
    const std::uint32_t key = key_of(field[k]);
    low = low > ~key ? low : ~key;
    high = high > key ? high : key;
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const std::uint32_t other_low = gpu::shuffle_xor(low, lanes), other_high = gpu::shuffle_xor(high, lanes);
    low = low > other_low ? low : other_low;
    high = high > other_high ? high : other_high;
  }
  if (threadIdx.x % 32 == 0) {
    gpu::atomic_max(&keys->low, low);
    gpu::atomic_max(&keys->high, high);
  }
}

// Row by row, from -radius to radius.
RASANT_KERNEL void make_kernel(SkewKernel kernel, std::int32_t* entries) {
  const int side = 2 * kernel.radius + 1;
  const int k = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (k >= side * side) return;
  const int y = k / side - kernel.radius, x = k % side - kernel.radius;
  entries[k] = skew_entry(kernel, y, x, kernel.weight[y < 0 ? -y : y] * kernel.weight[x < 0 ? -x : x]);
}

RASANT_HD int side_at(const DefectImages& images, const DefectParams& p, int y, int x) {
  if (y < 0 || y >= images.field.height || x < 0 || x >= images.field.width) return 0;
  const bool supported = !images.support.data || images.support(y, x) != 0;
  return defect_side(images.field(y, x), supported, p.rule, p.threshold);
}

RASANT_HD void draw_pixel(const DefectImages& images, const DefectParams& p, int y, int x, float value, bool mask) {
  images.out_mask(y, x) = static_cast<std::uint8_t>(mask);
  if (images.depth.data) images.out_depth(y, x) = defect_depth(images.depth(y, x), value, mask, p);
  for (int c = 0; images.color.data && c < 3; ++c) {
    const int row = c * images.field.height + y;
    const float foreign = images.texture.data ? images.texture(row, x) : 0.0f;
    images.out_color(row, x) = defect_color(images.color(row, x), foreign, mask, p.kept_color);
  }
}

RASANT_KERNEL void draw_values(DefectImages images, DefectParams p, const RangeKeys* keys) {
  const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  if (y >= images.field.height || x >= images.field.width) return;
  const int side = side_at(images, p, y, x);
  float s = p.source == DefectSource::relief ? images.relief(y, x) : images.field(y, x);
  if (needs_range(p.source)) {
    const DefectScale scale = defect_scale(range_of(*keys), p.threshold);
    s = p.source == DefectSource::range ? (s - scale.low) / scale.span : hill(s, side, scale, p.threshold);
  }
  draw_pixel(images, p, y, x, s * p.gain + p.offset, side != 0);
}

// The sides that the pixels of a block can see stand in shared memory, a byte each.
RASANT_KERNEL void draw_spread(DefectImages images, DefectParams p, const std::int32_t* kernel, int radius) {
  RASANT_DYNAMIC_SHARED(std::int8_t, sides);
  RASANT_SHARED(std::int32_t, any, 1);
  const int rows = tile_rows + 2 * radius, cols = tile_cols + 2 * radius;
  const int top = static_cast<int>(blockIdx.y) * tile_rows, left = static_cast<int>(blockIdx.x) * tile_cols;
  const int ty = static_cast<int>(threadIdx.y), tx = static_cast<int>(threadIdx.x);
  if (ty == 0 && tx == 0) any[0] = 0;
  gpu::barrier();
  std::int32_t found = 0;
  for (int k = ty * tile_cols + tx; k < rows * cols; k += tile_rows * tile_cols) {
    const int side = side_at(images, p, top + k / cols - radius, left + k % cols - radius);
    sides[k] = static_cast<std::int8_t>(side);
    found |= side;
  }
  if (found) gpu::atomic_max(any, 1);
  gpu::barrier();
  const int y = top + ty, x = left + tx;
  if (y >= images.field.height || x >= images.field.width) return;
  std::int32_t sum = 0;
  for (int j = 0; any[0] && j <= 2 * radius; ++j)
    for (int i = 0; i <= 2 * radius; ++i) sum += sides[(ty + j) * cols + tx + i] * *kernel++;
  const bool inside = !images.foreground.data || images.foreground(y, x) != 0;
  const float height = spread_height(sum, inside, p.amplitude);
  draw_pixel(images, p, y, x, height * p.gain + p.offset, is_visible(height, p.visible));
}

}  // namespace

void apply_defect_cuda(const DefectImages& images, const DefectParams& p, Stream stream) {
  check_defect(images, p);
  const int h = images.field.height, w = images.field.width;
  const dim3 block(tile_cols, tile_rows), grid(blocks_for(w, tile_cols), blocks_for(h, tile_rows));
  if (p.source == DefectSource::spread) {
    const SkewKernel kernel = skew_kernel(p.sigma, p.skew_y, p.skew_x);
    const int r = kernel.radius, count = (2 * r + 1) * (2 * r + 1);
    auto* entries = static_cast<std::int32_t*>(workspace(stream, static_cast<std::size_t>(count) * 4));
    launch(make_kernel, dim3(blocks_for(count, 128)), dim3(128), 0, stream, kernel, entries);
    const auto shared = static_cast<std::size_t>((tile_rows + 2 * r) * (tile_cols + 2 * r));
    launch(draw_spread, grid, block, shared, stream, images, p, entries, r);
    return;
  }
  RangeKeys* keys = nullptr;
  if (needs_range(p.source)) {
    keys = static_cast<RangeKeys*>(workspace(stream, sizeof(RangeKeys)));
    fill_zero(keys, sizeof(RangeKeys), stream);
    const auto pixels = static_cast<std::int64_t>(images.field.pixels());
    launch(find_range, dim3(std::min(blocks_for(pixels, 256), 256u)), dim3(256), 0, stream, images.field.data, pixels,
           keys);
  }
  launch(draw_values, grid, block, 0, stream, images, p, keys);
}

}  // namespace rasant
