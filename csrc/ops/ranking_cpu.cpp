// SPDX-License-Identifier: Apache-2.0
#include "ops/ranking.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "core/components.hpp"
#include "core/error.hpp"
#include "core/radix.hpp"

namespace rasant {
namespace {

constexpr int kCoarseBits = 11;    // of the key range of the positives, for the first look-up
constexpr int kCellsPerValue = 4;  // fine cells for each distinct score of a positive, at least
constexpr std::size_t kBlock = 1024;
constexpr Key kKept = 0x80000000u;  // flag of a cell whose negatives are kept

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

// The key axis in cells, in order: one below the lowest positive, fine ones where positives are dense and coarse ones
// where there are none, one above the highest.
struct Axis {
  Key lowest = ~Key{0}, span = 0, last = 2;  // `last` is the cell above all positives
  int coarse_shift = 0;
  std::vector<Key> base{1}, shift{0};  // of each coarse cell: its first fine cell, and key bits to one fine cell

  // items: (key, payload) in ascending order.
  Axis(const std::uint64_t* items, std::size_t count) {
    if (count == 0) return;
    lowest = key_in(items[0]);
    span = key_in(items[count - 1]) - lowest;
    coarse_shift = std::max(bit_length(span) - kCoarseBits, 0);
    std::vector<Key> values((span >> coarse_shift) + 1, 0);
    for (std::size_t i = 0; i < count; ++i)
      if (i == 0 || key_in(items[i]) != key_in(items[i - 1])) ++values[(key_in(items[i]) - lowest) >> coarse_shift];
    base.assign(values.size(), 0);
    shift.assign(values.size(), 0);
    Key next = 1;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const int wanted = values[i] > 0 ? bit_length(values[i] * kCellsPerValue) : 0;
      shift[i] = static_cast<Key>(coarse_shift - std::min(wanted, coarse_shift));
      base[i] = next;
      next += Key{1} << (static_cast<Key>(coarse_shift) - shift[i]);
    }
    last = next;
  }
};

RASANT_VECTOR void locate(const Key* __restrict keys, Key* __restrict cells, std::size_t count, const Axis& axis) {
  const Key lowest = axis.lowest, span = axis.span, last = axis.last;
  const Key coarse_shift = static_cast<Key>(axis.coarse_shift), rest = (Key{1} << coarse_shift) - 1;
  const Key *base = axis.base.data(), *shift = axis.shift.data();
  for (std::size_t i = 0; i < count; ++i) {
    const Key offset = keys[i] - lowest;
    const bool inside = offset <= span;
    const Key safe = inside ? offset : 0, coarse = safe >> coarse_shift;
    const Key cell = base[coarse] + ((safe & rest) >> shift[coarse]);
    cells[i] = inside ? cell : keys[i] < lowest ? 0 : last;
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

struct Stretch {
  const float* scores;
  std::size_t count;
};

// Maps, taken apart: positives as (key, component), negatives as stretches of rows.
struct Split {
  std::vector<std::uint64_t> positives;
  std::vector<std::int64_t> component_pixels;
  std::vector<Stretch> negatives;
  std::size_t n_negative = 0;

  void add(const LabelledMap& map) {
    const int width = map.scores.width;
    components_.start(width);
    for (int y = 0; y < map.truth.height; ++y) components_.add_row(map.truth.row(y));
    const std::size_t base = component_pixels.size();
    component_pixels.resize(base + static_cast<std::size_t>(components_.finish()), 0);
    const float* done = map.scores.data;  // all before it is taken
    for (const Run& run : components_.runs()) {
      const std::size_t component = base + static_cast<std::size_t>(run.label - 1);
      component_pixels[component] += run.last - run.first;
      const float* first = map.scores.row(run.y) + run.first;
      add_negatives(done, first);
      done = map.scores.row(run.y) + run.last;
      for (; first < done; ++first) {
        Key key;
        check_finite(write_keys(first, &key, 1));
        positives.push_back(std::uint64_t{key} << 32 | component);
      }
    }
    add_negatives(done, map.scores.data + map.scores.pixels());
  }

  static void check_finite(bool finite) {
    check(finite, "scores hold NaN or infinity; an engine's map with those is UNKNOWN and has no rank");
  }

 private:
  void add_negatives(const float* from, const float* to) {
    negatives.push_back({from, static_cast<std::size_t>(to - from)});
    n_negative += negatives.back().count;
  }

  Components components_;
};

// The negatives, so far as they must be told apart: of a cell without a positive only the number is kept.
struct Negatives {
  std::unique_ptr<Key[]> keys;  // kept ones, ascending
  std::size_t n_kept = 0;
  std::vector<Key> skipped;  // of each cell: how many in the cells below it were not kept

  Negatives(const Split& split, const Axis& axis, const std::uint64_t* positives, bool keep_all)
      : keys(new Key[split.n_negative]), skipped(axis.last + std::size_t{1}, keep_all ? kKept : 0) {
    mark(axis, positives, split.positives.size());
    for (const Stretch& stretch : split.negatives)
      for (std::size_t i = 0; i < stretch.count; i += kBlock)
        take(stretch.scores + i, std::min(kBlock, stretch.count - i), axis);
    Key sum = 0;
    for (Key& cell : skipped) {
      const Key count = (cell & kKept) ? 0 : cell;
      cell = sum;
      sum += count;
    }
    std::unique_ptr<Key[]> spare(new Key[n_kept]);
    radix_sort(keys, spare, n_kept);
  }

 private:
  void mark(const Axis& axis, const std::uint64_t* positives, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const Key key = key_in(positives[i]);
      Key cell;
      locate(&key, &cell, 1, axis);
      skipped[cell] = kKept;
    }
  }

  void take(const float* scores, std::size_t count, const Axis& axis) {
    Key block[kBlock], cells[kBlock];
    Split::check_finite(write_keys(scores, block, count));
    locate(block, cells, count, axis);
    std::size_t end = n_kept;
    for (std::size_t i = 0; i < count; ++i) {
      const Key cell = skipped[cells[i]]++;
      keys[end] = block[i];
      end += (cell & kKept) != 0;
    }
    n_kept = end;
  }
};

std::unique_ptr<std::uint64_t[]> sorted_positives(const Split& split) {
  const std::size_t count = split.positives.size();
  std::unique_ptr<std::uint64_t[]> items(new std::uint64_t[count]), spare(new std::uint64_t[count]);
  std::copy(split.positives.begin(), split.positives.end(), items.get());
  radix_sort(items, spare, count);
  return items;
}

void fill_table(RankTable& table, const Split& split, const Axis& axis, const Negatives& negatives,
                const std::uint64_t* positives) {
  std::size_t below = negatives.n_kept;  // kept negatives that score less than the value in hand
  for (std::size_t end = split.positives.size(); end > 0;) {
    const Key key = key_in(positives[end - 1]);
    double overlap = 0.0;
    std::int64_t count = 0;
    for (; end > 0 && key_in(positives[end - 1]) == key; --end, ++count)
      overlap += 1.0 / static_cast<double>(split.component_pixels[positives[end - 1] & 0xFFFFFFFFu]);
    Key cell;
    locate(&key, &cell, 1, axis);
    const std::size_t at_most = first_above(negatives.keys.get(), below, key);
    below = key == 0 ? 0 : first_above(negatives.keys.get(), at_most, key - 1);
    table.value.push_back(value_of(key));
    table.positives.push_back(count);
    table.overlap.push_back(overlap / static_cast<double>(split.component_pixels.size()));
    table.above.push_back(static_cast<std::int64_t>(split.n_negative - at_most - negatives.skipped[cell]));
    table.equal.push_back(static_cast<std::int64_t>(at_most - below));
  }
}

}  // namespace

RankTable rank_maps_cpu(const std::vector<LabelledMap>& maps, int samples) {
  Split split;
  for (const LabelledMap& map : maps) split.add(map);
  check(split.n_negative < kKept && split.positives.size() < kKept, "more than 2^31 pixels; rank the maps in parts");
  const auto positives = sorted_positives(split);
  const Axis axis(positives.get(), split.positives.size());
  const Negatives negatives(split, axis, positives.get(), samples > 0);
  RankTable table;
  table.n_positive = static_cast<std::int64_t>(split.positives.size());
  table.n_negative = static_cast<std::int64_t>(split.n_negative);
  table.n_component = static_cast<std::int64_t>(split.component_pixels.size());
  fill_table(table, split, axis, negatives, positives.get());
  for (int i = 0; i < samples && split.n_negative > 0; ++i) {
    const std::size_t last = split.n_negative - 1;
    const double place = samples == 1 ? 0.0 : static_cast<double>(last) / (samples - 1) * i;
    table.sampled.push_back(value_of(negatives.keys[i + 1 == samples ? last : static_cast<std::size_t>(place)]));
  }
  return table;
}

}  // namespace rasant
