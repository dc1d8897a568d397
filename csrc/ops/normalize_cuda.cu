// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/depth.hpp"
#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/normalize.hpp"

namespace rasant {
namespace {

constexpr int block_size = 256;
constexpr std::int64_t max_blocks = 256;  // of a reduction; their threads take one pixel after the other

// Sort key without a sign, so that all keys are above 0 and the complements, too.
RASANT_HD std::uint32_t ordered(float value) { return static_cast<std::uint32_t>(sort_key(value)) ^ 0x80000000u; }
RASANT_HD float unordered(std::uint32_t key) { return from_key(static_cast<std::int32_t>(key ^ 0x80000000u)); }

// Of the values that count; it begins as all zeros.
struct Tally {
  std::uint64_t count;
  std::uint64_t sum;   // 2^-20 units, two's complement
  std::uint32_t low;   // complement of the smallest key: a maximum, as `high` is
  std::uint32_t high;  // largest key

  RASANT_HD std::int64_t pixels() const { return static_cast<std::int64_t>(count); }
  RASANT_HD std::int64_t total() const { return static_cast<std::int64_t>(sum); }
};

struct MeansSearch {
  Tally all, near;
  std::int64_t last;  // near values of the round before
  float border;
  bool done;
  TwoMeans means;
};

struct UsedPixels {
  const std::uint8_t* foreground;  // or nullptr

  RASANT_HD bool idle() const { return false; }
  RASANT_HD bool counts(float value, std::int64_t k) const { return is_used(value, foreground ? foreground[k] : 1); }
};

struct ValidPixels {
  RASANT_HD bool idle() const { return false; }
  RASANT_HD bool counts(float value, std::int64_t) const { return is_valid_depth(value); }
};

struct NearPixels {
  const MeansSearch* search;

  RASANT_HD bool idle() const { return search->done; }
  RASANT_HD bool counts(float value, std::int64_t) const { return is_near(value, search->border); }
};

template <class Pixels>
RASANT_KERNEL void tally_pixels(const float* values, std::int64_t count, Pixels chosen, Tally* into) {
  if (chosen.idle()) return;
  Tally own{};
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < count; k += step) {
    if (!chosen.counts(values[k], k)) continue;
    const std::uint32_t key = ordered(values[k]);
    own.low = own.low > ~key ? own.low : ~key;
    own.high = own.high > key ? own.high : key;
    own.sum += static_cast<std::uint64_t>(static_cast<std::int64_t>(fixed_value(values[k])));
    ++own.count;
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const std::uint32_t low = gpu::shuffle_xor(own.low, lanes), high = gpu::shuffle_xor(own.high, lanes);
    own.low = own.low > low ? own.low : low;
    own.high = own.high > high ? own.high : high;
    own.sum += gpu::shuffle_xor(own.sum, lanes);
    own.count += gpu::shuffle_xor(own.count, lanes);
  }
  if (threadIdx.x % 32 != 0 || own.count == 0) return;
  gpu::atomic_add(&into->count, own.count);
  gpu::atomic_add(&into->sum, own.sum);
  gpu::atomic_max(&into->low, own.low);
  gpu::atomic_max(&into->high, own.high);
}

RASANT_KERNEL void finish_range(const Tally* tally, ValueRange* range) {
  *range = {};
  if (tally->count == 0) return;
  *range = {tally->pixels(), unordered(~tally->low), unordered(tally->high), mean_of(tally->total(), tally->pixels())};
}

// One thread, between two tallies: the step of two_means_cpu.
RASANT_KERNEL void move_means(MeansSearch* search, bool first) {
  if (search->done) return;
  const Tally &all = search->all, &near = search->near;
  TwoMeans& means = search->means;
  if (first) {
    means = {};
    search->done = all.count == 0;
    if (!search->done) means = {unordered(~all.low), unordered(all.high)};
  } else {
    search->done = near.count == 0 || near.count == all.count || near.pixels() == search->last;
    if (!search->done) {
      search->last = near.pixels();
      means.near = mean_of(near.total(), near.pixels());
      means.far = mean_of(all.total() - near.total(), all.pixels() - near.pixels());
    }
  }
  search->border = static_cast<float>((means.near + means.far) / 2.0);
  search->near = {};
}

constexpr int digit_bits = 8, digit_values = 1 << digit_bits, digits = 32 / digit_bits;

// The keys of both ranks, found digit by digit from the highest: a histogram of the next digit over all keys that
// begin like the one that is looked for, and then the digit at which the rank is reached. Begins as all zeros.
struct RankSearch {
  std::uint32_t histogram[digits][2][digit_values];
  std::uint32_t key[2];  // the digits known so far
  std::int64_t rank[2];  // among the keys that begin so
  Percentiles found;
};

template <class Pixels>
RASANT_KERNEL void count_digit(const float* values, std::int64_t count, Pixels chosen, int digit, RankSearch* search) {
  RASANT_SHARED(std::uint32_t, bins, 2 * digit_values);
  const int t = static_cast<int>(threadIdx.x), shift = 32 - digit_bits * (digit + 1);
  for (int k = t; k < 2 * digit_values; k += block_size) bins[k] = 0;
  gpu::barrier();
  const std::uint32_t known[2] = {search->key[0], search->key[1]};
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < count; k += step) {
    if (!chosen.counts(values[k], k)) continue;
    const std::uint32_t start = ordered(values[k]) >> shift;
    for (int r = 0; r < 2; ++r)
      if (digit == 0 || start >> digit_bits == known[r])
        gpu::atomic_add(bins + r * digit_values + static_cast<int>(start % digit_values), std::uint32_t{1});
  }
  gpu::barrier();
  std::uint32_t* const all = &search->histogram[digit][0][0];
  for (int k = t; k < 2 * digit_values; k += block_size)
    if (bins[k] != 0) gpu::atomic_add(all + k, bins[k]);
}

