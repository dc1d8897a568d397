// SPDX-License-Identifier: Apache-2.0
// regions: what a map shows at or above a threshold, as 8-connected components, and where that is in the frame.
// On the CPU only: a few hundred runs are no work for a GPU.
//
// Coordinates: pixel centres are integers, so pixel x covers [x - 0.5, x + 0.5]. A box in frame pixels is the smallest
// one that holds every frame pixel touched by the transformed map box, clipped to the frame.
#pragma once
#include <cstdint>
#include <vector>

#include "core/image.hpp"

namespace rasant {

struct Box { int x, y, width, height; };

struct MapRegion {
  Box box;                    // map pixels
  int area;                   // map pixels
  float peak;                 // highest value inside
  int peak_y, peak_x;         // its first place in row order
  double center_y, center_x;  // mean of the pixels, unweighted
};

// x' = m[0] x + m[1] y + m[2], y' = m[3] x + m[4] y + m[5]
struct Affine { double m[6]; };

// Regions from the highest peak down (equal peaks: row order), at most max_regions. labels (same size) gets 0, or the
// place in the answer plus 1.
std::vector<MapRegion> find_regions_cpu(ImageView<const float> map, float threshold, int max_regions,
                                        ImageView<std::int32_t> labels);

Box frame_box(const Box& map_box, const Affine& frame_from_map, int frame_height, int frame_width);

// Median of the valid depths (neither 0 nor NaN nor infinite) of the frame pixels of `box` whose map pixel carries
// `label`; NaN without any. A box of more than 64 x 64 pixels is sampled on an even grid of that size.
float median_depth_cpu(ImageView<const float> depth, ImageView<const std::int32_t> labels, int label, const Box& box,
                       const Affine& frame_from_map);

}  // namespace rasant
