// SPDX-License-Identifier: Apache-2.0
// A lens as Python holds it: numbers, so that a plan keeps what depends on its camera alone.
#pragma once
#include <array>

#include "core/error.hpp"
#include "core/lens.hpp"

namespace rasant {

using Camera = std::array<double, 4>;        // fx, fy, cx, cy
using Pose = std::array<double, 12>;         // [R | t] row by row
using LensNumbers = std::array<double, 27>;  // the model, the camera, k, tilt, limit; an answer of lens_numbers

inline Lens<double> lens_of(const LensNumbers& n) {
  check(n[0] >= 0.0 && n[0] <= static_cast<double>(LensModel::ftheta), "lens must be an answer of lens_numbers");
  Lens<double> lens;
  lens.model = static_cast<LensModel>(static_cast<int>(n[0]));
  lens.fx = n[1], lens.fy = n[2], lens.cx = n[3], lens.cy = n[4];
  for (std::size_t i = 0; i < 12; ++i) lens.k[i] = n[5 + i];
  for (std::size_t i = 0; i < 9; ++i) lens.tilt[i] = n[17 + i];
  lens.limit = n[26];
  return lens;
}

}  // namespace rasant
