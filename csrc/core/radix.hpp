// SPDX-License-Identifier: Apache-2.0
// Floats as integer keys of the same order, and a stable radix sort of keys, alone or with a payload.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "core/vector.hpp"

namespace rasant {

using Key = std::uint32_t;

// A key with the order of the float. -0 and 0 are one value. Not for NaN.
RASANT_INLINE Key key_of(float value) {
  const float plain = value + 0.0f;
  Key bits;
  std::memcpy(&bits, &plain, 4);
  return bits ^ ((bits & 0x80000000u) ? 0xFFFFFFFFu : 0x80000000u);
}

inline float value_of(Key key) {
  const Key bits = key ^ ((key & 0x80000000u) ? 0x80000000u : 0xFFFFFFFFu);
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// A key alone, or a key in the high half with a payload in the low half.
RASANT_INLINE Key key_in(Key item) { return item; }
RASANT_INLINE Key key_in(std::uint64_t item) { return static_cast<Key>(item >> 32); }

constexpr int bit_length(Key value) {
  int bits = 0;
  while (bits < 32 && (static_cast<std::uint64_t>(value) >> bits) != 0) ++bits;
  return bits;
}

// Least significant digit first. Digits cover only the bits in which keys differ from the lowest one, at most 11 each.
// The result stands in `items`; `spare` has the same size.
template <class Item>
void radix_sort(std::unique_ptr<Item[]>& items, std::unique_ptr<Item[]>& spare, std::size_t count) {
  Key lowest = ~Key{0}, highest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    lowest = key_in(items[i]) < lowest ? key_in(items[i]) : lowest;
    highest = key_in(items[i]) > highest ? key_in(items[i]) : highest;
  }
  const int bits = count > 0 ? bit_length(highest - lowest) : 0;
  const int passes = (bits + 10) / 11;
  const int width = passes > 0 ? (bits + passes - 1) / passes : 0;
  const Key mask = (Key{1} << width) - 1;
  for (int shift = 0; shift < bits; shift += width) {
    std::array<std::size_t, 2048> start{};
    const Item* from = items.get();
    Item* to = spare.get();
    for (std::size_t i = 0; i < count; ++i) ++start[((key_in(from[i]) - lowest) >> shift) & mask];
    std::size_t sum = 0;
    for (auto& entry : start) entry = (sum += entry) - entry;
    for (std::size_t i = 0; i < count; ++i) to[start[((key_in(from[i]) - lowest) >> shift) & mask]++] = from[i];
    items.swap(spare);
  }
}

}  // namespace rasant
