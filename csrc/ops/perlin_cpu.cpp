// SPDX-License-Identifier: Apache-2.0
#include "ops/perlin.hpp"

#include <algorithm>
#include <vector>

#include "core/error.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

// Buffers of one thread; they grow to the largest field seen and are kept.
struct Workspace {
  std::vector<float> gu, gv;          // gradients, lattice nodes row by row
  std::vector<float> v, fade_v;       // offset of a pixel column within its cell
  std::vector<float> wide_u, wide_v;  // gradients of one lattice row, spread over pixel columns
  std::vector<float> x[2], y[2];      // X and Y of the lattice rows above and below
  std::vector<float> field;           // padded with zeros, for the rotation
};

// Gradients of all nodes, 64 at a time: gu and gv have room for the next multiple of 64.
RASANT_VECTOR void draw_gradients(const PerlinParams& p, int nodes, float* __restrict gu, float* __restrict gv) {
  std::uint32_t bits[64];
  for (int first = 0; first < nodes; first += 64) {
    for (int i = 0; i < 16; ++i) {
      const auto item = static_cast<std::uint32_t>(first / 4 + i);
      const Random4 random = philox(p.seed, p.sample, item, Purpose::perlin_gradient);
      bits[i] = random.v[0];
      bits[i + 16] = random.v[1];
      bits[i + 32] = random.v[2];
      bits[i + 48] = random.v[3];
    }
    for (int n = 0; n < 64; ++n) perlin_gradient(bits[n], gu[first + n], gv[first + n]);
  }
}

template <int step>
RASANT_INLINE void spread_by(const float* __restrict node, int nodes, float* __restrict wide) {
  for (int n = 0; n < nodes; ++n)
    for (int k = 0; k < step; ++k) wide[n * step + k] = node[n];
}

// Each node `step` times. Narrow cells have loops of their own, which the compiler turns into permutations.
RASANT_VECTOR void spread(const float* __restrict node, int nodes, int step, float* __restrict wide) {
  if (step == 1) return spread_by<1>(node, nodes, wide);
  if (step == 2) return spread_by<2>(node, nodes, wide);
  if (step == 4) return spread_by<4>(node, nodes, wide);
  if (step == 8) return spread_by<8>(node, nodes, wide);
  for (int n = 0; n < nodes; ++n)
    for (int k = 0; k < step; ++k) wide[n * step + k] = node[n];
}

// X and Y of one lattice row. Right neighbours stand one cell further in the spread gradients.
RASANT_VECTOR void lattice_row(const Workspace& w, int width, int step, float* __restrict x, float* __restrict y) {
  const float* __restrict v = w.v.data(), * __restrict fade_v = w.fade_v.data();
  const float* __restrict gu = w.wide_u.data(), * __restrict gv = w.wide_v.data();
  for (int j = 0; j < width; ++j) {
    x[j] = perlin_x(fade_v[j], gu[j], gu[j + step]);
    y[j] = perlin_y(v[j], fade_v[j], gv[j], gv[j + step]);
  }
}

RASANT_INLINE void pixel_row(float u, const float* __restrict x0, const float* __restrict y0,
                             const float* __restrict x1, const float* __restrict y1, float* __restrict out, int width) {
  const float fade_u = perlin_fade(u);
  for (int j = 0; j < width; ++j) out[j] = perlin_value(u, fade_u, x0[j], y0[j], x1[j], y1[j]);
}

// Pixel rows [first, last) of one lattice row, which is `rows` pixel rows high.
RASANT_VECTOR void pixel_rows(const Workspace& w, int above, int first, int last, int rows, ImageView<float> out) {
  const float *x0 = w.x[above].data(), *x1 = w.x[above ^ 1].data();
  const float *y0 = w.y[above].data(), *y1 = w.y[above ^ 1].data();
  for (int i = first; i < last; ++i)
    pixel_row(static_cast<float>(i - first) / static_cast<float>(rows), x0, y0, x1, y1, out.row(i), out.width);
}

void prepare(Workspace& w, const PerlinParams& p, int width) {
  const int step = perlin_cell(width, p.lattice_cols);
  const int nodes = (p.lattice_rows + 1) * (p.lattice_cols + 1);
  const auto at_least = [](auto& buffer, int size) {
    if (buffer.size() < static_cast<std::size_t>(size)) buffer.resize(static_cast<std::size_t>(size));
  };
  at_least(w.gu, nodes + 63);
  at_least(w.gv, nodes + 63);
  for (auto* buffer : {&w.v, &w.fade_v, &w.x[0], &w.x[1], &w.y[0], &w.y[1]}) at_least(*buffer, width);
  for (auto* buffer : {&w.wide_u, &w.wide_v}) at_least(*buffer, (p.lattice_cols + 1) * step);
  for (int j = 0; j < std::min(step, width); ++j) {
    const float v = static_cast<float>(j) / static_cast<float>(step);
    w.v[static_cast<std::size_t>(j)] = v;
    w.fade_v[static_cast<std::size_t>(j)] = perlin_fade(v);
  }
  for (auto j = static_cast<std::size_t>(step); j < static_cast<std::size_t>(width); ++j) {
    w.v[j] = w.v[j - static_cast<std::size_t>(step)];
    w.fade_v[j] = w.fade_v[j - static_cast<std::size_t>(step)];
  }
  draw_gradients(p, nodes, w.gu.data(), w.gv.data());
}

