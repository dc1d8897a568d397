// SPDX-License-Identifier: Apache-2.0
// Depth seen by the colour camera, and colour seen by the depth camera, through the lenses of both (core/lens.hpp).
//
//   p = z (x, y, 1), (x, y) the ray of the depth pixel, from a table;  q = R p + t, metres;  pixel = project(q / q_z)
//   align_depth: each depth pixel covers the colour pixels whose centres lie in [pixel - half, pixel + half),
//                half = footprint * scale + margin, 0.5..16 pixels, in x and in y.
//     footprint  half the bounding box of the depth pixel's square in the colour image at infinity, the largest of 16
//                neighbours in the row; scale = z (R (x, y, 1))_z / q_z carries it to the depth
//     margin     pixels beyond that: closes the gaps where a surface leans away. librealsense's rule is like 0.5
//     result     q_z, 0 where nothing falls
//   Who is seen: the nearest, with a handicap for what lies off the middle: the bits of the float q_z plus 2^14 (0.1 to
//   0.2 % of the depth) times rank = 7 |distance from the pixel| / half, the larger of both axes, rounded down to 0..6.
//   So what is 1.2 % nearer always hides what is behind it, and on one surface the depth pixel wins that falls nearest
//   to the colour pixel: a minimum over all that overlap would pull noise and slopes forward. It is the minimum of an
//   integer key, so the order of writing does not matter.
//
//   align_color: each depth pixel takes the colour at its pixel, bilinear in steps of 1/32 or nearest. Colour and valid
//   are 0 where its depth is invalid, where it falls outside the colour image (a pixel reaches 0.5 beyond its centre,
//   bilinear repeats the border), and where the colour camera sees something nearer there: q_z > (1 + step) seen.
//
// Depth in metres, valid where 0 < z < inf; images up to 16384 x 16384. Seen are points with 2^-32 <= q_z < 2^31.
// IEEE operations in fixed order and integers: the same bits for any number of threads and on every device.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/depth.hpp"
#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/lens.hpp"
#include "core/stream.hpp"

