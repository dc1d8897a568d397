// SPDX-License-Identifier: Apache-2.0
#include "ops/ranking.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>

#include "core/components.hpp"
#include "core/error.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

using Key = std::uint32_t;
constexpr int kDigitBits = 11;

// A key with the order of the float. -0 and 0 are one value.
RASANT_INLINE Key key_of(float value) {
  const float plain = value + 0.0f;
  Key bits;
  std::memcpy(&bits, &plain, 4);
  return bits ^ ((bits & 0x80000000u) ? 0xFFFFFFFFu : 0x80000000u);
}

float value_of(Key key) {
  const Key bits = key ^ ((key & 0x80000000u) ? 0x80000000u : 0xFFFFFFFFu);
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Keys of a stretch of scores; false where one of them is not finite.
RASANT_VECTOR bool write_keys(const float* __restrict scores, Key* __restrict keys, std::size_t count) {
  Key bad = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Key bits;
    std::memcpy(&bits, &scores[i], 4);
    bad |= static_cast<Key>((bits & 0x7F800000u) == 0x7F800000u);
    keys[i] = key_of(scores[i]);
  }
  return bad == 0;
}

RASANT_VECTOR void bounds(const Key* __restrict keys, std::size_t count, Key& lowest, Key& highest) {
  Key low = ~Key{0}, high = 0;
  for (std::size_t i = 0; i < count; ++i) {
    low = std::min(low, keys[i]);
    high = std::max(high, keys[i]);
  }
  lowest = low;
  highest = high;
}

RASANT_INLINE Key key_in(Key item) { return item; }
RASANT_INLINE Key key_in(std::uint64_t item) { return static_cast<Key>(item >> 32); }

// Least significant digit radix sort, stable. Digits cover only the bits in which the keys differ from the lowest one.
// The result stands in `items`; `spare` has the same size.
template <class Item>
void radix_sort(std::unique_ptr<Item[]>& items, std::unique_ptr<Item[]>& spare, std::size_t count, Key lowest,
                Key highest) {
  int bits = 0;
  while (bits < 32 && (static_cast<std::uint64_t>(highest - lowest) >> bits) != 0) ++bits;
  const int passes = (bits + kDigitBits - 1) / kDigitBits;
  if (passes == 0) return;
  const int width = (bits + passes - 1) / passes;
  const Key mask = (Key{1} << width) - 1;
  std::array<std::array<std::size_t, std::size_t{1} << kDigitBits>, 3> starts{};
  for (std::size_t i = 0; i < count; ++i) {
    const Key key = key_in(items[i]) - lowest;
    for (int pass = 0; pass < passes; ++pass) ++starts[static_cast<std::size_t>(pass)][(key >> (pass * width)) & mask];
  }
  for (int pass = 0; pass < passes; ++pass) {
    auto& start = starts[static_cast<std::size_t>(pass)];
    std::size_t sum = 0;
    for (auto& entry : start) entry = (sum += entry) - entry;
    const Item* from = items.get();
    Item* to = spare.get();
    const int shift = pass * width;
    for (std::size_t i = 0; i < count; ++i) to[start[((key_in(from[i]) - lowest) >> shift) & mask]++] = from[i];
    items.swap(spare);
  }
}

// First place in sorted keys[0 .. end) whose key is more than `key`, searched in growing steps from the end.
std::size_t first_above(const Key* keys, std::size_t end, Key key) {
  std::size_t step = 1, high = end;
  while (step <= high && keys[high - step] > key) {
    high -= step;
    step *= 2;
  }
  const std::size_t low = step <= high ? high - step : 0;
  return static_cast<std::size_t>(std::upper_bound(keys + low, keys + high, key) - keys);
}

// Splits maps into keys of negatives and (key, component) of positives.
struct Split {
  std::unique_ptr<Key[]> negatives;
  std::vector<std::uint64_t> positives;
  std::vector<std::int64_t> component_pixels;
  std::size_t n_negative = 0;

