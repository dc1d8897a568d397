// SPDX-License-Identifier: Apache-2.0
// ranking: all that exact, tie-aware AUROC, AP, F1 and AUPRO need, from one sort. On the CPU only.
//
// These figures change only at scores that a defective pixel has. So the answer is a table over the distinct scores v
// of the positives, from the highest down, with
//   positives(v)  number of positives that score v
//   overlap(v)    sum over them of 1 / (components * pixels of its component): their share of the region overlap
//   above(v)      number of negatives that score more than v
//   equal(v)      number of negatives that score v
// Components are the 8-connected parts of each truth mask, of any size; all pixels outside are negatives, those of good
// images among them (MVTec 3D-AD, Bergmann et al. 2022, section 4; ties exact).
// Time: one pass over the negatives, which only counts those that share no fine cell of the score axis with a positive,
// and a radix sort of the others; with `samples` all are sorted. Memory: at most 8 bytes a pixel.
#pragma once
#include <cstdint>
#include <vector>

#include "core/image.hpp"

namespace rasant {

struct RankTable {
  std::vector<float> value;
  std::vector<std::int64_t> positives, above, equal;
  std::vector<double> overlap;
  std::int64_t n_positive = 0, n_negative = 0, n_component = 0;
  std::vector<float> sampled;  // the negatives at `samples` even places of their ascending order; empty without any
};

// A score map and its truth: dense rows, the same size. A truth byte that is not 0 is a positive.
struct LabelledMap {
  ImageView<const float> scores;
  ImageView<const std::uint8_t> truth;
};

// `samples` places are trunc(linspace(0, negatives - 1, samples)). Throws BadArgument where a score is not finite.
RankTable rank_maps_cpu(const std::vector<LabelledMap>& maps, int samples);

}  // namespace rasant
