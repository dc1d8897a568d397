// SPDX-License-Identifier: Apache-2.0
// Three kernels: probabilities and their sums along rows; sums along columns, pooled and its maximum; the result.
// Both sums run: a thread adds its first window and then, for a few neighbours, the value that enters less the one that
// leaves. Everything that is combined between threads is an integer, so no order shows.
#include "core/device.hpp"
#include "core/launch.hpp"
#include "ops/score.hpp"

namespace rasant {
namespace {

constexpr int warp = 32;

constexpr int run_across = 5;  // neighbours of one thread: odd, so that a warp's reads of shared memory do not collide
constexpr int segment = warp * run_across;
constexpr int warps_across = 4;                  // rows of a block
constexpr int reach = segment + kMaxKernel - 1;  // pixels that a segment's sums need
constexpr int lines = warps_across * reach;

constexpr int run_down = 4;
constexpr int warps_down = 8;
constexpr int band = warps_down * run_down;  // rows of a block, of 32 columns

// What all blocks agree on. `best` is (sum << 32) + ~place: the highest sum, and of equal ones the first place.
struct Tally { std::uint64_t best, nonfinite, clipped; };

struct Logits {
  ImageView<const float> good, defect;
  RASANT_HD Probability at(int y, int x, bool ignored, float scale) const {
    return probability_of_logits(good(y, x), defect(y, x), ignored, scale);
  }
};

struct Values {
  ImageView<const float> value;
  RASANT_HD Probability at(int y, int x, bool ignored, float scale) const {
    return probability_of_value(value(y, x), ignored, scale);
  }
};

RASANT_HD bool is_ignored(const ScoreMaps& maps, int y, int x) {
  return maps.ignore.data != nullptr && maps.ignore(y, x) != 0;
}

// The sums over `kernel` columns around each pixel; raw; and the counts. A block has four rows of one segment.
template <class Source>
RASANT_KERNEL void sum_across(Source source, ScoreMaps maps, ScoreScale how, int segments, std::uint32_t* sums,
                              Tally* tally) {
  RASANT_SHARED(std::uint32_t, fixed, lines);
  RASANT_SHARED(std::uint32_t, counts, 2);
  const int row = static_cast<int>(threadIdx.y), lane = static_cast<int>(threadIdx.x), radius = how.kernel / 2;
  const int left = static_cast<int>(blockIdx.x) % segments * segment;
  const int y = static_cast<int>(blockIdx.x) / segments * warps_across + row, width = maps.raw.width;
  std::uint32_t* const line = fixed + row * reach;
  if (row == 0 && lane < 2) counts[lane] = 0;
  gpu::barrier();
  std::uint32_t bad = 0, outside = 0;
  for (int k = lane; k < segment + 2 * radius; k += warp) {
    const int x = left - radius + k;
    const bool inside = y < maps.raw.height && x >= 0 && x < width;
    const Probability p = inside ? source.at(y, x, is_ignored(maps, y, x), how.scale) : Probability{};
    line[k] = p.fixed;
    if (!inside || k < radius || k >= radius + segment) continue;  // the halo belongs to the neighbour
    maps.raw(y, x) = p.raw;
    bad += static_cast<std::uint32_t>(p.bad);
    outside += static_cast<std::uint32_t>(p.outside);
  }
  if (bad != 0) gpu::atomic_add(counts, bad);
  if (outside != 0) gpu::atomic_add(counts + 1, outside);
  gpu::barrier();
  if (row == 0 && lane == 0) {
    if (counts[0] != 0) gpu::atomic_add(&tally->nonfinite, static_cast<std::uint64_t>(counts[0]));
    if (counts[1] != 0) gpu::atomic_add(&tally->clipped, static_cast<std::uint64_t>(counts[1]));
  }
  std::uint32_t found[run_across];
  const std::uint32_t* const from = line + lane * run_across;
  std::uint32_t sum = 0;
  for (int k = 0; k < how.kernel; ++k) sum += from[k];
  found[0] = sum;
  for (int j = 1; j < run_across; ++j) found[j] = sum += from[how.kernel + j - 1] - from[j - 1];
  gpu::barrier();
  for (int j = 0; j < run_across; ++j) line[lane * run_across + j] = found[j];
  gpu::barrier();
  for (int k = lane; k < segment; k += warp)
    if (y < maps.raw.height && left + k < width)
      sums[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(left + k)] =
          line[k];
}

// The sums over `kernel` rows of those, pooled, and the maximum. A block has 32 columns of one band of rows.
RASANT_KERNEL void sum_down(const std::uint32_t* sums, ScoreMaps maps, ScoreScale how, int columns, Tally* tally) {
  RASANT_DYNAMIC_SHARED(std::uint32_t, window);
  RASANT_SHARED(std::uint64_t, best, 1);
  const int row = static_cast<int>(threadIdx.y), lane = static_cast<int>(threadIdx.x), radius = how.kernel / 2;
  const int top = static_cast<int>(blockIdx.x) / columns * band;
  const int x = static_cast<int>(blockIdx.x) % columns * warp + lane, height = maps.pooled.height;
  const bool there = x < maps.pooled.width;
  const auto place = [&](int y) {
    return static_cast<std::uint64_t>(y) * static_cast<std::uint64_t>(maps.pooled.width) +
           static_cast<std::uint64_t>(x);
  };
  if (row == 0 && lane == 0) *best = 0;
  for (int k = row; k < band + 2 * radius; k += warps_down) {
    const int y = top - radius + k;
    window[k * warp + lane] = there && y >= 0 && y < height ? sums[place(y)] : 0;
  }
  gpu::barrier();
  const std::uint32_t* const from = window + row * run_down * warp + lane;
  std::uint64_t highest = 0;
  std::uint32_t sum = 0;
  for (int k = 0; k < how.kernel; ++k) sum += from[k * warp];
  for (int j = 0; j < run_down; ++j) {
    if (j > 0) sum += from[(how.kernel + j - 1) * warp] - from[(j - 1) * warp];
    const int y = top + row * run_down + j;
    if (!there || y >= height) break;
    const bool ignored = is_ignored(maps, y, x);
    maps.pooled(y, x) = ignored ? 0.0f : static_cast<float>(static_cast<std::int32_t>(sum)) * how.unit;
    const std::uint64_t key = (static_cast<std::uint64_t>(sum) << 32) + (0xFFFFFFFFu - place(y));
    if (!ignored && key > highest) highest = key;
  }
  for (int distance = warp / 2; distance > 0; distance /= 2) {
    const std::uint64_t other = gpu::shuffle_xor(highest, distance);
    if (other > highest) highest = other;
  }
  if (lane == 0) gpu::atomic_max(best, highest);
  gpu::barrier();
  if (row == 0 && lane == 0 && *best != 0) gpu::atomic_max(&tally->best, *best);
}

RASANT_KERNEL void conclude(const Tally* tally, int width, float unit, ScoreResult* result) {
  const auto place = static_cast<std::int64_t>(0xFFFFFFFFu - (tally->best & 0xFFFFFFFFu));
  const bool worthless = tally->nonfinite != 0 || tally->best == 0;
  result->score =
      worthless ? from_bits(0x7FC00000u) : static_cast<float>(static_cast<std::int32_t>(tally->best >> 32)) * unit;
  result->y = worthless ? -1 : static_cast<int>(place / width);
  result->x = worthless ? -1 : static_cast<int>(place % width);
  result->nonfinite = static_cast<std::int64_t>(tally->nonfinite);
  result->clipped = static_cast<std::int64_t>(tally->clipped);
}

template <class Source>
ScoreResult* score(const Source& source, int kernel, const ScoreMaps& maps, ScoreResult* result, Stream stream) {
  const ScoreScale how = score_scale(kernel);
  const int height = maps.raw.height, width = maps.raw.width;
  check(maps.raw.pixels() < 0xFFFFFFFFu, "a map on the device has less than 2^32 - 1 pixels, got ", height, " x ",
        width, "; score it in parts");
  auto* const memory = static_cast<unsigned char*>(workspace(stream, 256 + maps.raw.pixels() * sizeof(std::uint32_t)));
  auto* const tally = reinterpret_cast<Tally*>(memory);
  auto* const sums = reinterpret_cast<std::uint32_t*>(memory + 256);
  if (result == nullptr) result = reinterpret_cast<ScoreResult*>(memory + 128);
  fill_zero(tally, sizeof(Tally), stream);
  const unsigned segments = blocks_for(width, segment), columns = blocks_for(width, warp);
  launch(sum_across<Source>, dim3(segments * blocks_for(height, warps_across)), dim3(warp, warps_across), 0, stream,
         source, maps, how, static_cast<int>(segments), sums, tally);
  launch(sum_down, dim3(columns * blocks_for(height, band)), dim3(warp, warps_down),
         static_cast<std::size_t>(band + kernel - 1) * warp * sizeof(std::uint32_t), stream, sums, maps, how,
         static_cast<int>(columns), tally);
  launch(conclude, dim3(1), dim3(1), 0, stream, tally, width, how.unit, result);
  return result;
}

}  // namespace

ScoreResult* score_map_cuda(ImageView<const float> good, ImageView<const float> defect, int kernel,
                            const ScoreMaps& maps, ScoreResult* result, Stream stream) {
  return score(Logits{good, defect}, kernel, maps, result, stream);
}

ScoreResult* score_probability_cuda(ImageView<const float> probability, int kernel, const ScoreMaps& maps,
                                    ScoreResult* result, Stream stream) {
  return score(Values{probability}, kernel, maps, result, stream);
}

}  // namespace rasant
