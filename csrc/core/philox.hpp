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

RASANT_HD Random4 philox(std::uint64_t seed, std::uint64_t sample, std::uint32_t item, Purpose purpose) {
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  std::uint32_t c0 = item, c1 = static_cast<std::uint32_t>(purpose);
  std::uint32_t c2 = static_cast<std::uint32_t>(sample), c3 = static_cast<std::uint32_t>(sample >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1) with 24 bits, exact in float.
RASANT_HD float uniform(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 5.9604644775390625e-8f; }

}  // namespace rasant
