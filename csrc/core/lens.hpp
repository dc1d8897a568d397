// SPDX-License-Identifier: Apache-2.0
// Lens models: where the ray (x, y, 1) of a camera falls, in pixels; an integer coordinate is a pixel centre.
//
//   pixel = (fx u + cx, fy v + cy),  (u, v) = distort(x, y),  r2 = x^2 + y^2,  g = 1 + k1 r2 + k2 r2^2 + k3 r2^3
//   brown_conrady           u = x g + 2 p1 x y + p2 (r2 + 2 x^2),     v = y g + 2 p2 x y + p1 (r2 + 2 y^2)
//   modified_brown_conrady  u = X + 2 p1 X Y + p2 (r2 + 2 X^2),       v likewise,  (X, Y) = (x, y) g
//   rational                brown_conrady with g / (1 + k4 r2 + k5 r2^2 + k6 r2^3), plus the thin prism s1..s4, then
//   the
//                           tilt of the sensor; OpenCV, "Camera calibration and 3D reconstruction", 8, 12 or 14 numbers
//   kannala_brandt4         (u, v) = (x, y) d / r,  t = atan(r),  d = t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8)
//                           (Kannala and Brandt, "A generic camera model", PAMI 2006; OpenCV's fisheye)
//   ftheta                  (u, v) = (x, y) d / r,  d = atan(2 r tan(w / 2)) / w   (Devernay and Faugeras, "Straight
//                           lines have to be straight", MVA 2001)
//
// Coefficients stand in OpenCV's order: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tilt_x tilt_y; k1..k4; w in radians.
// librealsense's "inverse" Brown-Conrady is computed there, and here, as the modified one: distort() is its projection.
// Limit: polynomials turn back at some radius, and a ray beyond it would fold into the image. Up to `limit` = r2 of the
// first multiple of 1/256 of r (of pi / 2048 of the angle t) from which the radial part no longer grows, all is seen.
#pragma once
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/hd.hpp"

