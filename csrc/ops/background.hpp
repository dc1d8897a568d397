// SPDX-License-Identifier: Apache-2.0
// The surface that a part lies on, and what stands out of it. Depth in metres through an undistorted pinhole camera.
//
// Plane: normal . p + offset = 0 with a unit normal towards the camera (offset > 0). On the ray r of a pixel, s =
// normal . r is negative, and affine in the pixel's coordinates: s = a x + b_y. So no point cloud is needed:
//   distance to the plane = z s + offset        depth of the plane = offset / -s        height = distance / -s
// CornerSurface: bilinear interpolation of four corner depths over the image (Rudolph et al., AST, WACV 2023):
//   depth of the surface = start_y + slope_y x,  height = depth of the surface - z = distance
// Height is along the optical axis, positive towards the camera, 0 where depth is invalid.
// Foreground: |distance| > threshold and valid. Fused operations as written: masks are bit-equal on every device.
//
// fit_plane_ransac: the valid points of the image border, each once. Hypotheses alternate between 3 points and `sample`
// points (total least squares); a promising one is refitted to its inliers once. They are scored on a stratified subset
// of 2048 points by the sum of max(0, 1 - (distance / inlier)^2) (MSAC, Torr and Zisserman, CVIU 2000: a bare count
// prefers a plane that bridges two steps), until a better plane would have been missed once in 10^9 times. The best
// (first among equals) is refitted to its inliers among all border points until their number no longer grows. Drawn by
// Philox: the same for equal input.
//
// keep_largest: the largest 8-connected component whose neighbouring depths differ by less than step (an organised
// image's answer to DBSCAN); a masked pixel without depth joins all its neighbours. Ties go to the component met first.
//
// On the CPU the fits and keep_largest run in one thread. On a device all gives the same bits (images below 2^31
// pixels); plane_through has three points and runs on the host.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/depth.hpp"
#include "core/hd.hpp"
#include "core/image.hpp"
#include "core/plane.hpp"
#include "core/stream.hpp"
#include "ops/background_fit.hpp"

