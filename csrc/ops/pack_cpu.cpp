// SPDX-License-Identifier: Apache-2.0
#include "ops/pack.hpp"

#include <cstddef>
#include <cstring>
#include <vector>

#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

// The taps of one axis, computed once a call.
struct Taps {
  explicit Taps(const Axis& axis)
      : size(axis.out),
        taps(axis.taps),
        first(static_cast<std::size_t>(size)),
        weight(static_cast<std::size_t>(size) * static_cast<std::size_t>(taps)) {
    for (int i = 0; i < size; ++i) {
      const int begin = first[static_cast<std::size_t>(i)] = first_tap(axis, i);
      float* const weights_of = weight.data() + static_cast<std::ptrdiff_t>(i) * taps;
      for (int t = 0; t < taps; ++t) weights_of[t] = tap_weight(axis, i, begin, t);
    }
  }
  const float* weights(int i) const { return weight.data() + static_cast<std::ptrdiff_t>(i) * taps; }

  int size, taps;
  std::vector<int> first;
  std::vector<float> weight;
};

// Two or four floats that are added and multiplied together; a lane is one channel.
using Two = float __attribute__((vector_size(8)));
using Four = float __attribute__((vector_size(16)));

template <class Lanes>
RASANT_INLINE Lanes load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

// Sum over the taps of output pixel i of weight * Lanes at row[step * (first + tap)].
template <class Lanes>
RASANT_INLINE Lanes weigh(const float* row, const float* weight, int first, int taps, int step) {
  const float* from = row + static_cast<std::ptrdiff_t>(first) * step;
  Lanes sum = weight[0] * load<Lanes>(from);
  for (int t = 1; t < taps; ++t) sum += weight[t] * load<Lanes>(from + t * step);
  return sum;
}

RASANT_VECTOR void add_bytes(const std::uint8_t* __restrict source, float weight, float* __restrict sum, int count,
                             bool start) {
  if (start)
    for (int i = 0; i < count; ++i) sum[i] = weight * static_cast<float>(source[i]);
  else
    for (int i = 0; i < count; ++i) sum[i] += weight * static_cast<float>(source[i]);
}

// Valid depth and its weight, in turns: sums[2 i], sums[2 i + 1].
RASANT_VECTOR void add_depth(const float* __restrict source, float weight, float* __restrict sums, int count,
                             bool start) {
  for (int i = 0; i < count; ++i) {
    const DepthShare share = depth_share(source[i], weight);
    sums[2 * i] = start ? share.value : sums[2 * i] + share.value;
    sums[2 * i + 1] = start ? share.part : sums[2 * i + 1] + share.part;
  }
}

// One row of three interleaved channels to three planes. `row` can be read one float beyond its end.
void finish_color(const float* row, const Taps& columns, const ColorRule& rule, float* const planes[3]) {
  const float gain[3] = {rule.gain[0], rule.gain[1], rule.gain[2]};
  const float offset[3] = {rule.offset[0], rule.offset[1], rule.offset[2]};
  for (int i = 0; i < columns.size; ++i) {
    const Four sum = weigh<Four>(row, columns.weights(i), columns.first[static_cast<std::size_t>(i)], columns.taps, 3);
    planes[0][i] = sum[rule.channel[0]] * gain[0] + offset[0];
    planes[1][i] = sum[rule.channel[1]] * gain[1] + offset[1];
    planes[2][i] = sum[rule.channel[2]] * gain[2] + offset[2];
  }
}

void finish_depth(const float* row, const Taps& columns, float* out) {
  for (int i = 0; i < columns.size; ++i) {
    const Two sum = weigh<Two>(row, columns.weights(i), columns.first[static_cast<std::size_t>(i)], columns.taps, 2);
    out[i] = packed_depth(sum[0], sum[1]);
  }
}

RASANT_VECTOR void split_row(const std::uint8_t* __restrict source, float* __restrict a, float* __restrict b,
                             float* __restrict c, const ColorRule& rule, int count) {
  const float ga = rule.gain[0], gb = rule.gain[1], gc = rule.gain[2];
  const float oa = rule.offset[0], ob = rule.offset[1], oc = rule.offset[2];
  const int ca = rule.channel[0], cc = rule.channel[2];
  if (ca == 0) {
    for (int i = 0; i < count; ++i) {
      a[i] = static_cast<float>(source[3 * i]) * ga + oa;
      b[i] = static_cast<float>(source[3 * i + 1]) * gb + ob;
      c[i] = static_cast<float>(source[3 * i + 2]) * gc + oc;
    }
  } else {
    for (int i = 0; i < count; ++i) {
      a[i] = static_cast<float>(source[3 * i + ca]) * ga + oa;
      b[i] = static_cast<float>(source[3 * i + 1]) * gb + ob;
      c[i] = static_cast<float>(source[3 * i + cc]) * gc + oc;
    }
  }
}

RASANT_VECTOR void keep_valid(const float* __restrict source, float* __restrict out, int count) {
  for (int i = 0; i < count; ++i) out[i] = kept_depth(source[i]);
}

}  // namespace

void pack_color_cpu(ImageView<const std::uint8_t> color, const ColorRule& rule, Interpolation interpolation,
                    ImageView<float> out, int threads) {
  const int height = out.height / 3, width = out.width, samples = color.width * 3;
  const bool same = color.height == height && color.width == width;
  const Taps rows(make_axis(color.height, height, interpolation));
  const Taps columns(make_axis(color.width, width, interpolation));
  for_each_row(height, threads, [&](int begin, int end, int) {
    thread_local std::vector<float> sums;
    sums.resize(static_cast<std::size_t>(samples) + 1);
    for (int y = begin; y < end; ++y) {
      float* const planes[3] = {out.row(y), out.row(height + y), out.row(2 * height + y)};
      if (same) {
        split_row(color.row(y), planes[0], planes[1], planes[2], rule, width);
        continue;
      }
      const int first = rows.first[static_cast<std::size_t>(y)];
      for (int t = 0; t < rows.taps; ++t)
        if (t == 0 || rows.weights(y)[t] != 0.0f)
          add_bytes(color.row(first + t), rows.weights(y)[t], sums.data(), samples, t == 0);
      finish_color(sums.data(), columns, rule, planes);
    }
  });
}

void pack_depth_cpu(ImageView<const float> depth, Interpolation interpolation, ImageView<float> out, int threads) {
  const bool same = depth.height == out.height && depth.width == out.width;
  const Taps rows(make_axis(depth.height, out.height, interpolation));
  const Taps columns(make_axis(depth.width, out.width, interpolation));
  for_each_row(out.height, threads, [&](int begin, int end, int) {
    thread_local std::vector<float> sums;
    sums.resize(2 * static_cast<std::size_t>(depth.width));
    for (int y = begin; y < end; ++y) {
      if (same) {
        keep_valid(depth.row(y), out.row(y), out.width);
        continue;
      }
      const int first = rows.first[static_cast<std::size_t>(y)];
      for (int t = 0; t < rows.taps; ++t)
        if (t == 0 || rows.weights(y)[t] != 0.0f)
          add_depth(depth.row(first + t), rows.weights(y)[t], sums.data(), depth.width, t == 0);
      finish_depth(sums.data(), columns, out.row(y));
    }
  });
}

}  // namespace rasant
