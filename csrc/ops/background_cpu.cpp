// SPDX-License-Identifier: Apache-2.0
#include "ops/background.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/components.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/philox.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

constexpr int lanes = 8;            // partial sums in fixed order: what makes a vectorised sum independent of its width
constexpr int full_support = 1024;  // a point on the plane
constexpr int subset_size = 2048;   // points that a hypothesis is counted on
constexpr double min_support = 0.01;  // share of the border pixels that a plane has to hold

// Points as three arrays, padded to a multiple of 16 with NaN, which is never an inlier.
struct Points {
  std::vector<float> x, y, z;
  int count = 0;

  void reserve(int capacity) {
    const auto size = static_cast<std::size_t>(capacity + 16);
    if (x.size() < size) x.resize(size), y.resize(size), z.resize(size);
  }
  void add(float px, float py, float pz) {
    const auto i = static_cast<std::size_t>(count++);
    x[i] = px, y[i] = py, z[i] = pz;
  }
  int close() {
    const int padded = (count + 15) / 16 * 16;
    for (auto i = static_cast<std::size_t>(count); i < static_cast<std::size_t>(padded); ++i)
      x[i] = y[i] = z[i] = std::numeric_limits<float>::quiet_NaN();
    return padded;
  }
};

struct PlaneF { float a, b, c, d; };

PlaneF narrow(const Plane& p) {
  return {static_cast<float>(p.normal[0]), static_cast<float>(p.normal[1]), static_cast<float>(p.normal[2]),
          static_cast<float>(p.offset)};
}

RASANT_INLINE float point_distance(const PlaneF& p, float x, float y, float z) {
  return std::fabs(std::fma(p.a, x, std::fma(p.b, y, std::fma(p.c, z, p.d))));
}

void collect_border(ImageView<const float> depth, const Pinhole& camera, int border, Points& points) {
  const int h = depth.height, w = depth.width;
  points.count = 0;
  points.reserve(static_cast<int>(std::min<std::int64_t>(static_cast<std::int64_t>(h) * w, 2ll * border * (h + w))));
  const auto fx = static_cast<float>(1.0 / camera.fx), fy = static_cast<float>(1.0 / camera.fy);
  const auto cx = static_cast<float>(camera.cx), cy = static_cast<float>(camera.cy);
  for (int y = 0; y < h; ++y) {
    const float* row = depth.row(y);
    const float ray_y = (static_cast<float>(y) - cy) * fy;
    const bool whole = y < border || y >= h - border || w <= 2 * border;
    for (int x = 0; x < w; ++x) {
      if (!whole && x == border) x = w - border;
      if (is_valid_depth(row[x])) points.add((static_cast<float>(x) - cx) * fx * row[x], ray_y * row[x], row[x]);
    }
  }
}

// Every point, or one from each of `subset_size` equal strata.
void choose_subset(const Points& all, std::uint64_t seed, Points& subset) {
  const int size = std::min(all.count, subset_size);
  subset.count = 0;
  subset.reserve(subset_size);
  for (int k = 0; k < size; ++k) {
    const auto first = static_cast<std::int64_t>(k) * all.count / size;
    const auto last = static_cast<std::int64_t>(k + 1) * all.count / size;
    const std::uint32_t bits = philox(seed, 0, static_cast<std::uint32_t>(k), Purpose::plane_subset).v[0];
    const auto i = static_cast<std::size_t>(first + ((last - first) * bits >> 32));
    subset.add(all.x[i], all.y[i], all.z[i]);
  }
}

Moments draw_sample(const Points& all, std::uint64_t seed, int hypothesis, int size) {
  Moments moments;
  for (int k = 0; k < size; k += 4) {
    const Random4 random =
        philox(seed, static_cast<std::uint64_t>(hypothesis), static_cast<std::uint32_t>(k / 4), Purpose::plane_sample);
    for (int word = 0; word < std::min(4, size - k); ++word) {
      const auto i = static_cast<std::size_t>(static_cast<std::uint64_t>(all.count) * random.v[word] >> 32);
      moments.add(all.x[i], all.y[i], all.z[i]);
    }
  }
  return moments;
}

