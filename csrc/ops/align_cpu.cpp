// SPDX-License-Identifier: Apache-2.0
// Rows of the depth image in bands, each with a z-buffer of its own of which only the rows in reach are touched, then
// their minimum. A row goes in chunks that stay in the first cache: the projection vectorises, the writing does not.
#include "ops/align.hpp"

#include <algorithm>
#include <vector>

#include "core/error.hpp"
#include "core/lens_ray.hpp"
#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int chunk = 256;

// What the pixels of a chunk write: a rectangle from key `at` of the image on, right + 1 columns and down + 1 rows.
// The four keys are those of its corners. Nothing is written where right or down is negative.
struct Splats {
  int at[chunk], right[chunk], down[chunk];
  std::uint32_t top_left[chunk], top_right[chunk], low_left[chunk], low_right[chunk];
  float x[chunk], y[chunk], z[chunk], density_x[chunk], density_y[chunk];
};

// One row of tables and depth, from some column on.
struct Source { const float *depth, *ray_x, *ray_y, *foot_x, *foot_y; };

struct Rows {  // first..last - 1
  int first, last;
};

template <LensModel model>
RASANT_VECTOR Rows splat_row(Source from, int count, const AlignParams& p, int height, int width,
                             Splats& __restrict to) {
  float foot_x[chunk], foot_y[chunk];
  for (int block = 0; block * footprint_block < count; ++block)
    for (int i = 0; i < footprint_block; ++i) {
      foot_x[block * footprint_block + i] = from.foot_x[block];
      foot_y[block * footprint_block + i] = from.foot_y[block];
    }
  int first = height, last = -1;
  for (int i = 0; i < count; ++i) {
    const Seen seen = seen_by_color<model>(from.depth[i], from.ray_x[i], from.ray_y[i], p);
    const Span h = span_of(seen.x, foot_x[i], seen.scale, p.margin, static_cast<float>(width));
    const Span v = span_of(seen.y, foot_y[i], seen.scale, p.margin, static_cast<float>(height));
    const std::uint32_t left = rank_of(h.first, h.at, h.density), right = rank_of(h.last, h.at, h.density);
    const std::uint32_t top = rank_of(v.first, v.at, v.density), low = rank_of(v.last, v.at, v.density);
    to.top_left[i] = key_of(seen.z, left, top), to.top_right[i] = key_of(seen.z, right, top);
    to.low_left[i] = key_of(seen.z, left, low), to.low_right[i] = key_of(seen.z, right, low);
    to.at[i] = v.first * width + h.first, to.right[i] = h.last - h.first, to.down[i] = v.last - v.first;
    to.x[i] = h.at, to.y[i] = v.at, to.z[i] = seen.z, to.density_x[i] = h.density, to.density_y[i] = v.density;
    const int away = static_cast<int>((h.first > h.last) | (v.first > v.last)) * height;  // nothing to write
    first = std::min(first, v.first + away);
    last = std::max(last, v.last - away);
  }
  return {first, last + 1};
}

// The z-buffer of a band of depth rows. Rows outside `rows` are not yet cleared.
struct Band {
  std::uint32_t* keys;
  int width;
  Rows rows;

  std::uint32_t* row(int y) const { return keys + static_cast<std::ptrdiff_t>(y) * width; }

  void clear(int begin, int end) {
    if (begin < end) std::fill(row(begin), row(end), nothing_seen);
  }
  void reach(const Rows& wanted) {
    if (wanted.first >= wanted.last) return;
    if (rows.first >= rows.last) rows = {wanted.first, wanted.first};
    clear(wanted.first, rows.first);
    clear(rows.last, wanted.last);
    rows = {std::min(rows.first, wanted.first), std::max(rows.last, wanted.last)};
  }
};

RASANT_INLINE void put(std::uint32_t& cell, std::uint32_t key) { cell = key < cell ? key : cell; }

void write_rectangle(const Splats& s, int i, const Band& band) {
  const int y0 = s.at[i] / band.width, x0 = s.at[i] % band.width;
  for (int y = y0; y <= y0 + s.down[i]; ++y) {
    const std::uint32_t rank = rank_of(y, s.y[i], s.density_y[i]);
    std::uint32_t* row = band.row(y);
    for (int x = x0; x <= x0 + s.right[i]; ++x) put(row[x], key_of(s.z[i], rank_of(x, s.x[i], s.density_x[i]), rank));
  }
}

