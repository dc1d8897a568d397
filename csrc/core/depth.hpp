// SPDX-License-Identifier: Apache-2.0
// What a depth value means, and the pinhole camera that it was seen through.
#pragma once
#include "core/hd.hpp"

namespace rasant {

// True for a number that measures a distance; 0, negative, NaN and infinity are no measurement.
RASANT_HD bool is_valid_depth(float value) { return value > 0.0f && value < 3.402823466e+38f; }

// Pixels; an integer coordinate is a pixel centre. The ray of pixel (u, v) is ((u - cx) / fx, (v - cy) / fy, 1).
struct Pinhole { double fx, fy, cx, cy; };

}  // namespace rasant