void unrotated(Workspace& w, const PerlinParams& p, ImageView<float> out) {
  prepare(w, p, out.width);
  const int rows = perlin_cell(out.height, p.lattice_rows), cols = perlin_cell(out.width, p.lattice_cols);
  const int nodes = p.lattice_cols + 1;
  const auto lattice = [&](int r) {
    spread(w.gu.data() + r * nodes, nodes, cols, w.wide_u.data());
    spread(w.gv.data() + r * nodes, nodes, cols, w.wide_v.data());
    lattice_row(w, out.width, cols, w.x[r & 1].data(), w.y[r & 1].data());
  };
  lattice(0);
  for (int r = 0, first = 0; first < out.height; ++r, first += rows) {
    lattice(r + 1);
    pixel_rows(w, r & 1, first, std::min(first + rows, out.height), rows, out);
  }
}

// One output row of the rotation. `padded` has one row and column of zeros before the field and two after it.
RASANT_VECTOR void rotated_row(const float* __restrict padded, int stride, int height, int width, int i, float sine,
                               float cosine, float* __restrict out) {
  for (int j = 0; j < width; ++j) {
    const PerlinTap tap = perlin_tap(i, j, height, width, sine, cosine);
    const int at = tap.row * stride + tap.column;
    const Pair above = load_pair(padded + at), below = load_pair(padded + at + stride);
    out[j] = perlin_blend(tap, above.left, above.right, below.left, below.right);
  }
}

void rotated(Workspace& w, const PerlinParams& p, ImageView<float> out) {
  const int stride = out.width + 3;
  const std::size_t size = static_cast<std::size_t>(stride) * static_cast<std::size_t>(out.height + 3);
  if (w.field.size() < size) w.field.resize(size);
  float* padded = w.field.data();
  std::fill_n(padded, stride, 0.0f);
  for (int i = 1; i <= out.height; ++i) {
    float* row = padded + static_cast<std::ptrdiff_t>(i) * stride;
    row[0] = row[out.width + 1] = row[out.width + 2] = 0.0f;
  }
  std::fill_n(padded + static_cast<std::ptrdiff_t>(out.height + 1) * stride, 2 * stride, 0.0f);
  unrotated(w, p, {padded + stride + 1, out.height, out.width, 1, stride});
  float sine, cosine;
  perlin_rotation(p.angle, sine, cosine);
  for (int i = 0; i < out.height; ++i) rotated_row(padded, stride, out.height, out.width, i, sine, cosine, out.row(i));
}

template <PerlinMask mode>
RASANT_INLINE void masked(const float* __restrict field, std::int8_t* __restrict out, std::int64_t count, float t) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = perlin_masked(field[i], t, mode);
}

RASANT_VECTOR void positive(const float* field, std::int8_t* out, std::int64_t count, float t) {
  masked<PerlinMask::positive>(field, out, count, t);
}

RASANT_VECTOR void absolute(const float* field, std::int8_t* out, std::int64_t count, float t) {
  masked<PerlinMask::absolute>(field, out, count, t);
}

RASANT_VECTOR void ternary(const float* field, std::int8_t* out, std::int64_t count, float t) {
  masked<PerlinMask::ternary>(field, out, count, t);
}

}  // namespace

void perlin_rotation(float angle, float& sine, float& cosine) {
  const double turns = static_cast<double>(angle) / 6.283185307179586476925;
  sincos_turns(static_cast<float>(turns - std::floor(turns)), sine, cosine);
}

void check_perlin(int height, int width, const PerlinParams& p) {
  check(height <= perlin_max_size && width <= perlin_max_size, "a Perlin field has at most ", perlin_max_size,
        " rows and columns, got ", height, " x ", width, "; generate tiles");
  check(p.lattice_rows >= 1 && p.lattice_rows <= height && p.lattice_cols >= 1 && p.lattice_cols <= width,
        "lattice must be 1..rows and 1..columns of the field (", height, ", ", width, "), got (", p.lattice_rows, ", ",
        p.lattice_cols, "); use fewer cells");
  check(std::isfinite(p.angle), "angle must be a finite number of radians, got ", p.angle, "; use 0 for no rotation");
}

void perlin_field_cpu(ImageView<float> out, const PerlinParams& p) {
  check_perlin(out.height, out.width, p);
  thread_local Workspace workspace;
  if (p.angle == 0.0f) {
    unrotated(workspace, p, out);
  } else {
    rotated(workspace, p, out);
  }
}

float checked_threshold(float threshold) {
  check(threshold >= 0.0f, "threshold must be >= 0, got ", threshold, "; a field lies in [-1, 1]");
  return threshold;
}

void perlin_mask_cpu(const float* field, std::int8_t* out, std::int64_t count, float threshold, PerlinMask mode) {
  checked_threshold(threshold);
  switch (mode) {
    case PerlinMask::positive: return positive(field, out, count, threshold);
    case PerlinMask::absolute: return absolute(field, out, count, threshold);
    case PerlinMask::ternary: return ternary(field, out, count, threshold);
  }
}

}  // namespace rasant
