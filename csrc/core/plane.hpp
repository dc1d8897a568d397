// SPDX-License-Identifier: Apache-2.0
// A plane in the camera frame, and its total least squares fit from sums over points (metres, double).
#pragma once
#include <cmath>
#include <initializer_list>

#include "core/depth.hpp"
#include "core/hd.hpp"
#include "core/symmetric3.hpp"

namespace rasant {

// normal . p + offset = 0
struct Plane {
  double normal[3];  // unit, towards the camera
  double offset;     // metres, > 0: the camera's distance to the plane
};

constexpr double plane_min_facing = 0.05;  // |normal . ray| in every image corner: planes seen edge-on are refused
constexpr double plane_min_spread = 1e-5;  // second over first principal variance: below, the points are a line

// Sums of 1, x, y, z, xx, xy, xz, yy, yz, zz.
struct Moments {
  double sum[10] = {};

  RASANT_HD void add(double x, double y, double z) {
    const double terms[10] = {1.0, x, y, z, x * x, x * y, x * z, y * y, y * z, z * z};
    for (int k = 0; k < 10; ++k) sum[k] += terms[k];
  }
};

// Turns the normal towards the camera; false unless the whole image sees the plane from there.
RASANT_HD bool face_camera(Plane& plane, const Pinhole& camera, int height, int width) {
  if (plane.offset < 0.0) {
    for (double& n : plane.normal) n = -n;
    plane.offset = -plane.offset;
  }
  if (!(plane.offset > 0.0)) return false;
  for (const double v : {-camera.cy / camera.fy, (height - 1 - camera.cy) / camera.fy})
    for (const double u : {-camera.cx / camera.fx, (width - 1 - camera.cx) / camera.fx})
      if (!(plane.normal[0] * u + plane.normal[1] * v + plane.normal[2] < -plane_min_facing)) return false;
  return true;
}

// Total least squares. False where the points do not span a plane.
RASANT_HD bool plane_of(const Moments& m, Plane& plane) {
  const double n = m.sum[0];
  if (n < 3.0) return false;
  const double mean[3] = {m.sum[1] / n, m.sum[2] / n, m.sum[3] / n};
  const double covariance[6] = {m.sum[4] / n - mean[0] * mean[0], m.sum[5] / n - mean[0] * mean[1],
                                m.sum[6] / n - mean[0] * mean[2], m.sum[7] / n - mean[1] * mean[1],
                                m.sum[8] / n - mean[1] * mean[2], m.sum[9] / n - mean[2] * mean[2]};
  const Eigen3 eigen = eigen_symmetric3(covariance);
  if (!(eigen.value[2] > 1e-12 && eigen.value[1] > plane_min_spread * eigen.value[2])) return false;
  for (int k = 0; k < 3; ++k) plane.normal[k] = eigen.vector[0][k];
  plane.offset = -(plane.normal[0] * mean[0] + plane.normal[1] * mean[1] + plane.normal[2] * mean[2]);
  return true;
}

// Root mean square distance of the summed points to a plane, metres.
RASANT_HD double rms_distance(const Moments& m, const Plane& p) {
  const double *s = m.sum, *n = p.normal, d = p.offset;
  const double squares = n[0] * n[0] * s[4] + n[1] * n[1] * s[7] + n[2] * n[2] * s[9] + d * d * s[0] +
                         2.0 * (n[0] * n[1] * s[5] + n[0] * n[2] * s[6] + n[1] * n[2] * s[8]) +
                         2.0 * d * (n[0] * s[1] + n[1] * s[2] + n[2] * s[3]);
  return std::sqrt((squares > 0.0 ? squares : 0.0) / s[0]);
}

}  // namespace rasant
