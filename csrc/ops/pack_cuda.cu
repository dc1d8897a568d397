// SPDX-License-Identifier: Apache-2.0
// One kernel computes the taps of both axes, once a call; in the other a thread makes one output pixel from the source.
// Where the picture shrinks by area each source pixel belongs to little more than one output pixel, so there is next to
// nothing to share between threads; weights lie tap by tap, so that a warp reads them in one piece.
#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/pack.hpp"

namespace rasant {
namespace {

constexpr int tile_width = 32, tile_height = 4;  // output pixels of a block

// weight[t * size + i] belongs to tap t of output pixel i.
struct Taps {
  const int* first;
  const float* weight;
  int size, taps;
};

RASANT_KERNEL void tabulate(Axis rows, Axis columns, int* first, float* row_weight, float* column_weight) {
  const int k = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (k >= rows.out + columns.out) return;
  const bool is_row = k < rows.out;
  const Axis axis = is_row ? rows : columns;
  const int i = is_row ? k : k - rows.out;
  float* const weight = is_row ? row_weight : column_weight;
  const int begin = first[k] = first_tap(axis, i);
  for (int t = 0; t < axis.taps; ++t)
    weight[static_cast<std::ptrdiff_t>(t) * axis.out + i] = tap_weight(axis, i, begin, t);
}

// Calls add(y, weight, t) for the source rows of output row i, in the order and with the gaps of the CPU.
template <class Add>
RASANT_HD void for_each_row_tap(const Taps& rows, int i, const Add& add) {
  const int first = rows.first[i];
  for (int t = 0; t < rows.taps; ++t) {
    const float weight = rows.weight[static_cast<std::ptrdiff_t>(t) * rows.size + i];
    if (t == 0 || weight != 0.0f) add(first + t, weight, t == 0);
  }
}

struct Rgb { float v[3]; };

RASANT_HD Rgb color_at(const ImageView<const std::uint8_t>& color, const Taps& rows, const Taps& columns, int i,
                       int j) {
  Rgb sum{};
  for (int t = 0; t < columns.taps; ++t) {
    const int x = columns.first[j] + t;
    Rgb down{};
    for_each_row_tap(rows, i, [&](int y, float weight, bool start) {
      const std::uint8_t* const pixel = color.row(y) + 3 * static_cast<std::ptrdiff_t>(x);
      for (int c = 0; c < 3; ++c) {
        const float part = weight * static_cast<float>(pixel[c]);
        down.v[c] = start ? part : down.v[c] + part;
      }
    });
    const float weight = columns.weight[static_cast<std::ptrdiff_t>(t) * columns.size + j];
    for (int c = 0; c < 3; ++c) sum.v[c] = t == 0 ? weight * down.v[c] : sum.v[c] + weight * down.v[c];
  }
  return sum;
}

RASANT_HD float depth_at(const ImageView<const float>& depth, const Taps& rows, const Taps& columns, int i, int j) {
  DepthShare sum{};
  for (int t = 0; t < columns.taps; ++t) {
    const int x = columns.first[j] + t;
    DepthShare down{};
    for_each_row_tap(rows, i, [&](int y, float weight, bool start) {
      const DepthShare share = depth_share(depth(y, x), weight);
      down = start ? share : DepthShare{down.value + share.value, down.part + share.part};
    });
    const float weight = columns.weight[static_cast<std::ptrdiff_t>(t) * columns.size + j];
    const DepthShare share{weight * down.value, weight * down.part};
    sum = t == 0 ? share : DepthShare{sum.value + share.value, sum.part + share.part};
  }
  return packed_depth(sum.value, sum.part);
}

RASANT_KERNEL void make_color(ImageView<const std::uint8_t> color, ColorRule rule, Taps rows, Taps columns,
                              ImageView<float> out, int across) {
  const int i = static_cast<int>(blockIdx.x) / across * tile_height + static_cast<int>(threadIdx.y);
  const int j = static_cast<int>(blockIdx.x) % across * tile_width + static_cast<int>(threadIdx.x);
  if (i >= rows.size || j >= columns.size) return;
  const Rgb sum = color_at(color, rows, columns, i, j);
  for (int c = 0; c < 3; ++c) {
    const int from = rule.channel[c];
    const float value = from == 0 ? sum.v[0] : from == 1 ? sum.v[1] : sum.v[2];  // registers cannot be indexed
    out(c * rows.size + i, j) = value * rule.gain[c] + rule.offset[c];
  }
}

RASANT_KERNEL void make_depth(ImageView<const float> depth, Taps rows, Taps columns, ImageView<float> out, int across,
                              bool same) {
  const int i = static_cast<int>(blockIdx.x) / across * tile_height + static_cast<int>(threadIdx.y);
  const int j = static_cast<int>(blockIdx.x) % across * tile_width + static_cast<int>(threadIdx.x);
  if (i < rows.size && j < columns.size)
    out(i, j) = same ? kept_depth(depth(i, j)) : depth_at(depth, rows, columns, i, j);
}

struct Table { Taps rows, columns; };

Table table(const Axis& rows, const Axis& columns, Stream stream) {
  const auto size = [](const Axis& axis) { return static_cast<std::size_t>(axis.out); };
  const auto weights = [&](const Axis& axis) { return size(axis) * static_cast<std::size_t>(axis.taps); };
  static_assert(sizeof(int) == sizeof(float), "one allocation holds both");
  const std::size_t items = size(rows) + size(columns) + weights(rows) + weights(columns);
  int* const first = static_cast<int*>(workspace(stream, items * sizeof(float)));
  float* const row_weight = reinterpret_cast<float*>(first + size(rows) + size(columns));
  float* const column_weight = row_weight + weights(rows);
  launch(tabulate, dim3(blocks_for(rows.out + columns.out, 64)), dim3(64), 0, stream, rows, columns, first, row_weight,
         column_weight);
  return {{first, row_weight, rows.out, rows.taps}, {first + size(rows), column_weight, columns.out, columns.taps}};
}

}  // namespace

void pack_color_cuda(ImageView<const std::uint8_t> color, const ColorRule& rule, Interpolation interpolation,
                     ImageView<float> out, Stream stream) {
  const int height = out.height / 3;
  const unsigned across = blocks_for(out.width, tile_width);
  const Table taps =
      table(make_axis(color.height, height, interpolation), make_axis(color.width, out.width, interpolation), stream);
  launch(make_color, dim3(across * blocks_for(height, tile_height)), dim3(tile_width, tile_height), 0, stream, color,
         rule, taps.rows, taps.columns, out, static_cast<int>(across));
}

void pack_depth_cuda(ImageView<const float> depth, Interpolation interpolation, ImageView<float> out, Stream stream) {
  const bool same = depth.height == out.height && depth.width == out.width;
  const unsigned across = blocks_for(out.width, tile_width);
  const Table taps = table(make_axis(depth.height, out.height, interpolation),
                           make_axis(depth.width, out.width, interpolation), stream);
  launch(make_depth, dim3(across * blocks_for(out.height, tile_height)), dim3(tile_width, tile_height), 0, stream,
         depth, taps.rows, taps.columns, out, static_cast<int>(across), same);
}

}  // namespace rasant
