// SPDX-License-Identifier: Apache-2.0
// One sweep: the sums of `size` rows are kept in a ring, so each depth row is read once. A band of rows begins early
// with rows of its own, hence the same result for any number of threads.
#include "ops/normals.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int pad = normals_max_size / 2;

// Per row of the ring: sums, slopes, and breaks towards the row above.
struct Ring {
  std::vector<float> values, w, breaks;
  std::size_t stride = 0;

  void reset(int width) {
    stride = static_cast<std::size_t>(width);
    values.resize(3 * normals_max_size * stride);
    w.assign(stride + 2 * pad, std::numeric_limits<float>::quiet_NaN());  // beside the image: not valid
    breaks.assign(stride + 2 * pad, std::numeric_limits<float>::quiet_NaN());
  }
  float* row(int kind, int y) {
    return values.data() + static_cast<std::size_t>(kind * normals_max_size + y % normals_max_size) * stride;
  }
};

enum { sums, slopes, above };

template <int radius>
RASANT_VECTOR void measure_row(const float* __restrict z, const float* __restrict z_above, int width, float step,
                               float* __restrict w, float* __restrict breaks, float* __restrict sum,
                               float* __restrict slope, float* __restrict up) {
  for (int x = 0; x < width; ++x) {
    w[x] = inverse_depth(z[x]);
    up[x] = break_between(z[x], z_above[x], step);
  }
  for (int x = 0; x + 1 < width; ++x) breaks[x] = break_between(z[x], z[x + 1], step);
  for (int x = 0; x < width; ++x) {
    const RowSums row = sum_row(w + x, breaks + x, radius);
    sum[x] = row.sum;
    slope[x] = row.slope;
  }
}

// Rows of the window from its first to its last.
struct Window { const float *sum[normals_max_size], *slope[normals_max_size], *up[normals_max_size]; };

template <int radius>
RASANT_VECTOR void normal_row(const Window& window, int width, int y, const NormalsScale& scale,
                              float* __restrict out) {
  const float *s[2 * radius + 1], *a[2 * radius + 1], *u[2 * radius + 1];
  for (int j = 0; j <= 2 * radius; ++j) s[j] = window.sum[j], a[j] = window.slope[j], u[j] = window.up[j];
  const auto v = static_cast<float>(y);
  for (int x = 0; x < width; ++x) {
    float sum = s[radius][x], along = a[radius][x], down = 0.0f, gap = 0.0f;
    for (int j = 1; j <= radius; ++j) {
      const float low = s[radius + j][x], high = s[radius - j][x];
      sum = sum + (low + high);
      along = along + (a[radius + j][x] + a[radius - j][x]);
      down = std::fma(static_cast<float>(j), low - high, down);
      gap = gap + (u[radius + j][x] + u[radius - j + 1][x]);
    }
    normal_of(sum + gap, along, down, static_cast<float>(x), v, scale, out + 3 * x);
  }
}

template <int radius>
void normals_band(ImageView<const float> depth, const NormalsParams& p, ImageView<float> out, int begin, int end,
                  Ring& ring) {
  const NormalsScale scale = normals_scale(p);
  ring.reset(depth.width);
  const auto blank = [&](int y) { std::fill(out.row(y), out.row(y) + 3 * depth.width, 0.0f); };
  for (int head = std::max(begin - radius, 0); head < end + radius; ++head) {
    if (head < depth.height)
      measure_row<radius>(depth.row(head), depth.row(std::max(head - 1, 0)), depth.width, p.step, ring.w.data() + pad,
                          ring.breaks.data() + pad, ring.row(sums, head), ring.row(slopes, head),
                          ring.row(above, head));
    const int y = head - radius;
    if (y < begin) continue;
    if (y < radius || y + radius >= depth.height) {
      blank(y);
      continue;
    }
    Window window{};
    for (int j = 0; j <= 2 * radius; ++j) {
      window.sum[j] = ring.row(sums, y - radius + j);
      window.slope[j] = ring.row(slopes, y - radius + j);
      window.up[j] = ring.row(above, y - radius + j);
    }
    normal_row<radius>(window, depth.width, y, scale, out.row(y));
  }
}

}  // namespace

void check_normals(const NormalsParams& p) {
  check(p.size == 3 || p.size == 5 || p.size == 7 || p.size == 9, "size must be 3, 5, 7 or 9 pixels, got ", p.size,
        "; 5 is usual");
  check(p.step > 0.0f && std::isfinite(p.step), "step_m must be > 0 metres, got ", p.step, "; 0.006 is usual");
  const Pinhole& c = p.camera;
  check(c.fx > 0.0 && c.fy > 0.0 && std::isfinite(c.fx + c.fy + c.cx + c.cy),
        "intrinsics must have fx > 0, fy > 0 and finite values, got fx ", c.fx, ", fy ", c.fy, ", cx ", c.cx, ", cy ",
        c.cy, "; read them from the camera");
}

void surface_normals_cpu(ImageView<const float> depth, const NormalsParams& params, ImageView<float> out, int threads) {
  for_each_row(depth.height, threads, [&](int begin, int end, int) {
    thread_local Ring ring;
    if (params.size == 3) return normals_band<1>(depth, params, out, begin, end, ring);
    if (params.size == 5) return normals_band<2>(depth, params, out, begin, end, ring);
    if (params.size == 7) return normals_band<3>(depth, params, out, begin, end, ring);
    normals_band<4>(depth, params, out, begin, end, ring);
  });
}

}  // namespace rasant