namespace rasant {

struct AlignParams {
  Lens<float> color;
  float pose[12];        // [R | t] row by row, from the depth camera's frame to the colour camera's; t in metres
  float margin = 0.25f;  // align_depth: pixels, 0..2
  float step = 0.02f;    // align_color: a surface seen that much nearer, as a share of its depth, hides a pixel
  bool bilinear = true;  // align_color
};

constexpr int align_max_size = 1 << 14;
constexpr int footprint_block = 16;  // depth pixels of a row that share a footprint
constexpr float max_half = 16.0f;
constexpr std::uint32_t first_depth = 95u << 23;  // bits of 2^-32: 64 exponents from here leave 3 bits for the rank
constexpr std::uint32_t handicap = 1u << 14;      // of a rank
constexpr int ranks = 7;
constexpr std::uint32_t nothing_seen = 0xFFFFFFFFu;  // above every key

// A point in the colour image. x is NaN where it is not seen.
struct Seen { float x, y, z, scale; };

template <LensModel model>
RASANT_HD Seen seen_by_color(float z, float ray_x, float ray_y, const AlignParams& p) {
  const float* m = p.pose;
  const float reach = z * std::fma(m[8], ray_x, std::fma(m[9], ray_y, m[10]));
  const float x = std::fma(z, std::fma(m[0], ray_x, std::fma(m[1], ray_y, m[2])), m[3]);
  const float y = std::fma(z, std::fma(m[4], ray_x, std::fma(m[5], ray_y, m[6])), m[7]);
  Seen seen;
  seen.z = reach + m[11];
  const float inverse = 1.0f / seen.z;
  seen.scale = reach * inverse;
  project<model>(p.color, x * inverse, y * inverse, seen.x, seen.y);
  seen.x += is_valid_depth(z) & (seen.z >= 2.3283064e-10f) & (seen.z < 2.1474836e9f) ? 0.0f : NAN;
  return seen;
}

// NaN becomes 0.
RASANT_HD float clamped(float value, float high) {
  const float low = value > 0.0f ? value : 0.0f;
  return low < high ? low : high;
}

RASANT_HD int ceil_of(float value) {  // value in [0, 16384]
  const int below = static_cast<int>(value);
  return below + static_cast<int>(static_cast<float>(below) < value);
}

// Pixels first..last of an axis of `size`, none where first > last; density: ranks a pixel.
struct Span {
  int first, last;
  float at, density;
};

RASANT_HD Span span_of(float at, float footprint, float scale, float margin, float size) {
  const float wanted = std::fma(footprint, scale, margin), low = wanted > 0.5f ? wanted : 0.5f;
  const float half = low < max_half ? low : max_half;
  Span s;
  s.first = ceil_of(clamped(at - half, size));
  s.last = ceil_of(clamped(at + half, size)) - 1;
  s.at = at;
  s.density = static_cast<float>(ranks) / half;
  return s;
}

RASANT_HD std::uint32_t rank_of(int pixel, float at, float density) {
  const float distance = std::fabs(static_cast<float>(pixel) - at) * density;
  return static_cast<std::uint32_t>(static_cast<int>(clamped(distance, static_cast<float>(ranks - 1))));
}

// The key of a depth off the middle by the larger of two ranks, and the depth back from it.
RASANT_HD std::uint32_t key_of(float z, std::uint32_t rank_x, std::uint32_t rank_y) {
  const std::uint32_t rank = rank_x > rank_y ? rank_x : rank_y;
  std::uint32_t bits;
  std::memcpy(&bits, &z, 4);
  return ((bits - first_depth + rank * handicap) << 3) | rank;
}

RASANT_HD float depth_of_key(std::uint32_t key) {
  const std::uint32_t bits = (key >> 3) - (key & 7u) * handicap + first_depth;
  float z;
  std::memcpy(&z, &bits, 4);
  return key == nothing_seen ? 0.0f : z;
}

// Where a depth pixel looks into the colour image, in 1/32 pixels, and the pixel that it falls into.
struct Look {
  int x, y;  // 0..32 (size - 1)
  int at;    // row-major index of the pixel; -1 outside
};

RASANT_HD bool falls_inside(float at, float size) { return (at > -0.5f) & (at <= size - 0.5f); }

RASANT_HD Look look_of(const Seen& seen, int rows, int columns) {
  const auto height = static_cast<float>(rows), width = static_cast<float>(columns);
  Look look;
  look.x = static_cast<int>(std::fma(clamped(seen.x, width - 1.0f), 32.0f, 0.5f));
  look.y = static_cast<int>(std::fma(clamped(seen.y, height - 1.0f), 32.0f, 0.5f));
  const int column = ceil_of(clamped(seen.x - 0.5f, width)), row = ceil_of(clamped(seen.y - 0.5f, height));
  const bool inside = falls_inside(seen.x, width) & falls_inside(seen.y, height);
  look.at = (row * columns + column) | (static_cast<int>(inside) - 1);
  return look;
}

// Three channels in one word, 21 bits each: a weighted sum of pixels is one of words.
RASANT_HD std::uint64_t channels_of(const std::uint8_t* pixel) {
  return pixel[0] | static_cast<std::uint64_t>(pixel[1]) << 21 | static_cast<std::uint64_t>(pixel[2]) << 42;
}

RASANT_HD void blend_color(ImageView<const std::uint8_t> color, const Look& look, std::uint8_t* out) {
  const int x = look.x >> 5, y = look.y >> 5, fx = look.x & 31, fy = look.y & 31;
  const std::uint8_t* top = color.row(y) + 3 * x;
  const std::uint8_t* bottom = color.row(y + (fy > 0 ? 1 : 0)) + 3 * x;
  const int right = fx > 0 ? 3 : 0;
  const auto weight = [](int a, int b) { return static_cast<std::uint64_t>(a * b); };
  const std::uint64_t half = 512ull | 512ull << 21 | 512ull << 42;
  const std::uint64_t sum = channels_of(top) * weight(32 - fx, 32 - fy) +
                            channels_of(top + right) * weight(fx, 32 - fy) + channels_of(bottom) * weight(32 - fx, fy) +
                            channels_of(bottom + right) * weight(fx, fy) + half;
  out[0] = static_cast<std::uint8_t>(sum >> 10);
  out[1] = static_cast<std::uint8_t>(sum >> 31);
  out[2] = static_cast<std::uint8_t>(sum >> 52);
}

RASANT_HD bool is_hidden(float z, float nearest, float step) {
  return (nearest > 0.0f) & (z > std::fma(nearest, step, nearest));
}

// Colour of a depth pixel; false, and black, where there is none.
RASANT_HD bool take_color(ImageView<const std::uint8_t> color, const float* seen, const Look& look, float z,
                          const AlignParams& p, std::uint8_t* out) {
  const bool taken = look.at >= 0 && !is_hidden(z, seen[look.at], p.step);
  if (!taken) {
    out[0] = out[1] = out[2] = 0;
  } else if (p.bilinear) {
    blend_color(color, look, out);
  } else {
    const std::uint8_t* pixel = color.data + 3 * static_cast<std::ptrdiff_t>(look.at);
    out[0] = pixel[0], out[1] = pixel[1], out[2] = pixel[2];
  }
  return taken;
}

// The tables of a pair of cameras, on the host. rays (2 height, width): x of the ray of each pixel, then y; NaN where
// no ray falls. footprint (2 height, ceil(width / 16)): half width, then half height, in colour pixels.
void lens_rays_cpu(const Lens<double>& lens, ImageView<float> rays, int threads);
void footprint_cpu(const Lens<double>& color, const double (&pose)[12], ImageView<const float> rays,
                   ImageView<float> footprint);

// Refuses images and parameters out of range.
void check_align(const AlignParams& params, ImageView<const float> depth, int color_height, int color_width);

// rays and footprint belong to `depth`; out is the colour camera's image.
void align_depth_cpu(ImageView<const float> depth, ImageView<const float> rays, ImageView<const float> footprint,
                     const AlignParams& params, ImageView<float> out, int threads);

// seen: align_depth of the same depth; out and valid are the depth camera's.
void align_color_cpu(ImageView<const std::uint8_t> color, ImageView<const float> depth, ImageView<const float> seen,
                     ImageView<const float> rays, const AlignParams& params, ImageView<std::uint8_t> out,
                     ImageView<std::uint8_t> valid, int threads);

// Device pointers, asynchronous.
void align_depth_cuda(ImageView<const float> depth, ImageView<const float> rays, ImageView<const float> footprint,
                      const AlignParams& params, ImageView<float> out, Stream stream);
void align_color_cuda(ImageView<const std::uint8_t> color, ImageView<const float> depth, ImageView<const float> seen,
                      ImageView<const float> rays, const AlignParams& params, ImageView<std::uint8_t> out,
                      ImageView<std::uint8_t> valid, Stream stream);

}  // namespace rasant