  void add(const LabelledMap& map) {
    const float* scores = map.scores.data;
    const int width = map.scores.width;
    components_.start(width);
    for (int y = 0; y < map.truth.height; ++y) components_.add_row(map.truth.row(y));
    const std::size_t base = component_pixels.size();
    component_pixels.resize(base + static_cast<std::size_t>(components_.finish()), 0);
    std::size_t done = 0;  // pixels of this map taken so far
    bool finite = true;
    for (const Run& run : components_.runs()) {
      const std::size_t row = static_cast<std::size_t>(run.y) * static_cast<std::size_t>(width);
      const std::size_t first = row + static_cast<std::size_t>(run.first),
                        last = row + static_cast<std::size_t>(run.last);
      finite &= write_negatives(scores + done, first - done);
      const std::size_t component = base + static_cast<std::size_t>(run.label - 1);
      component_pixels[component] += run.last - run.first;
      for (std::size_t i = first; i < last; ++i) {
        Key key;
        finite &= write_keys(scores + i, &key, 1);
        positives.push_back(std::uint64_t{key} << 32 | component);
      }
      done = last;
    }
    finite &= write_negatives(scores + done, map.scores.pixels() - done);
    check(finite, "scores hold NaN or infinity; an engine's map with those is UNKNOWN and has no rank");
  }

 private:
  bool write_negatives(const float* scores, std::size_t count) {
    n_negative += count;
    return write_keys(scores, negatives.get() + (n_negative - count), count);
  }

  Components components_;
};

void sort_negatives(Split& split) {
  Key lowest, highest;
  bounds(split.negatives.get(), split.n_negative, lowest, highest);
  std::unique_ptr<Key[]> spare(new Key[split.n_negative]);
  radix_sort(split.negatives, spare, split.n_negative, lowest, highest);
}

std::unique_ptr<std::uint64_t[]> sorted_positives(const Split& split) {
  const std::size_t count = split.positives.size();
  std::unique_ptr<std::uint64_t[]> items(new std::uint64_t[count]), spare(new std::uint64_t[count]);
  std::copy(split.positives.begin(), split.positives.end(), items.get());
  Key lowest = ~Key{0}, highest = 0;
  for (const std::uint64_t item : split.positives) {
    lowest = std::min(lowest, key_in(item));
    highest = std::max(highest, key_in(item));
  }
  if (count > 0) radix_sort(items, spare, count, lowest, highest);
  return items;
}

void fill_table(RankTable& table, const Split& split, const std::uint64_t* positives) {
  const Key* negatives = split.negatives.get();
  std::size_t below = split.n_negative;  // negatives that score at most the value in hand
  for (std::size_t end = split.positives.size(); end > 0;) {
    const Key key = key_in(positives[end - 1]);
    double overlap = 0.0;
    std::int64_t count = 0;
    for (; end > 0 && key_in(positives[end - 1]) == key; --end, ++count)
      overlap += 1.0 / static_cast<double>(split.component_pixels[positives[end - 1] & 0xFFFFFFFFu]);
    const std::size_t at_most = first_above(negatives, below, key);
    below = key == 0 ? 0 : first_above(negatives, at_most, key - 1);
    table.value.push_back(value_of(key));
    table.positives.push_back(count);
    table.overlap.push_back(overlap / static_cast<double>(split.component_pixels.size()));
    table.above.push_back(static_cast<std::int64_t>(split.n_negative - at_most));
    table.equal.push_back(static_cast<std::int64_t>(at_most - below));
  }
}

}  // namespace

RankTable rank_maps_cpu(const std::vector<LabelledMap>& maps, int samples) {
  std::size_t pixels = 0;
  for (const LabelledMap& map : maps) pixels += map.scores.pixels();
  Split split;
  split.negatives.reset(new Key[pixels]);
  for (const LabelledMap& map : maps) split.add(map);
  sort_negatives(split);
  const auto positives = sorted_positives(split);
  RankTable table;
  table.n_positive = static_cast<std::int64_t>(split.positives.size());
  table.n_negative = static_cast<std::int64_t>(split.n_negative);
  table.n_component = static_cast<std::int64_t>(split.component_pixels.size());
  fill_table(table, split, positives.get());
  for (int i = 0; i < samples && split.n_negative > 0; ++i) {
    const double place = samples == 1 ? 0.0 : static_cast<double>(split.n_negative - 1) / (samples - 1) * i;
    const std::size_t last = split.n_negative - 1;
    table.sampled.push_back(value_of(split.negatives[i + 1 == samples ? last : static_cast<std::size_t>(place)]));
  }
  return table;
}

}  // namespace rasant