// One block, a thread for each value of the digit. `low` and `high` are shares of the number of keys.
RASANT_KERNEL void find_digit(int digit, double low, double high, RankSearch* search) {
  RASANT_SHARED(std::uint32_t, bins, 2 * digit_values);
  const int t = static_cast<int>(threadIdx.x);
  for (int r = 0; r < 2; ++r) bins[r * digit_values + t] = search->histogram[digit][r][t];
  gpu::barrier();
  std::int64_t before[2] = {}, all = 0;
  for (int k = 0; k < digit_values; ++k) {
    all += bins[k];
    for (int r = 0; r < 2; ++r) before[r] += k < t ? bins[r * digit_values + k] : 0;
  }
  std::int64_t rank[2] = {search->rank[0], search->rank[1]};
  if (digit == 0)
    for (int r = 0; r < 2; ++r) rank[r] = static_cast<std::int64_t>((r ? high : low) * static_cast<double>(all - 1));
  gpu::barrier();  // all have read what one now writes
  for (int r = 0; r < 2; ++r) {
    if (rank[r] < before[r] || rank[r] >= before[r] + bins[r * digit_values + t]) continue;
    search->key[r] = search->key[r] << digit_bits | static_cast<std::uint32_t>(t);
    search->rank[r] = rank[r] - before[r];
    if (digit + 1 < digits) continue;
    (r ? search->found.high : search->found.low) = unordered(search->key[r]);
    search->found.found = true;
  }
}

RASANT_KERNEL void normalize_pixels(const float* values, const std::uint8_t* foreground, float* out, std::int64_t count,
                                    NormalizeParams params) {
  const std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k < count) out[k] = normalized(values[k], is_used(values[k], foreground ? foreground[k] : 1), params);
}

std::int64_t pixels_of(ImageView<const float> image) {
  const auto count = static_cast<std::int64_t>(image.pixels());
  check<BadShape>(count < std::int64_t{1} << 31, "an image on a device has fewer than 2^31 pixels, got ", count);
  return count;
}

// Zeroed memory of the stream.
template <class T>
T* cleared(Stream stream) {
  auto* const memory = static_cast<T*>(workspace(stream, sizeof(T)));
  fill_zero(memory, sizeof(T), stream);
  return memory;
}

dim3 reduction_grid(std::int64_t count) {
  return dim3(std::min(blocks_for(count, block_size), static_cast<unsigned>(max_blocks)));
}

template <class Pixels>
void tally(ImageView<const float> image, const Pixels& chosen, Tally* into, Stream stream) {
  const std::int64_t count = pixels_of(image);
  launch(tally_pixels<Pixels>, reduction_grid(count), dim3(block_size), 0, stream, image.data, count, chosen, into);
}

}  // namespace

const ValueRange* measure_cuda(ImageView<const float> value, ImageView<const std::uint8_t> foreground, Stream stream) {
  struct Memory {
    Tally tally;
    ValueRange range;
  };
  auto* const memory = cleared<Memory>(stream);
  tally(value, UsedPixels{foreground.data}, &memory->tally, stream);
  launch(finish_range, dim3(1), dim3(1), 0, stream, &memory->tally, &memory->range);
  return &memory->range;
}

const Percentiles* percentiles_cuda(ImageView<const float> value, ImageView<const std::uint8_t> foreground,
                                    double low_percent, double high_percent, Stream stream) {
  check_percents(low_percent, high_percent);
  const std::int64_t count = pixels_of(value);
  auto* const search = cleared<RankSearch>(stream);
  for (int digit = 0; digit < digits; ++digit) {
    launch(count_digit<UsedPixels>, reduction_grid(count), dim3(block_size), 0, stream, value.data, count,
           UsedPixels{foreground.data}, digit, search);
    launch(find_digit, dim3(1), dim3(digit_values), 0, stream, digit, low_percent / 100.0, high_percent / 100.0,
           search);
  }
  return &search->found;
}

const TwoMeans* two_means_cuda(ImageView<const float> depth, Stream stream) {
  auto* const search = cleared<MeansSearch>(stream);
  tally(depth, ValidPixels{}, &search->all, stream);
  launch(move_means, dim3(1), dim3(1), 0, stream, search, true);
  for (int round = 0; round < rounds_of_two_means; ++round) {  // those after the last one needed return at once
    tally(depth, NearPixels{search}, &search->near, stream);
    launch(move_means, dim3(1), dim3(1), 0, stream, search, false);
  }
  return &search->means;
}

void normalize_cuda(ImageView<const float> value, ImageView<const std::uint8_t> foreground, ImageView<float> out,
                    const NormalizeParams& params, Stream stream) {
  check_normalize(params);
  const std::int64_t count = pixels_of(value);
  launch(normalize_pixels, dim3(blocks_for(count, block_size)), dim3(block_size), 0, stream, value.data,
         foreground.data, out.data, count, params);
}

}  // namespace rasant
