// SPDX-License-Identifier: Apache-2.0
// A neighbour as one integer: squared distance in the high half, index in the low half. Its order is the order of
// results: nearer first, and the lower index first where distances are equal.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/hd.hpp"

namespace rasant {

constexpr std::int32_t no_index = 0x7FFFFFFF;  // of a neighbour that does not exist

RASANT_HD bool is_finite(float value) { return value >= -3.402823466e+38f && value <= 3.402823466e+38f; }

// The bits of a float. Of numbers that are not negative, bits have the order of the numbers.
RASANT_HD std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

RASANT_HD float float_of(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// squared >= 0 and not NaN.
RASANT_HD std::uint64_t neighbour_key(float squared, std::int32_t index) {
  return static_cast<std::uint64_t>(bits_of(squared)) << 32 | static_cast<std::uint32_t>(index);
}

// The key of no neighbour: after all others.
RASANT_HD std::uint64_t no_neighbour() { return neighbour_key(float_of(0x7F800000u), no_index); }

RASANT_HD float key_distance(std::uint64_t key) { return float_of(static_cast<std::uint32_t>(key >> 32)); }

// -1 for no neighbour.
RASANT_HD std::int32_t key_index(std::uint64_t key) {
  const auto index = static_cast<std::int32_t>(key & 0xFFFFFFFFu);
  return index == no_index ? -1 : index;
}

// Keeps the k smallest keys, in order.
RASANT_HD void insert_key(std::uint64_t* keys, int k, std::uint64_t key) {
  if (key >= keys[k - 1]) return;
  int at = k - 1;
  for (; at > 0 && keys[at - 1] > key; --at) keys[at] = keys[at - 1];
  keys[at] = key;
}

}  // namespace rasant
