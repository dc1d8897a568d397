// SPDX-License-Identifier: Apache-2.0
// A lens from its numbers, and the ray of a pixel: the inverse of lens.hpp, in double, on the host, once per camera.
#pragma once
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/lens.hpp"

namespace rasant {

struct Ray { double x, y; };  // (x, y, 1); NaN where no ray falls on the pixel

inline bool is_radial(LensModel model) { return model == LensModel::kannala_brandt4 || model == LensModel::ftheta; }

// Distance from the centre in which a ray falls that leaves the axis by `r` (by the angle `r` for Kannala and Brandt),
// tangential terms left out.
inline double radial_distance(const Lens<double>& lens, double r) {
  const double r2 = r * r;
  if (lens.model == LensModel::none) return r;
  if (lens.model == LensModel::kannala_brandt4) return fisheye_distance(lens.k, r);
  if (lens.model == LensModel::ftheta) return std::atan(r * lens.k[1]) * lens.k[2];
  const double below = 1.0 + r2 * (lens.k[5] + r2 * (lens.k[6] + r2 * lens.k[7]));
  return r * radial_gain(lens.k, r2) / (lens.model == LensModel::rational ? below : 1.0);
}

// Squared radius up to which the radial part grows; see lens.hpp.
inline double growth_limit(const Lens<double>& lens) {
  constexpr int samples = 4096;
  if (lens.model == LensModel::none || lens.model == LensModel::ftheta) return INFINITY;
  const bool angle = lens.model == LensModel::kannala_brandt4;
  const double step = angle ? 1.57079632679489662 / 1024 : 1.0 / 256;
  double before = 0.0;
  for (int k = 1; k <= (angle ? 1023 : samples); ++k) {
    const double now = radial_distance(lens, k * step);
    if (!(now > before)) {
      const double r = angle ? std::tan((k - 1) * step) : (k - 1) * step;
      return r * r;
    }
    before = now;
  }
  return INFINITY;
}

// OpenCV's tilt of the sensor by tilt_x and tilt_y radians (Scheimpflug): project along z onto the tilted plane.
inline void set_tilt(Lens<double>& lens, double tilt_x, double tilt_y) {
  const double cx = std::cos(tilt_x), sx = std::sin(tilt_x), cy = std::cos(tilt_y), sy = std::sin(tilt_y);
  const double R[9] = {cy, sx * sy, -sy * cx, 0, cx, sx, sy, -cy * sx, cy * cx};
  for (int j = 0; j < 3; ++j) {
    lens.tilt[j] = R[8] * R[j] - R[2] * R[6 + j];
    lens.tilt[3 + j] = R[8] * R[3 + j] - R[5] * R[6 + j];
    lens.tilt[6 + j] = R[6 + j];
  }
}

inline Lens<double> make_lens(const std::string& model, const std::array<double, 4>& camera,
                              const std::vector<double>& k) {
  struct Entry {
    const char* name;
    LensModel model;
    std::vector<std::size_t> counts;
  };
  static const Entry known[] = {{"none", LensModel::none, {0}},
                                {"brown_conrady", LensModel::brown_conrady, {4, 5}},
                                {"inverse_brown_conrady", LensModel::modified_brown_conrady, {5}},
                                {"modified_brown_conrady", LensModel::modified_brown_conrady, {5}},
                                {"rational", LensModel::rational, {8, 12, 14}},
                                {"kannala_brandt4", LensModel::kannala_brandt4, {4}},
                                {"ftheta", LensModel::ftheta, {1}}};
  Lens<double> lens;
  const Entry* found = nullptr;
  std::string names;
  for (const Entry& entry : known) {
    if (model == entry.name) found = &entry;
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  }
  check(found != nullptr, "distortion_model must be one of ", names, ", got ", model);
  bool fits = false;
  for (const std::size_t count : found->counts) fits = fits || k.size() == count;
  check(fits, model, " takes ", found->counts[0], found->counts.size() > 1 ? " or more" : "",
        " coefficients in OpenCV's order, got ", k.size(), "; see rasant.Intrinsics");
  bool finite = true;
  for (const double value : k) finite = finite && std::isfinite(value);
  check(finite && camera[0] > 0.0 && camera[1] > 0.0 && std::isfinite(camera[0] + camera[1] + camera[2] + camera[3]),
        "intrinsics must be finite with fx > 0 and fy > 0, got fx ", camera[0], ", fy ", camera[1], ", cx ", camera[2],
        ", cy ", camera[3], "; read them from the camera");
  lens.model = found->model;
  lens.fx = camera[0], lens.fy = camera[1], lens.cx = camera[2], lens.cy = camera[3];
  for (std::size_t i = 0; i < k.size() && i < 12; ++i) lens.k[i] = k[i];
  if (k.size() == 14) set_tilt(lens, k[12], k[13]);
  if (lens.model == LensModel::ftheta) {
    check(k[0] > 0.0 && k[0] < 3.14159, "ftheta takes an angle in radians, 0 < w < pi, got ", k[0]);
    lens.k[1] = 2.0 * std::tan(k[0] / 2.0), lens.k[2] = 1.0 / k[0];
  }
  lens.limit = growth_limit(lens);
  return lens;
}

// The radius whose radial_distance is `distance`, by bisection; NaN beyond the limit.
inline double radius_of(const Lens<double>& lens, double distance) {
  const bool angle = lens.model == LensModel::kannala_brandt4;
  double low = 0.0, high = std::sqrt(lens.limit);
  if (angle) high = std::atan(high);
  if (!std::isfinite(high)) high = 16.0;
  if (!(radial_distance(lens, high) >= distance)) return NAN;
  for (int k = 0; k < 60; ++k) {
    const double middle = (low + high) / 2;
    (radial_distance(lens, middle) < distance ? low : high) = middle;
  }
  return angle ? std::tan(low) : low;
}

// Newton's method on distort(x, y) = (u, v) from (x, y); true where it arrives within the limit.
inline bool refine(const Lens<double>& lens, double u, double v, Ray& ray) {
  bool close = false;
  with_model(lens.model, [&](auto model) {
    for (int k = 0; k < 12 && !close; ++k) {
      constexpr double h = 1e-6;
      double a, b, ax, bx, ay, by;
      distort<model()>(lens, ray.x, ray.y, a, b);
      distort<model()>(lens, ray.x + h, ray.y, ax, bx);
      distort<model()>(lens, ray.x, ray.y + h, ay, by);
      const double xx = (ax - a) / h, yx = (bx - b) / h, xy = (ay - a) / h, yy = (by - b) / h;
      const double determinant = xx * yy - xy * yx, du = u - a, dv = v - b;
      close = std::fabs(du) + std::fabs(dv) < 1e-10;
      if (!close) ray.x += (yy * du - xy * dv) / determinant, ray.y += (xx * dv - yx * du) / determinant;
    }
  });
  return close && ray.x * ray.x + ray.y * ray.y <= lens.limit;
}

inline Ray ray_of(const Lens<double>& lens, double px, double py) {
  const double u = (px - lens.cx) / lens.fx, v = (py - lens.cy) / lens.fy;
  Ray ray{u, v};
  if (lens.model == LensModel::none) return ray;
  const double distance = std::sqrt(u * u + v * v);
  if (lens.model == LensModel::ftheta) {
    const double turn = distance * lens.k[0];
    const double scale = distance < 1e-12 ? 1.0 : std::tan(turn) / lens.k[1] / distance;
    return turn < 1.57 ? Ray{u * scale, v * scale} : Ray{NAN, NAN};
  }
  if (!is_radial(lens.model) && refine(lens, u, v, ray)) return ray;
  const double radius = radius_of(lens, distance);
  ray = distance < 1e-12 ? Ray{u, v} : Ray{u * radius / distance, v * radius / distance};
  return is_radial(lens.model) || refine(lens, u, v, ray) ? ray : Ray{NAN, NAN};
}

}  // namespace rasant
