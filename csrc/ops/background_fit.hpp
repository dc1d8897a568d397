// SPDX-License-Identifier: Apache-2.0
// The steps of fit_plane_ransac that the CPU and the device share; ops/background.hpp says what it computes.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/philox.hpp"
#include "core/plane.hpp"

namespace rasant {

constexpr int moment_lanes = 8;       // partial sums in fixed order: what makes a parallel sum independent of its width
constexpr int full_support = 1024;    // a point on the plane
constexpr int subset_size = 2048;     // points that a hypothesis is counted on
constexpr double min_support = 0.01;  // share of the border pixels that a plane has to hold

// The outer rows and columns of an image, row by row.
struct Border {
  int height, width, pixels;  // pixels: its width

  // Border pixels of one of the rows between its top and bottom.
  RASANT_HD int middle() const { return width <= 2 * pixels ? width : 2 * pixels; }
  RASANT_HD int whole_rows() const { return height <= 2 * pixels ? height : 2 * pixels; }
  RASANT_HD int count() const { return whole_rows() * width + (height - whole_rows()) * middle(); }

  // Row and column of border pixel k.
  RASANT_HD void place(int k, int& y, int& x) const {
    const int top = (height <= 2 * pixels ? height : pixels) * width, sides = (height - whole_rows()) * middle();
    if (k < top || k >= top + sides) {
      const int skipped = k < top ? 0 : height - whole_rows(), inside = k < top ? k : k - sides;
      y = skipped + inside / width;
      x = inside % width;
    } else {
      y = pixels + (k - top) / middle();
      x = (k - top) % middle();
      if (x >= pixels && width > 2 * pixels) x += width - 2 * pixels;
    }
  }
};

struct BorderPoint { float x, y, z; };

// A pinhole in float, by which border points are computed.
struct PointCamera {
  float fx, fy, cx, cy;  // fx, fy: inverse

  RASANT_HD BorderPoint point(int y, int x, float z) const {
    return {(static_cast<float>(x) - cx) * fx * z, (static_cast<float>(y) - cy) * fy * z, z};
  }
};

RASANT_HD PointCamera point_camera(const Pinhole& c) {
  return {static_cast<float>(1.0 / c.fx), static_cast<float>(1.0 / c.fy), static_cast<float>(c.cx),
          static_cast<float>(c.cy)};
}

struct PlaneF { float a, b, c, d; };

RASANT_HD PlaneF narrow(const Plane& p) {
  return {static_cast<float>(p.normal[0]), static_cast<float>(p.normal[1]), static_cast<float>(p.normal[2]),
          static_cast<float>(p.offset)};
}

RASANT_HD float point_distance(const PlaneF& p, float x, float y, float z) {
  return std::fabs(std::fma(p.a, x, std::fma(p.b, y, std::fma(p.c, z, p.d))));
}

// In units of 1 / full_support: a point on the plane gives 1, one at `limit` or beyond nothing, by the square.
RASANT_HD int point_support(const PlaneF& p, float x, float y, float z, float limit) {
  const float ratio = point_distance(p, x, y, z) / limit;
  return ratio < 1.0f ? full_support - static_cast<int>(ratio * ratio * static_cast<float>(full_support)) : 0;
}

// Point k of the subset: every point, or one from each of `size` equal strata.
RASANT_HD int subset_point(std::uint64_t seed, int k, int size, int count) {
  const auto first = static_cast<std::int64_t>(k) * count / size;
  const auto last = static_cast<std::int64_t>(k + 1) * count / size;
  const std::uint32_t bits = philox(seed, 0, static_cast<std::uint32_t>(k), Purpose::plane_subset).v[0];
  return static_cast<int>(first + ((last - first) * bits >> 32));
}

RASANT_HD int sample_size(int hypothesis, int sample) { return hypothesis % 2 == 0 ? 3 : sample; }

// Random words for points 4 k .. 4 k + 3 of a hypothesis; a word chooses one of `count` points.
RASANT_HD Random4 sample_words(std::uint64_t seed, int hypothesis, int k) {
  return philox(seed, static_cast<std::uint64_t>(hypothesis), static_cast<std::uint32_t>(k), Purpose::plane_sample);
}
RASANT_HD int sample_point(std::uint32_t word, int count) {
  return static_cast<int>(static_cast<std::uint64_t>(count) * word >> 32);
}

// Whether a plane with more support would have been missed by `tries` samples of 3 points only once in 10^9 times.
// Asked with tries that do not fall.
struct Settled {
  int best = 0, tries = 0;
  double chance = 1.0;  // that all of them have missed it

  RASANT_HD bool ask(int now_best, int size, int now_tries) {
    if (now_best != best) {
      best = now_best;
      tries = 0;
      chance = 1.0;
    }
    const double share = static_cast<double>(best) / full_support / size, miss = 1.0 - share * share * share;
    for (; tries < now_tries && chance > 1e-9; ++tries) chance *= miss;
    return now_tries >= 4 && chance <= 1e-9;
  }
};

}  // namespace rasant