namespace rasant {

enum class LensModel { none, brown_conrady, modified_brown_conrady, rational, kannala_brandt4, ftheta };

template <class T>
struct Lens {
  LensModel model = LensModel::none;
  T fx = 1, fy = 1, cx = 0, cy = 0;
  T k[12] = {};                             // ftheta: w, 2 tan(w / 2), 1 / w
  T tilt[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // of the sensor: a homography of (u, v)
  T limit = std::numeric_limits<T>::infinity();
};

inline Lens<float> narrow(const Lens<double>& lens) {
  Lens<float> f;
  f.model = lens.model;
  f.fx = static_cast<float>(lens.fx), f.fy = static_cast<float>(lens.fy);
  f.cx = static_cast<float>(lens.cx), f.cy = static_cast<float>(lens.cy);
  for (int i = 0; i < 12; ++i) f.k[i] = static_cast<float>(lens.k[i]);
  for (int i = 0; i < 9; ++i) f.tilt[i] = static_cast<float>(lens.tilt[i]);
  f.limit = static_cast<float>(lens.limit);
  return f;
}

// Arc tangent of r >= 0; in float with only IEEE operations in fixed order, error below 2 ULP (Moshier, Cephes).
RASANT_HD double arc_tangent(double r) { return std::atan(r); }
RASANT_HD float arc_tangent(float r) {
  const bool steep = r > 2.414213562373095f, middle = r > 0.4142135623730950f;
  const float top = steep ? -1.0f : (middle ? r - 1.0f : r), bottom = steep ? r : (middle ? r + 1.0f : 1.0f);
  const float base = steep ? 1.5707963267948966f : (middle ? 0.7853981633974483f : 0.0f);
  const float x = top / bottom, z = x * x;
  float p = std::fma(z, 8.05374449538e-2f, -1.38776856032e-1f);
  p = std::fma(z, p, 1.99777106478e-1f);
  p = std::fma(z, p, -3.33329491539e-1f);
  return base + std::fma(p * z, x, x);
}

template <class T>
RASANT_HD T radial_gain(const T (&k)[12], T r2) {
  return std::fma(r2, std::fma(r2, std::fma(r2, k[4], k[1]), k[0]), T(1));
}

// Angle to distance from the centre, of Kannala and Brandt.
template <class T>
RASANT_HD T fisheye_distance(const T (&k)[12], T t) {
  const T t2 = t * t;
  return t * std::fma(t2, std::fma(t2, std::fma(t2, std::fma(t2, k[3], k[2]), k[1]), k[0]), T(1));
}

template <LensModel model, class T>
RASANT_HD void distort(const Lens<T>& lens, T x, T y, T& u, T& v) {
  const T(&k)[12] = lens.k;
  const T r2 = std::fma(x, x, y * y);
  if constexpr (model == LensModel::none) {
    u = x, v = y;
  } else if constexpr (model == LensModel::kannala_brandt4 || model == LensModel::ftheta) {
    const T root = std::sqrt(r2), r = root > T(1e-8) ? root : T(1e-8);
    const T distance = model == LensModel::ftheta ? arc_tangent(r * k[1]) * k[2] : fisheye_distance(k, arc_tangent(r));
    const T scale = distance / r;
    u = x * scale, v = y * scale;
  } else {
    T gain = radial_gain(k, r2);
    if constexpr (model == LensModel::rational)
      gain = gain / std::fma(r2, std::fma(r2, std::fma(r2, k[7], k[6]), k[5]), T(1));
    const T X = x * gain, Y = y * gain;
    const T a = model == LensModel::modified_brown_conrady ? X : x,
            b = model == LensModel::modified_brown_conrady ? Y : y;
    const T ab = T(2) * a * b;
    u = std::fma(k[2], ab, std::fma(k[3], std::fma(T(2) * a, a, r2), X));
    v = std::fma(k[3], ab, std::fma(k[2], std::fma(T(2) * b, b, r2), Y));
    if constexpr (model == LensModel::rational) {
      const T(&m)[9] = lens.tilt;
      const T s = std::fma(r2, std::fma(r2, k[9], k[8]), u), t = std::fma(r2, std::fma(r2, k[11], k[10]), v);
      const T w = T(1) / std::fma(m[6], s, std::fma(m[7], t, m[8]));
      u = std::fma(m[0], s, std::fma(m[1], t, m[2])) * w;
      v = std::fma(m[3], s, std::fma(m[4], t, m[5])) * w;
    }
  }
}

// The pixel of ray (x, y, 1); NaN beyond the limit.
template <LensModel model, class T>
RASANT_HD void project(const Lens<T>& lens, T x, T y, T& px, T& py) {
  T u, v;
  distort<model>(lens, x, y, u, v);
  px = std::fma(lens.fx, u, lens.cx) + (std::fma(x, x, y * y) <= lens.limit ? T(0) : T(NAN));
  py = std::fma(lens.fy, v, lens.cy);
}

// Calls use(constant) with the model as a constant, so that a loop over pixels holds no choice.
template <class Use>
void with_model(LensModel model, const Use& use) {
  switch (model) {
    case LensModel::none: return use(std::integral_constant<LensModel, LensModel::none>());
    case LensModel::brown_conrady: return use(std::integral_constant<LensModel, LensModel::brown_conrady>());
    case LensModel::modified_brown_conrady:
      return use(std::integral_constant<LensModel, LensModel::modified_brown_conrady>());
    case LensModel::rational: return use(std::integral_constant<LensModel, LensModel::rational>());
    case LensModel::kannala_brandt4: return use(std::integral_constant<LensModel, LensModel::kannala_brandt4>());
    case LensModel::ftheta: return use(std::integral_constant<LensModel, LensModel::ftheta>());
  }
}

}  // namespace rasant
