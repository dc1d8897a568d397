// SPDX-License-Identifier: Apache-2.0
#include "ops/background.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/components.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/vector.hpp"
#include "ops/background_fit.hpp"

namespace rasant {
namespace {

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
  // Kept only where `valid`, without a branch that holes would make the processor miss.
  void put(float px, float py, float pz, bool valid) {
    const auto i = static_cast<std::size_t>(count);
    x[i] = px, y[i] = py, z[i] = pz;
    count += valid;
  }
  int close() {
    const int padded = (count + 15) / 16 * 16;
    for (auto i = static_cast<std::size_t>(count); i < static_cast<std::size_t>(padded); ++i)
      x[i] = y[i] = z[i] = std::numeric_limits<float>::quiet_NaN();
    return padded;
  }
};

void collect_border(ImageView<const float> depth, const Pinhole& camera, const Border& border, Points& points) {
  const int h = depth.height, w = depth.width, edge = border.pixels;
  points.count = 0;
  points.reserve(border.count());
  const PointCamera to_point = point_camera(camera);
  for (int y = 0; y < h; ++y) {
    const float* row = depth.row(y);
    const bool whole = y < edge || y >= h - edge || w <= 2 * edge;
    for (int x = 0; x < w; ++x) {
      if (!whole && x == edge) x = w - edge;
      const BorderPoint point = to_point.point(y, x, row[x]);
      points.put(point.x, point.y, point.z, is_valid_depth(row[x]));
    }
  }
}

void choose_subset(const Points& all, std::uint64_t seed, Points& subset) {
  const int size = std::min(all.count, subset_size);
  subset.count = 0;
  subset.reserve(subset_size);
  for (int k = 0; k < size; ++k) {
    const auto i = static_cast<std::size_t>(subset_point(seed, k, size, all.count));
    subset.add(all.x[i], all.y[i], all.z[i]);
  }
}

Moments draw_sample(const Points& all, std::uint64_t seed, int hypothesis, int size) {
  Moments moments;
  for (int k = 0; k < size; k += 4) {
    const Random4 random = sample_words(seed, hypothesis, k / 4);
    for (int word = 0; word < std::min(4, size - k); ++word) {
      const auto i = static_cast<std::size_t>(sample_point(random.v[word], all.count));
      moments.add(all.x[i], all.y[i], all.z[i]);
    }
  }
  return moments;
}

RASANT_VECTOR int sum_support(const float* __restrict x, const float* __restrict y, const float* __restrict z,
                              int padded, PlaneF plane, float limit) {
  int support = 0;
  for (int i = 0; i < padded; ++i) support += point_support(plane, x[i], y[i], z[i], limit);
  return support;
}

RASANT_VECTOR void sum_moments(const float* __restrict x, const float* __restrict y, const float* __restrict z,
                               int padded, PlaneF plane, float limit, Moments& moments) {
  double part[10][moment_lanes] = {};
  for (int i = 0; i < padded; i += moment_lanes)
    for (int l = 0; l < moment_lanes; ++l) {
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
    for (int l = 0; l < moment_lanes; ++l) moments.sum[k] += part[k][l];
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

}  // namespace

void check_camera(const Pinhole& c) {
  check(c.fx > 0.0 && c.fy > 0.0 && std::isfinite(c.fx + c.fy + c.cx + c.cy),
        "intrinsics must have fx > 0, fy > 0 and ", "finite values, got fx ", c.fx, ", fy ", c.fy, ", cx ", c.cx,
        ", cy ", c.cy, "; read them from the camera");
}

BorderSearch check_ransac(int height, int width, const Pinhole& camera, const RansacParams& p) {
  check_camera(camera);
  check(p.border_px >= 1, "border_px must be >= 1, got ", p.border_px, "; 10 is usual");
  check(p.inlier_m > 0.0 && p.inlier_m < 1e3, "inlier_m must be > 0 metres, got ", p.inlier_m, "; 0.004 is usual");
  check(p.sample >= 3 && p.sample <= max_sample, "sample must be 3..", max_sample, " points, got ", p.sample,
        "; 50 is usual");
  check(p.hypotheses >= 1 && p.hypotheses <= 100000, "hypotheses must be 1..100000, got ", p.hypotheses);
  const Border border{height, width, std::min(p.border_px, (std::min(height, width) + 1) / 2)};
  return {border, std::max(3.0, min_support * border.count())};
}

PlaneFit fit_plane_ransac_cpu(ImageView<const float> depth, const Pinhole& camera, const RansacParams& p) {
  const auto [border, needed] = check_ransac(depth.height, depth.width, camera, p);
  thread_local Points all, subset;
  collect_border(depth, camera, border, all);
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
  const int h = depth.height, w = depth.width;
  Settled settled;
  int best = 0;
  for (int k = 0; k < p.hypotheses && !settled.ask(best, subset.count, (k + 1) / 2); ++k) {
    Plane plane;
    if (!plane_of(draw_sample(all, p.seed, k, sample_size(k, p.sample)), plane)) continue;
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

void check_patch(const Pinhole& camera, int patch) {
  check_camera(camera);
  check(patch >= 1, "patch must be >= 1 pixel, got ", patch, "; 3 is usual");
}

Corners corner_points_cpu(ImageView<const float> depth, const Pinhole& camera, int patch) {
  check_patch(camera, patch);
  Corners corners;
  for (int k = 0; k < 4; ++k) corners.of[k] = corner_point(depth, camera, patch, k);
  return corners;
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

// breaks[x] = 1 where pixel x is set and does not continue pixel x - 1.
RASANT_VECTOR void find_breaks(const std::uint8_t* __restrict set, const float* __restrict z, int width, float step,
                               std::uint8_t* __restrict breaks) {
  breaks[0] = set[0];
  for (int x = 1; x < width; ++x)
    breaks[x] =
        static_cast<std::uint8_t>((set[x] != 0) & !((set[x - 1] != 0) & continuous_depth(z[x - 1], z[x], step)));
}

}  // namespace

void check_threshold(float threshold) {
  check(threshold >= 0.0f && std::isfinite(threshold), "threshold_m must be a finite number of metres >= 0, got ",
        threshold, "; 0.005 is usual");
}

void check_height(int height, int width, const Plane& plane, const Pinhole& camera, float threshold) {
  check_camera(camera);
  check_threshold(threshold);
  Plane facing = plane;
  check(face_camera(facing, camera, height, width) && facing.offset == plane.offset,
        "a plane must face the camera in every pixel of the image; fit it to this camera's frames");
}

void check_step(float step) {
  check(step > 0.0f && std::isfinite(step), "step_m must be > 0 metres, got ", step, "; 0.006 is usual");
}

void height_above_plane_cpu(ImageView<const float> depth, const Plane& plane, const Pinhole& camera, float threshold,
                            ImageView<float> height, ImageView<std::uint8_t> foreground, int threads) {
  check_height(depth.height, depth.width, plane, camera, threshold);
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

void keep_largest_cpu(ImageView<const std::uint8_t> foreground, ImageView<const float> depth, float step,
                      ImageView<std::uint8_t> out) {
  check_step(step);
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
  const int label = static_cast<int>(std::max_element(area.begin(), area.end()) - area.begin());
  for (int y = 0; y < out.height; ++y) std::memset(out.row(y), 0, static_cast<std::size_t>(width));
  for (const Run& run : parts.runs())
    if (run.label == label) std::memset(out.row(run.y) + run.first, 1, static_cast<std::size_t>(run.last - run.first));
}

}  // namespace rasant
