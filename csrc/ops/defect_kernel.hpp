// SPDX-License-Identifier: Apache-2.0
// The skew-Gaussian kernel of DAS3D (arXiv 2410.09821, eq. 2 and 3) in whole numbers.
//
//   K(y, x) = 2^30 g(y) g(x) Phi(a_y y + a_x x) / N,   g(i) = exp(-i^2 / 2 sigma^2),   |y|, |x| <= R = ceil(3 sigma)
//   N       = (sum g)^2 / 2:  exactly the sum of the other factors, for Phi(t) + Phi(-t) = 1 on a symmetric grid
//
// Each entry is rounded to a whole number, so a sum of entries has no order, and every device and algorithm that
// correlates with K agrees in every bit. Phi is a polynomial, within 4e-9; an entry is within 1e-8 of its value.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/error.hpp"
#include "core/hd.hpp"

namespace rasant {

constexpr int skew_max_radius = 96;                       // sigma up to 32 pixels
constexpr float skew_unit = 9.31322574615478515625e-10f;  // 2^-30: a plateau of the correlation is 2^30 high

struct SkewKernel {
  int radius = 0;                            // 0: K is the single entry 2^30
  double skew_y = 0.0, skew_x = 0.0;         // a, 1 / pixel
  double scale = 2147483648.0;               // 2^30 / N
  double weight[skew_max_radius + 1] = {1};  // g
};

// Distribution function of the standard normal law: 1/2 + t Q(t^2) up to |t| = 6, 0 or 1 beyond.
RASANT_HD double normal_cdf(double t) {
  t = t < 6.0 ? t : 6.0;
  t = t > -6.0 ? t : -6.0;
  const double t2 = t * t;
  double sum = -1.114413727872067e-25;
  sum = std::fma(sum, t2, 3.941676603955749e-23);
  sum = std::fma(sum, t2, -6.494790088620549e-21);
  sum = std::fma(sum, t2, 6.635557885868115e-19);
  sum = std::fma(sum, t2, -4.723982496498205e-17);
  sum = std::fma(sum, t2, 2.4996493868920908e-15);
  sum = std::fma(sum, t2, -1.025519051647439e-13);
  sum = std::fma(sum, t2, 3.3661509221316186e-12);
  sum = std::fma(sum, t2, -9.068736849256563e-11);
  sum = std::fma(sum, t2, 2.0489419146642004e-09);
  sum = std::fma(sum, t2, -3.9486859264300014e-08);
  sum = std::fma(sum, t2, 6.558622633736091e-07);
  sum = std::fma(sum, t2, -9.402122316913035e-06);
  sum = std::fma(sum, t2, 0.00011531106360419072);
  sum = std::fma(sum, t2, -0.0011870967945783687);
  sum = std::fma(sum, t2, 0.009973307172378161);
  sum = std::fma(sum, t2, -0.06649025248972529);
  sum = std::fma(sum, t2, 0.3989422609046108);
  const double phi = std::fma(t, sum, 0.5);
  return phi > 0.0 ? phi : 0.0;
}

// Entry of row y and column x, both in -radius..radius; gauss = g(y) g(x).
RASANT_HD std::int32_t skew_entry(const SkewKernel& k, int y, int x, double gauss) {
  const double phi = normal_cdf(std::fma(k.skew_y, static_cast<double>(y), k.skew_x * static_cast<double>(x)));
  return static_cast<std::int32_t>(std::fma(k.scale * gauss, phi, 0.5));
}

// sigma: pixels, > 0 and at most 32. skew: 1 / pixel, within 1e3.
inline SkewKernel skew_kernel(double sigma, double skew_y, double skew_x) {
  check(sigma > 0.0 && sigma <= 32.0, "sigma must be > 0 and at most 32 pixels, got ", sigma, "; 0.6 to 10 is usual");
  check(std::fabs(skew_y) <= 1e3 && std::fabs(skew_x) <= 1e3, "skew must be within 1000 per pixel, got (", skew_y, ", ",
        skew_x, "); 0.5 is strong");
  SkewKernel k;
  k.radius = static_cast<int>(std::ceil(3.0 * sigma));
  k.skew_y = skew_y;
  k.skew_x = skew_x;
  double sum = 1.0;
  for (int i = 1; i <= k.radius; ++i) {
    k.weight[i] = std::exp(-(i * i) / (2.0 * sigma * sigma));
    sum += 2.0 * k.weight[i];
  }
  k.scale = 2147483648.0 / (sum * sum);
  return k;
}

}  // namespace rasant