void write_splats(const Splats& s, int count, const Band& band) {
  for (int i = 0; i < count; ++i) {
    const int right = s.right[i], down = s.down[i];
    if (static_cast<unsigned>(right | down) > 1u) {  // negative, or more than two
      if ((right | down) >= 0) write_rectangle(s, i, band);
      continue;
    }
    std::uint32_t* const top = band.keys + s.at[i];  // one or two pixels a side, one of them maybe twice
    std::uint32_t* const low = top + (-down & band.width);
    put(top[0], s.top_left[i]);
    put(top[right], s.top_right[i]);
    put(low[0], s.low_left[i]);
    put(low[right], s.low_right[i]);
  }
}

template <LensModel model>
void splat_band(ImageView<const float> depth, ImageView<const float> rays, ImageView<const float> footprint,
                const AlignParams& p, int height, int begin, int end, Band& band) {
  Splats splats;
  for (int y = begin; y < end; ++y)
    for (int x = 0; x < depth.width; x += chunk) {
      const int block = x / footprint_block, count = std::min(chunk, depth.width - x);
      const Source from{depth.row(y) + x, rays.row(y) + x, rays.row(y + depth.height) + x, footprint.row(y) + block,
                        footprint.row(y + depth.height) + block};
      band.reach(splat_row<model>(from, count, p, height, band.width, splats));
      write_splats(splats, count, band);
    }
}

RASANT_VECTOR void lower_keys(std::uint32_t* __restrict keys, const std::uint32_t* __restrict other, int width) {
  for (int x = 0; x < width; ++x) keys[x] = other[x] < keys[x] ? other[x] : keys[x];
}

RASANT_VECTOR void depth_row(const std::uint32_t* __restrict keys, float* __restrict out, int width) {
  for (int x = 0; x < width; ++x) out[x] = depth_of_key(keys[x]);
}

void merge_row(std::vector<Band>& bands, int y, float* out, int width) {
  std::uint32_t* keys = nullptr;
  for (Band& band : bands) {
    if (y < band.rows.first || y >= band.rows.last) continue;
    if (keys) {
      lower_keys(keys, band.row(y), width);
    } else {
      keys = band.row(y);
    }
  }
  if (keys) {
    depth_row(keys, out, width);
  } else {
    std::fill(out, out + width, 0.0f);
  }
}

struct Looks {
  int x[chunk], y[chunk], at[chunk];
  float z[chunk];
};

template <LensModel model>
RASANT_VECTOR void look_row(Source from, int count, const AlignParams& p, int height, int width, Looks& __restrict to) {
  for (int i = 0; i < count; ++i) {
    const Seen seen = seen_by_color<model>(from.depth[i], from.ray_x[i], from.ray_y[i], p);
    const Look look = look_of(seen, height, width);
    to.x[i] = look.x, to.y[i] = look.y, to.at[i] = look.at, to.z[i] = seen.z;
  }
}

// Projections of all rays at infinity, x then y, NaN where not seen.
std::vector<float> project_rays(const Lens<double>& color, const double (&m)[12], ImageView<const float> rays) {
  const int height = rays.height / 2, width = rays.width;
  const auto pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  std::vector<float> to(2 * pixels);
  with_model(color.model, [&](auto model) {
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        const double a = rays(y, x), b = rays(y + height, x), w = m[8] * a + m[9] * b + m[10];
        double px, py;
        project<model()>(color, (m[0] * a + m[1] * b + m[2]) / w, (m[4] * a + m[5] * b + m[6]) / w, px, py);
        const std::size_t i =
            static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x);
        to[i] = w > 0.0 ? static_cast<float>(px) : NAN;
        to[pixels + i] = static_cast<float>(py);
      }
  });
  return to;
}

// Pixels that `at` changes by in one step along an axis of `size` pixels, `stride` values apart; NaN if unknown.
float slope_at(const float* at, int index, int size, int stride) {
  const float here = at[0], before = index > 0 ? at[-stride] : NAN, after = index + 1 < size ? at[stride] : NAN;
  const float central = (after - before) / 2.0f, forward = after - here, backward = here - before;
  return central == central ? central : (forward == forward ? forward : backward);
}

}  // namespace

