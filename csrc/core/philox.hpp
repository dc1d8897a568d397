// SPDX-License-Identifier: Apache-2.0
// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the one random generator of
// rasant. Stateless: key = seed, counter = what is drawn. Integer-exact, hence equal on every device.
#pragma once
#include <cstdint>

#include "core/hd.hpp"

namespace rasant {

// What a number is drawn for: the fourth counter word, so that two operations with one seed stay independent.
enum class Purpose : std::uint32_t {
  perlin_gradient = 1,  // item and word from the lattice node, ops/perlin.hpp
  plane_subset = 2,     // item = point of the scored subset
  plane_sample = 3,     // item = point of a hypothesis, sample = hypothesis
};

struct Random4 { std::uint32_t v[4]; };

// Words are held in 64 bits, of which the upper half is 0: vectors then multiply without moving lanes about.
RASANT_HD Random4 philox(std::uint64_t seed, std::uint64_t sample, std::uint32_t item, Purpose purpose) {
  constexpr std::uint64_t low = 0xFFFFFFFFull;
  std::uint64_t k0 = seed & low, k1 = seed >> 32;
  std::uint64_t c0 = item, c1 = static_cast<std::uint32_t>(purpose), c2 = sample & low, c3 = sample >> 32;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    c0 = (p1 >> 32) ^ c1 ^ k0;
    c2 = (p0 >> 32) ^ c3 ^ k1;
    c1 = p1 & low;
    c3 = p0 & low;
    k0 = (k0 + 0x9E3779B9u) & low;
    k1 = (k1 + 0xBB67AE85u) & low;
  }
  const auto word = [](std::uint64_t c) { return static_cast<std::uint32_t>(c); };
  return {{word(c0), word(c1), word(c2), word(c3)}};
}

// Uniform in [0, 1) with 24 bits, exact in float.
RASANT_HD float uniform(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 5.9604644775390625e-8f; }

}  // namespace rasant