// True when `tries` samples of 3 points would all have missed a plane with more support only once in 10^9 times.
bool settled(int best, int size, int tries) {
  const double share = static_cast<double>(best) / full_support / size, miss = 1.0 - share * share * share;
  double chance = 1.0;
  for (int k = 0; k < tries && chance > 1e-9; ++k) chance *= miss;
  return tries >= 4 && chance <= 1e-9;
}

// Support in units of 1 / full_support: a point on the plane gives 1, one at `limit` or beyond nothing, by the square.
RASANT_VECTOR int sum_support(const float* __restrict x, const float* __restrict y, const float* __restrict z,
                              int padded, PlaneF plane, float limit) {
  int support = 0;
  for (int i = 0; i < padded; ++i) {
    const float ratio = point_distance(plane, x[i], y[i], z[i]) / limit;
    support += ratio < 1.0f ? full_support - static_cast<int>(ratio * ratio * static_cast<float>(full_support)) : 0;
  }
  return support;
}

RASANT_VECTOR void sum_moments(const float* __restrict x, const float* __restrict y, const float* __restrict z,
                               int padded, PlaneF plane, float limit, Moments& moments) {
  double part[10][lanes] = {};
  for (int i = 0; i < padded; i += lanes)
    for (int l = 0; l < lanes; ++l) {
      const bool inlier = point_distance(plane, x[i + l], y[i + l], z[i + l]) < limit;
      const double w = inlier ? 1.0 : 0.0, px = inlier ? x[i + l] : 0.0f, py = inlier ? y[i + l] : 0.0f;
      const double pz = inlier ? z[i + l] : 0.0f;
      part[0][l] += w;
      part[1][l] += px;
      part[2][l] += py;
      part[3][l] += pz;
      part[4][l] += px * px;
      part[5][l] += px * py;
      part[6][l] += px * pz;
      part[7][l] += py * py;
      part[8][l] += py * pz;
      part[9][l] += pz * pz;
    }
  for (int k = 0; k < 10; ++k) {
    moments.sum[k] = 0.0;
    for (int l = 0; l < lanes; ++l) moments.sum[k] += part[k][l];
  }
}

int support_of(const Points& points, int padded, const Plane& plane, float limit) {
  return sum_support(points.x.data(), points.y.data(), points.z.data(), padded, narrow(plane), limit);
}

Moments sum_inliers(const Points& points, int padded, const Plane& plane, float limit) {
  Moments moments;
  sum_moments(points.x.data(), points.y.data(), points.z.data(), padded, narrow(plane), limit, moments);
  return moments;
}

void check_camera(const Pinhole& c) {
  check(c.fx > 0.0 && c.fy > 0.0 && std::isfinite(c.fx + c.fy + c.cx + c.cy),
        "intrinsics must have fx > 0, fy > 0 and ", "finite values, got fx ", c.fx, ", fy ", c.fy, ", cx ", c.cx,
        ", cy ", c.cy, "; read them from the camera");
}

}  // namespace

