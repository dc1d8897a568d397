// SPDX-License-Identifier: Apache-2.0
// A thread makes a column of `tall` pixels; the colour table lies in shared memory.
#include "core/launch.hpp"
#include "ops/overlay.hpp"

namespace rasant {
namespace {

constexpr int wide = 32, high = overlay_levels / wide;  // threads of a block, one for each level
constexpr int tall = 4;                                 // pixels of a thread

RASANT_HD float map_row_at(const ImageView<const float>& map, int row, int left, float share, float gain) {
  const int right = left + 1 < map.width ? left + 1 : left;
  return overlay_between(overlay_scaled(map(row, left), gain), overlay_scaled(map(row, right), gain), share);
}

RASANT_HD int level_at(const ImageView<const float>& map, const OverlayParams& p, int y, int x) {
  const float across = overlay_position(p.columns, x), down = overlay_position(p.rows, y);
  const int left = static_cast<int>(across), above = static_cast<int>(down);
  const int below = above + 1 < map.height ? above + 1 : above;
  const float share = across - static_cast<float>(left);
  return static_cast<int>(overlay_between(map_row_at(map, above, left, share, p.gain),
                                          map_row_at(map, below, left, share, p.gain),
                                          down - static_cast<float>(above)));
}

RASANT_KERNEL void blend_pixels(ImageView<const std::uint8_t> picture, ImageView<const float> map, OverlayParams params,
                                ImageView<std::uint8_t> out, int across) {
  RASANT_SHARED(OverlayColors, table, 1);
  const int lane = static_cast<int>(threadIdx.y) * wide + static_cast<int>(threadIdx.x);
  for (int c = 0; c < 4; ++c) table->of[lane][c] = params.colors.of[lane][c];
  gpu::barrier();
  const int x = static_cast<int>(blockIdx.x) % across * wide + static_cast<int>(threadIdx.x);
  const int top = static_cast<int>(blockIdx.x) / across * high * tall + static_cast<int>(threadIdx.y);
  if (x >= out.width) return;
  const bool covered = x >= params.columns.first && x < params.columns.end;
  for (int k = 0; k < tall; ++k) {
    const int y = top + k * high;
    if (y >= out.height) return;
    const std::uint8_t* const from = &picture(y, x);
    std::uint8_t* const to = &out(y, x);
    if (covered && y >= params.rows.first && y < params.rows.end) {
      const std::uint8_t* const color = table->of[level_at(map, params, y, x)];
      for (int c = 0; c < 3; ++c) to[c] = overlay_blended(from[c], color[c], color[3]);
    } else {
      for (int c = 0; c < 3; ++c) to[c] = from[c];
    }
  }
}

}  // namespace

void overlay_cuda(ImageView<const std::uint8_t> picture, ImageView<const float> map, const OverlayParams& params,
                  ImageView<std::uint8_t> out, Stream stream) {
  const unsigned across = blocks_for(out.width, wide);
  launch(blend_pixels, dim3(across * blocks_for(out.height, high * tall)), dim3(wide, high), 0, stream, picture, map,
         params, out, static_cast<int>(across));
}

}  // namespace rasant