void check_align(const AlignParams& p, ImageView<const float> depth, int height, int width) {
  const int largest = std::max(std::max(depth.height, depth.width), std::max(height, width));
  check<BadShape>(largest <= align_max_size, "images must be at most ", align_max_size, " pixels a side, got ",
                  largest);
  check(p.margin >= 0.0f && p.margin <= 2.0f, "margin_px must be 0..2 pixels, got ", p.margin, "; 0.25 is usual");
  check(p.step >= 0.0f && std::isfinite(p.step), "step must be a share of the depth >= 0, got ", p.step,
        "; 0.02 is usual");
}

void lens_rays_cpu(const Lens<double>& lens, ImageView<float> rays, int threads) {
  const int height = rays.height / 2;
  for_each_row(height, threads, [&](int begin, int end, int) {
    for (int y = begin; y < end; ++y)
      for (int x = 0; x < rays.width; ++x) {
        const Ray ray = ray_of(lens, x, y);
        rays(y, x) = static_cast<float>(ray.x);
        rays(y + height, x) = static_cast<float>(ray.y);
      }
  });
}

void footprint_cpu(const Lens<double>& color, const double (&pose)[12], ImageView<const float> rays,
                   ImageView<float> footprint) {
  const int height = rays.height / 2, width = rays.width;
  const std::vector<float> at = project_rays(color, pose, rays);
  float largest[2] = {0.0f, 0.0f};
  for (int axis = 0; axis < 2; ++axis)
    for (int y = 0; y < height; ++y) {
      float* row = footprint.row(y + axis * height);
      std::fill(row, row + footprint.width, 0.0f);
      for (int x = 0; x < width; ++x) {
        const float* p = at.data() + (static_cast<std::ptrdiff_t>(y) + axis * height) * width + x;
        const float half = 0.5f * (std::fabs(slope_at(p, x, width, 1)) + std::fabs(slope_at(p, y, height, width)));
        float& block = row[x / footprint_block];
        block = half > block && half < 1e4f ? half : block;
        largest[axis] = std::max(largest[axis], block);
      }
    }
  for (int axis = 0; axis < 2; ++axis)  // where no neighbour is seen at infinity: as anywhere
    for (int y = 0; y < height; ++y)
      for (float* half = footprint.row(y + axis * height); half < footprint.row(y + axis * height) + footprint.width;
           ++half)
        *half = *half > 0.0f ? *half : (largest[axis] > 0.0f ? largest[axis] : 0.5f);
}

void align_depth_cpu(ImageView<const float> depth, ImageView<const float> rays, ImageView<const float> footprint,
                     const AlignParams& params, ImageView<float> out, int threads) {
  thread_local std::vector<std::uint32_t> keys;  // grows to the largest call of this thread
  thread_local std::vector<Band> bands;
  const int count = std::clamp(threads, 1, std::min(depth.height, max_threads));
  if (keys.size() < out.pixels() * static_cast<std::size_t>(count))
    keys.resize(out.pixels() * static_cast<std::size_t>(count));
  bands.clear();
  for (int k = 0; k < count; ++k)
    bands.push_back({keys.data() + out.pixels() * static_cast<std::size_t>(k), out.width, {0, 0}});
  Band* const first = bands.data();
  for_each_row(depth.height, count, [&](int begin, int end, int band) {
    with_model(params.color.model, [&](auto model) {
      splat_band<model()>(depth, rays, footprint, params, out.height, begin, end, first[band]);
    });
  });
  std::vector<Band>& all = bands;
  for_each_row(out.height, threads, [&](int begin, int end, int) {
    for (int y = begin; y < end; ++y) merge_row(all, y, out.row(y), out.width);
  });
}

void align_color_cpu(ImageView<const std::uint8_t> color, ImageView<const float> depth, ImageView<const float> seen,
                     ImageView<const float> rays, const AlignParams& params, ImageView<std::uint8_t> out,
                     ImageView<std::uint8_t> valid, int threads) {
  for_each_row(depth.height, threads, [&](int begin, int end, int) {
    Looks looks;
    for (int y = begin; y < end; ++y)
      for (int x = 0; x < depth.width; x += chunk) {
        const int count = std::min(chunk, depth.width - x);
        const Source from{depth.row(y) + x, rays.row(y) + x, rays.row(y + depth.height) + x, nullptr, nullptr};
        with_model(params.color.model,
                   [&](auto model) { look_row<model()>(from, count, params, color.height, color.width, looks); });
        for (int i = 0; i < count; ++i)
          valid(y, x + i) = take_color(color, seen.data, {looks.x[i], looks.y[i], looks.at[i]}, looks.z[i], params,
                                       out.row(y) + 3 * (x + i));
      }
  });
}

}  // namespace rasant