PlaneFit fit_plane_ransac_cpu(ImageView<const float> depth, const Pinhole& camera, const RansacParams& p) {
  check_camera(camera);
  check(p.border_px >= 1, "border_px must be >= 1, got ", p.border_px, "; 10 is usual");
  check(p.inlier_m > 0.0 && p.inlier_m < 1e3, "inlier_m must be > 0 metres, got ", p.inlier_m, "; 0.004 is usual");
  check(p.sample >= 3 && p.sample <= 1000, "sample must be 3..1000 points, got ", p.sample, "; 50 is usual");
  check(p.hypotheses >= 1 && p.hypotheses <= 100000, "hypotheses must be 1..100000, got ", p.hypotheses);
  thread_local Points all, subset;
  const int h = depth.height, w = depth.width, border = std::min(p.border_px, (std::min(h, w) + 1) / 2);
  collect_border(depth, camera, border, all);
  const std::int64_t inner = static_cast<std::int64_t>(std::max(h - 2 * border, 0)) * std::max(w - 2 * border, 0);
  const double needed = std::max(3.0, min_support * static_cast<double>(static_cast<std::int64_t>(h) * w - inner));
  PlaneFit fit;
  fit.total = all.count;
  if (all.count < needed) {
    fit.fault = PlaneFault::few_points;
    return fit;
  }
  const int padded = all.close();
  choose_subset(all, p.seed, subset);
  const int subset_padded = subset.close();
  const auto limit = static_cast<float>(p.inlier_m);
  int best = 0;
  for (int k = 0; k < p.hypotheses && !settled(best, subset.count, (k + 1) / 2); ++k) {
    Plane plane;
    if (!plane_of(draw_sample(all, p.seed, k, k % 2 == 0 ? 3 : p.sample), plane)) continue;
    for (int step = 0; step < 2; ++step) {  // as drawn, then, if promising, refitted to its inliers
      if (!face_camera(plane, camera, h, w)) break;
      const int support = support_of(subset, subset_padded, plane, limit);
      if (support > best) best = support, fit.plane = plane;
      if (step == 1 || 2 * support < best || !plane_of(sum_inliers(subset, subset_padded, plane, limit), plane)) break;
    }
  }
  for (int round = 0; best > 0 && round < 8; ++round) {
    const Moments moments = sum_inliers(all, padded, fit.plane, limit);
    const int inliers = static_cast<int>(moments.sum[0]);
    Plane refined;
    if (inliers <= fit.inliers || !plane_of(moments, refined) || !face_camera(refined, camera, h, w)) break;
    fit.plane = refined;
    fit.inliers = inliers;
    fit.rms = rms_distance(moments, refined);
  }
  if (fit.inliers < needed) fit.fault = PlaneFault::no_plane;
  return fit;
}

void corner_points_cpu(ImageView<const float> depth, const Pinhole& camera, int patch, CornerPoint (&corners)[4]) {
  check_camera(camera);
  check(patch >= 1, "patch must be >= 1 pixel, got ", patch, "; 3 is usual");
  const int rows = std::min(patch, depth.height), cols = std::min(patch, depth.width);
  for (int k = 0; k < 4; ++k) {
    CornerPoint& corner = corners[k] = {};
    const int top = k < 2 ? 0 : depth.height - rows, left = k % 2 == 0 ? 0 : depth.width - cols;
    for (int y = top; y < top + rows; ++y)
      for (int x = left; x < left + cols; ++x) {
        const double z = depth(y, x);
        if (!is_valid_depth(depth(y, x))) continue;
        corner.x += (x - camera.cx) / camera.fx * z;
        corner.y += (y - camera.cy) / camera.fy * z;
        corner.z += z;
        ++corner.count;
      }
    if (corner.count == 0) continue;
    corner.x /= corner.count, corner.y /= corner.count, corner.z /= corner.count;
  }
}

PlaneFit plane_through_cpu(const double (&points)[3][3], const Pinhole& camera, int height, int width) {
  check_camera(camera);
  Moments moments;
  for (const auto& p : points) moments.add(p[0], p[1], p[2]);
  PlaneFit fit;
  fit.inliers = fit.total = 3;
  if (!plane_of(moments, fit.plane) || !face_camera(fit.plane, camera, height, width)) fit.fault = PlaneFault::no_plane;
  return fit;
}

namespace {

RASANT_VECTOR void plane_line(const float* __restrict z, int width, RowLine row, float offset, float threshold,
                              float* __restrict height, std::uint8_t* __restrict foreground) {
  for (int x = 0; x < width; ++x) above_plane(z[x], x, row, offset, threshold, height[x], foreground[x]);
}

RASANT_VECTOR void corner_line(const float* __restrict z, int width, RowLine row, float threshold,
                               float* __restrict height, std::uint8_t* __restrict foreground) {
  for (int x = 0; x < width; ++x) above_corners(z[x], x, row, threshold, height[x], foreground[x]);
}

void check_threshold(float threshold) {
  check(threshold >= 0.0f && std::isfinite(threshold), "threshold_m must be a finite number of metres >= 0, got ",
        threshold, "; 0.005 is usual");
}

// breaks[x] = 1 where pixel x is set and does not continue pixel x - 1.
RASANT_VECTOR void find_breaks(const std::uint8_t* __restrict set, const float* __restrict z, int width, float step,
                               std::uint8_t* __restrict breaks) {
  breaks[0] = set[0];
  for (int x = 1; x < width; ++x)
    breaks[x] =
        static_cast<std::uint8_t>((set[x] != 0) & !((set[x - 1] != 0) & continuous_depth(z[x - 1], z[x], step)));
}

}  // namespace

