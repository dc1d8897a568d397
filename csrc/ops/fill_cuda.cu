// SPDX-License-Identifier: Apache-2.0
// A block brings a tile and a halo of as many pixels as it makes passes into shared memory, makes the passes there,
// each on one ring less, and writes the tile: 2 passes read and write the image once, with 27 % of the pixels twice.
#include <algorithm>

#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/fill.hpp"

namespace rasant {
namespace {

constexpr int tile = 32;                 // pixels a side that a block writes
constexpr int fused = 4;                 // passes of one launch, at most
constexpr int pitch = tile + 2 * fused;  // of a row in shared memory
constexpr int area = pitch * pitch;
constexpr int rows = 8;  // of threads; a row is a warp

// What one launch does. Tiles are numbered along rows: the second dimension of a grid ends at 65535.
struct Sweep {
  int passes, tiles_across;
  bool clean;  // the input is a measurement: what is not valid becomes 0
  bool clamp;
};

RASANT_KERNEL void fill_tile(ImageView<const float> in, ImageView<float> out, Sweep sweep) {
  RASANT_SHARED(float, first, area);
  RASANT_SHARED(float, second, area);
  const int row = static_cast<int>(threadIdx.y), column = static_cast<int>(threadIdx.x);
  const int side = tile + 2 * sweep.passes;
  const int top = static_cast<int>(blockIdx.x) / sweep.tiles_across * tile - sweep.passes;
  const int left = static_cast<int>(blockIdx.x) % sweep.tiles_across * tile - sweep.passes;
  const auto inside = [&](int y, int x) {
    return top + y >= 0 && top + y < in.height && left + x >= 0 && left + x < in.width;
  };
  float *from = first, *to = second;
  for (int y = row; y < side; y += rows)
    for (int x = column; x < side; x += tile) {
      const float value = inside(y, x) ? in(top + y, left + x) : 0.0f;
      from[y * pitch + x] = sweep.clean ? valid_or_zero(value) : value;
    }
  gpu::barrier();
  for (int pass = 1; pass <= sweep.passes; ++pass) {
    for (int y = pass + row; y < side - pass; y += rows)
      for (int x = pass + column; x < side - pass; x += tile) {
        const float* middle = from + y * pitch + x;
        const bool kept = !sweep.clamp && (top + y == 0 || left + x == 0);
        const bool hole = !(*middle > 0.0f) && inside(y, x) && !kept;  // outside stays 0, so that it never counts
        to[y * pitch + x] = hole ? fill_value(middle - pitch, middle, middle + pitch) : *middle;
      }
    gpu::barrier();
    float* const filled = to;
    to = from;
    from = filled;
  }
  for (int y = sweep.passes + row; y < sweep.passes + tile; y += rows) {
    const int x = sweep.passes + column;
    if (inside(y, x)) out(top + y, left + x) = from[y * pitch + x];
  }
}

RASANT_HD float metres(std::uint16_t counts, float scale) { return metres_from_counts(counts, scale); }
RASANT_HD float metres(float value, float scale) { return metres_from_float(value, scale); }

template <class T>
RASANT_KERNEL void convert(ImageView<const T> depth, ImageView<float> out, float scale, int tiles_across) {
  const int y = static_cast<int>(blockIdx.x) / tiles_across * rows + static_cast<int>(threadIdx.y);
  const int x = static_cast<int>(blockIdx.x) % tiles_across * tile + static_cast<int>(threadIdx.x);
  if (y < out.height && x < out.width) out(y, x) = metres(depth(y, x), scale);
}

template <class T>
void convert_all(ImageView<const T> depth, ImageView<float> out, float scale, Stream stream) {
  check_scale(scale);
  const unsigned across = blocks_for(out.width, tile);
  launch(convert<T>, dim3(across * blocks_for(out.height, rows)), dim3(tile, rows), 0, stream, depth, out, scale,
         static_cast<int>(across));
}

}  // namespace

void fill_holes_cuda(ImageView<const float> depth, ImageView<float> out, const FillParams& params, Stream stream) {
  check_fill(params);
  const unsigned across = blocks_for(out.width, tile), tiles = across * blocks_for(out.height, tile);
  int launches = std::max((params.passes + fused - 1) / fused, 1);
  ImageView<float> spare = out;
  if (launches > 1) spare.data = static_cast<float*>(workspace(stream, out.pixels() * sizeof(float)));
  spare.stride = out.width;
  ImageView<const float> from = depth;
  for (int left = params.passes; launches > 0; --launches) {
    const int passes = (left + launches - 1) / launches;
    const ImageView<float> to = launches % 2 == 1 ? out : spare;  // the last one writes `out`
    launch(fill_tile, dim3(tiles), dim3(tile, rows), 0, stream, from, to,
           Sweep{passes, static_cast<int>(across), left == params.passes, params.clamp});
    from = to;
    left -= passes;
  }
}

void to_metres_cuda(ImageView<const std::uint16_t> depth, ImageView<float> out, float scale, Stream stream) {
  convert_all(depth, out, scale, stream);
}

void to_metres_cuda(ImageView<const float> depth, ImageView<float> out, float scale, Stream stream) {
  convert_all(depth, out, scale, stream);
}

}  // namespace rasant
