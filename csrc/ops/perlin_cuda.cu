// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/perlin.hpp"

namespace rasant {
namespace {

constexpr int chunk = 48;  // fields of one launch; their parameters travel with it, below 4 KB together
constexpr int edge = 16;   // of a block of pixels

struct Field {
  PerlinParams params;
  int cell_rows, cell_cols, nodes;
  float sine, cosine;
};

struct Fields { Field of[chunk]; };

// All samples of a chunk have room for the same number of nodes, `room` (a multiple of 64).
RASANT_KERNEL void draw_gradients(Fields fields, int room, float* gu, float* gv) {
  const Field& f = fields.of[blockIdx.y];
  const int n = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (n >= f.nodes) return;
  const auto item = static_cast<std::uint32_t>(16 * (n / 64) + n % 16);
  const Random4 random = philox(f.params.seed, f.params.sample, item, Purpose::perlin_gradient);
  const std::size_t at =
      static_cast<std::size_t>(blockIdx.y) * static_cast<std::size_t>(room) + static_cast<std::size_t>(n);
  perlin_gradient(random.v[n / 16 % 4], gu[at], gv[at]);
}

RASANT_HD float value_at(const Field& f, const float* gu, const float* gv, int i, int j) {
  const int r = i / f.cell_rows, c = j / f.cell_cols, line = f.params.lattice_cols + 1;
  const float u = static_cast<float>(i - r * f.cell_rows) / static_cast<float>(f.cell_rows);
  const float v = static_cast<float>(j - c * f.cell_cols) / static_cast<float>(f.cell_cols);
  const float fade_v = perlin_fade(v);
  const int above = r * line + c, below = above + line;
  return perlin_value(u, perlin_fade(u), perlin_x(fade_v, gu[above], gu[above + 1]),
                      perlin_y(v, fade_v, gv[above], gv[above + 1]), perlin_x(fade_v, gu[below], gu[below + 1]),
                      perlin_y(v, fade_v, gv[below], gv[below + 1]));
}

// Four values a pixel instead of a field in between: a rotation costs arithmetic, not memory.
RASANT_KERNEL void draw_fields(Fields fields, int room, const float* gu, const float* gv, int height, int width,
                               float* out) {
  const Field& f = fields.of[blockIdx.z];
  const int j = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int i = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  if (i >= height || j >= width) return;
  const std::size_t sample = blockIdx.z;
  gu += sample * static_cast<std::size_t>(room);
  gv += sample * static_cast<std::size_t>(room);
  float value;
  if (f.params.angle == 0.0f) {
    value = value_at(f, gu, gv, i, j);
  } else {
    const PerlinTap tap = perlin_tap(i, j, height, width, f.sine, f.cosine);
    const auto at = [&](int row, int column) {
      const int y = tap.row - 1 + row, x = tap.column - 1 + column;
      return y >= 0 && y < height && x >= 0 && x < width ? value_at(f, gu, gv, y, x) : 0.0f;
    };
    value = perlin_blend(tap, at(0, 0), at(0, 1), at(1, 0), at(1, 1));
  }
  out[(sample * static_cast<std::size_t>(height) + static_cast<std::size_t>(i)) * static_cast<std::size_t>(width) +
      static_cast<std::size_t>(j)] = value;
}

struct Thresholds { float of[chunk]; };

RASANT_KERNEL void mask_fields(const float* fields, std::int8_t* out, std::int64_t pixels, Thresholds thresholds,
                               PerlinMask mode) {
  const std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k >= pixels) return;
  const std::int64_t at = blockIdx.y * pixels + k;
  out[at] = perlin_masked(fields[at], thresholds.of[blockIdx.y], mode);
}

}  // namespace

void perlin_fields_cuda(float* out, int count, int height, int width, const PerlinParams* params, Stream stream) {
  for (int first = 0; first < count; first += chunk) {
    const int fields = std::min(chunk, count - first);
    Fields chosen{};
    int room = 0;
    for (int k = 0; k < fields; ++k) {
      const PerlinParams& p = params[first + k];
      check_perlin(height, width, p);
      Field& f = chosen.of[k];
      f = {p,
           perlin_cell(height, p.lattice_rows),
           perlin_cell(width, p.lattice_cols),
           (p.lattice_rows + 1) * (p.lattice_cols + 1),
           0.0f,
           1.0f};
      if (p.angle != 0.0f) perlin_rotation(p.angle, f.sine, f.cosine);
      room = std::max(room, (f.nodes + 63) / 64 * 64);
    }
    const std::size_t floats = static_cast<std::size_t>(room) * static_cast<std::size_t>(fields);
    auto* gu = static_cast<float*>(workspace(stream, 2 * floats * sizeof(float)));
    const auto samples = static_cast<unsigned>(fields);
    launch(draw_gradients, dim3(blocks_for(room, 64), samples), dim3(64), 0, stream, chosen, room, gu, gu + floats);
    launch(draw_fields, dim3(blocks_for(width, edge), blocks_for(height, edge), samples), dim3(edge, edge), 0, stream,
           chosen, room, gu, gu + floats, height, width, out + static_cast<std::ptrdiff_t>(first) * height * width);
  }
}

void perlin_masks_cuda(const float* fields, std::int8_t* out, int count, std::int64_t pixels, const float* thresholds,
                       int step, PerlinMask mode, Stream stream) {
  for (int first = 0; first < count; first += chunk) {
    const int chosen = std::min(chunk, count - first);
    Thresholds limits{};
    for (int k = 0; k < chosen; ++k) limits.of[k] = checked_threshold(thresholds[(first + k) * step]);
    launch(mask_fields, dim3(blocks_for(pixels, 256), static_cast<unsigned>(chosen)), dim3(256), 0, stream,
           fields + first * pixels, out + first * pixels, pixels, limits, mode);
  }
}

}  // namespace rasant