void height_above_plane_cpu(ImageView<const float> depth, const Plane& plane, const Pinhole& camera, float threshold,
                            ImageView<float> height, ImageView<std::uint8_t> foreground, int threads) {
  check_camera(camera);
  check_threshold(threshold);
  Plane facing = plane;
  check(face_camera(facing, camera, depth.height, depth.width) && facing.offset == plane.offset,
        "a plane must face the camera in every pixel of the image; fit it to this camera's frames");
  for_each_row(depth.height, threads, [&](int begin, int end, int) {
    for (int y = begin; y < end; ++y)
      plane_line(depth.row(y), depth.width, plane_row(plane, camera, y), static_cast<float>(plane.offset), threshold,
                 height.row(y), foreground.row(y));
  });
}

void height_above_corners_cpu(ImageView<const float> depth, const CornerDepths& corners, float threshold,
                              ImageView<float> height, ImageView<std::uint8_t> foreground, int threads) {
  check_threshold(threshold);
  for_each_row(depth.height, threads, [&](int begin, int end, int) {
    for (int y = begin; y < end; ++y)
      corner_line(depth.row(y), depth.width, corner_row(corners, depth.height, depth.width, y), threshold,
                  height.row(y), foreground.row(y));
  });
}

std::int64_t keep_largest_cpu(ImageView<const std::uint8_t> foreground, ImageView<const float> depth, float step,
                              ImageView<std::uint8_t> out) {
  check(step > 0.0f && std::isfinite(step), "step_m must be > 0 metres, got ", step, "; 0.006 is usual");
  thread_local Components parts;
  thread_local std::vector<std::uint8_t> breaks;
  const int width = depth.width;
  breaks.assign(static_cast<std::size_t>(width) + 1, 1);  // one sentinel, so that a search always ends
  parts.start(width);
  for (int y = 0; y < depth.height; ++y) {
    const std::uint8_t* set = foreground.row(y);
    const float *z = depth.row(y), *z_above = y > 0 ? depth.row(y - 1) : nullptr;
    find_breaks(set, z, width, step, breaks.data());
    const auto from = [&](const std::uint8_t* bytes, int value, int x) {
      const void* hit = std::memchr(bytes + x, value, static_cast<std::size_t>(width - x));
      return hit ? static_cast<int>(static_cast<const std::uint8_t*>(hit) - bytes) : width;
    };
    for (int first = from(breaks.data(), 1, 0); first < width;) {
      const int next = first + 1 < width ? from(breaks.data(), 1, first + 1) : width;
      const int last = std::min(next, from(set, 0, first));
      parts.add_run(first, last, [&](const Run& above) {
        for (int x = std::max(first, above.first - 1); x < std::min(last, above.last + 1); ++x)
          for (int a = std::max(x - 1, above.first); a < std::min(x + 2, above.last); ++a)
            if (continuous_depth(z[x], z_above[a], step)) return true;
        return false;
      });
      first = next;
    }
    parts.end_row();
  }
  std::vector<std::int64_t> area(static_cast<std::size_t>(parts.finish()) + 1, 0);
  for (const Run& run : parts.runs()) area[static_cast<std::size_t>(run.label)] += run.last - run.first;
  const auto largest = std::max_element(area.begin(), area.end());
  const int label = static_cast<int>(largest - area.begin());
  for (int y = 0; y < out.height; ++y) std::memset(out.row(y), 0, static_cast<std::size_t>(width));
  for (const Run& run : parts.runs())
    if (run.label == label) std::memset(out.row(run.y) + run.first, 1, static_cast<std::size_t>(run.last - run.first));
  return *largest;
}

}  // namespace rasant