namespace rasant {

constexpr int max_sample = 1000;

struct RansacParams {
  int border_px = 10;       // width of the border whose points are used; all of a small image
  double inlier_m = 0.004;  // a point nearer than this supports a plane
  int sample = 50;          // points of every second hypothesis, 3..max_sample
  int hypotheses = 128;     // most planes tried, 1..100000
  std::uint64_t seed = 0;   // key of the generator
};

enum class PlaneFault {
  none,
  few_points,  // fewer than 3 valid points, or less than 1 % of the border
  no_plane,    // points on a line or a spot, or no plane that faces the camera holds 1 % of the border
};

struct PlaneFit {
  PlaneFault fault = PlaneFault::none;
  Plane plane{};     // meaningless unless fault is none
  double rms = 0.0;  // metres, root mean square distance of the inliers
  int inliers = 0;   // border points within inlier_m of the plane
  int total = 0;     // valid border points
};

// Means over a square patch in one image corner.
struct CornerPoint {
  double x = 0.0, y = 0.0, z = 0.0;  // metres; 0 where count is 0
  int count = 0;                     // valid pixels in the patch
};

// In the order top left, top right, bottom left, bottom right.
struct Corners { CornerPoint of[4]; };

struct CornerDepths {
  double top_left, top_right, bottom_left, bottom_right;  // metres
};

// s of the plane in row y is fma(slope, x, start).
struct RowLine { float start, slope; };

RASANT_HD RowLine plane_row(const Plane& plane, const Pinhole& camera, int y) {
  const double slope = plane.normal[0] / camera.fx;
  const double start = plane.normal[1] * ((y - camera.cy) / camera.fy) + plane.normal[2] - slope * camera.cx;
  return {static_cast<float>(start), static_cast<float>(slope)};
}

// Surface depth of row y is fma(slope, x, start).
RASANT_HD RowLine corner_row(const CornerDepths& c, int height, int width, int y) {
  const double t = height > 1 ? static_cast<double>(y) / (height - 1) : 0.0;
  const double left = c.top_left + (c.bottom_left - c.top_left) * t;
  const double right = c.top_right + (c.bottom_right - c.top_right) * t;
  return {static_cast<float>(left), static_cast<float>(width > 1 ? (right - left) / (width - 1) : 0.0)};
}

RASANT_HD void above_plane(float z, int x, const RowLine& row, float offset, float threshold, float& height,
                           std::uint8_t& foreground) {
  const bool valid = is_valid_depth(z);
  const float s = std::fma(row.slope, static_cast<float>(x), row.start);
  const float distance = std::fma(z, s, offset);
  height = valid ? distance / -s : 0.0f;
  foreground = static_cast<std::uint8_t>(valid & (std::fabs(distance) > threshold));
}

RASANT_HD void above_corners(float z, int x, const RowLine& row, float threshold, float& height,
                             std::uint8_t& foreground) {
  const bool valid = is_valid_depth(z);
  const float distance = std::fma(row.slope, static_cast<float>(x), row.start) - z;
  height = valid ? distance : 0.0f;
  foreground = static_cast<std::uint8_t>(valid & (std::fabs(distance) > threshold));
}

// True when two neighbouring pixels belong to one surface.
RASANT_HD bool continuous_depth(float a, float b, float step) {
  return !is_valid_depth(a) | !is_valid_depth(b) | (std::fabs(a - b) < step);
}

RASANT_HD CornerPoint corner_point(ImageView<const float> depth, const Pinhole& camera, int patch, int k) {
  const int rows = patch < depth.height ? patch : depth.height, cols = patch < depth.width ? patch : depth.width;
  const int top = k < 2 ? 0 : depth.height - rows, left = k % 2 == 0 ? 0 : depth.width - cols;
  CornerPoint corner;
  for (int y = top; y < top + rows; ++y)
    for (int x = left; x < left + cols; ++x) {
      const double z = depth(y, x);
      if (!is_valid_depth(depth(y, x))) continue;
      corner.x += (x - camera.cx) / camera.fx * z;
      corner.y += (y - camera.cy) / camera.fy * z;
      corner.z += z;
      ++corner.count;
    }
  if (corner.count == 0) return corner;
  corner.x /= corner.count, corner.y /= corner.count, corner.z /= corner.count;
  return corner;
}

PlaneFit fit_plane_ransac_cpu(ImageView<const float> depth, const Pinhole& camera, const RansacParams& params);

Corners corner_points_cpu(ImageView<const float> depth, const Pinhole& camera, int patch);

// Plane through three points.
PlaneFit plane_through_cpu(const double (&points)[3][3], const Pinhole& camera, int height, int width);

void height_above_plane_cpu(ImageView<const float> depth, const Plane& plane, const Pinhole& camera, float threshold,
                            ImageView<float> height, ImageView<std::uint8_t> foreground, int threads);
void height_above_corners_cpu(ImageView<const float> depth, const CornerDepths& corners, float threshold,
                              ImageView<float> height, ImageView<std::uint8_t> foreground, int threads);

// `out` may be `foreground` itself.
void keep_largest_cpu(ImageView<const std::uint8_t> foreground, ImageView<const float> depth, float step,
                      ImageView<std::uint8_t> out);

// Device memory, asynchronous. The answers lie in device memory too, valid until the stream's next operation.
const PlaneFit* fit_plane_ransac_cuda(ImageView<const float> depth, const Pinhole& camera, const RansacParams& params,
                                      Stream stream);
const Corners* corner_points_cuda(ImageView<const float> depth, const Pinhole& camera, int patch, Stream stream);
void height_above_plane_cuda(ImageView<const float> depth, const Plane& plane, const Pinhole& camera, float threshold,
                             ImageView<float> height, ImageView<std::uint8_t> foreground, Stream stream);
void height_above_corners_cuda(ImageView<const float> depth, const CornerDepths& corners, float threshold,
                               ImageView<float> height, ImageView<std::uint8_t> foreground, Stream stream);
void keep_largest_cuda(ImageView<const std::uint8_t> foreground, ImageView<const float> depth, float step,
                       ImageView<std::uint8_t> out, Stream stream);

// Refuse parameters out of range.
struct BorderSearch {
  Border border;
  double needed;  // points that a plane has to hold
};
BorderSearch check_ransac(int height, int width, const Pinhole& camera, const RansacParams& params);
void check_patch(const Pinhole& camera, int patch);
void check_height(int height, int width, const Plane& plane, const Pinhole& camera, float threshold);
void check_threshold(float threshold);
void check_step(float step);

}  // namespace rasant
