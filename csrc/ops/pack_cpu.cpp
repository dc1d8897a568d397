// SPDX-License-Identifier: Apache-2.0
#include "ops/pack.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/vector.hpp"

namespace rasant {
namespace {

// The source pixels of each output position along one axis: `taps` consecutive ones from first[i], with the weights
// weight[i * taps ...]; those that reach beyond weigh 0.
struct Axis {
  int size = 0, taps = 1;
  std::vector<int> first;
  std::vector<float> weight;

  const float* weights(int i) const { return weight.data() + static_cast<std::ptrdiff_t>(i) * taps; }
};

// The part of source pixel k that output pixel i covers, 0 where it is but rounding.
double covered(int i, int k, double step, int in) {
  const double part = std::min({(i + 1) * step, k + 1.0, static_cast<double>(in)}) - std::max(i * step, k + 0.0);
  return part > 1e-9 ? part : 0.0;
}

void area_weights(Axis& axis, int in) {
  const double step = static_cast<double>(in) / axis.size;
  axis.taps = 1;
  for (int i = 0; i < axis.size; ++i) {
    int first = static_cast<int>(i * step);
    while (covered(i, first, step, in) == 0.0) ++first;
    axis.first[static_cast<std::size_t>(i)] = first;
    int taps = 1;
    while (first + taps < in && covered(i, first + taps, step, in) > 0.0) ++taps;
    axis.taps = std::max(axis.taps, taps);
  }
  axis.weight.assign(static_cast<std::size_t>(axis.taps) * axis.size, 0.0f);
  for (int i = 0; i < axis.size; ++i) {
    int& first = axis.first[static_cast<std::size_t>(i)];
    first = std::min(first, in - axis.taps);
    const double whole = std::min((i + 1) * step, static_cast<double>(in)) - i * step;
    for (int t = 0; t < axis.taps; ++t)
      axis.weight[static_cast<std::size_t>(i) * axis.taps + t] =
          static_cast<float>(covered(i, first + t, step, in) / whole);
  }
}

void linear_weights(Axis& axis, int in) {
  axis.taps = std::min(2, in);
  axis.weight.assign(static_cast<std::size_t>(axis.taps) * axis.size, in == 1 ? 1.0f : 0.0f);
  for (int i = 0; i < axis.size && in > 1; ++i) {
    const double position = std::clamp((i + 0.5) * in / axis.size - 0.5, 0.0, in - 1.0);
    const int first = std::min(static_cast<int>(position), in - 2);
    axis.first[static_cast<std::size_t>(i)] = first;
    axis.weight[static_cast<std::size_t>(2 * i)] = static_cast<float>(1.0 - (position - first));
    axis.weight[static_cast<std::size_t>(2 * i + 1)] = static_cast<float>(position - first);
  }
}

Axis make_axis(int in, int out, Interpolation interpolation) {
  Axis axis;
  axis.size = out;
  axis.first.assign(static_cast<std::size_t>(out), 0);
  if (interpolation == Interpolation::kNearest || in == out) {
    axis.weight.assign(static_cast<std::size_t>(out), 1.0f);
    for (int i = 0; i < out; ++i)
      axis.first[static_cast<std::size_t>(i)] = static_cast<int>((2ll * i + 1) * in / (2ll * out));
  } else if (interpolation == Interpolation::kArea && out < in) {
    area_weights(axis, in);
  } else {
    linear_weights(axis, in);
  }
  return axis;
}

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
    const bool valid = (source[i] - source[i] == 0.0f) & (source[i] != 0.0f);
    const float value = valid ? weight * source[i] : 0.0f, part = valid ? weight : 0.0f;
    sums[2 * i] = start ? value : sums[2 * i] + value;
    sums[2 * i + 1] = start ? part : sums[2 * i + 1] + part;
  }
}

// One row of three interleaved channels to three planes. `row` can be read one float beyond its end.
void finish_color(const float* row, const Axis& columns, const ColorRule& rule, float* const planes[3]) {
  const float gain[3] = {rule.gain[0], rule.gain[1], rule.gain[2]};
  const float offset[3] = {rule.offset[0], rule.offset[1], rule.offset[2]};
  for (int i = 0; i < columns.size; ++i) {
    const Four sum = weigh<Four>(row, columns.weights(i), columns.first[static_cast<std::size_t>(i)], columns.taps, 3);
    planes[0][i] = sum[rule.channel[0]] * gain[0] + offset[0];
    planes[1][i] = sum[rule.channel[1]] * gain[1] + offset[1];
    planes[2][i] = sum[rule.channel[2]] * gain[2] + offset[2];
  }
}

void finish_depth(const float* row, const Axis& columns, float* out) {
  for (int i = 0; i < columns.size; ++i) {
    const Two sum = weigh<Two>(row, columns.weights(i), columns.first[static_cast<std::size_t>(i)], columns.taps, 2);
    out[i] = sum[1] >= 0.49999f ? sum[0] / sum[1] : 0.0f;
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
  for (int i = 0; i < count; ++i) out[i] = source[i] - source[i] == 0.0f ? source[i] : 0.0f;
}

}  // namespace

void pack_color_cpu(ImageView<const std::uint8_t> color, const ColorRule& rule, Interpolation interpolation,
                    ImageView<float> out, int threads) {
  const int height = out.height / 3, width = out.width, samples = color.width * 3;
  const bool same = color.height == height && color.width == width;
  const Axis rows = make_axis(color.height, height, interpolation);
  const Axis columns = make_axis(color.width, width, interpolation);
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
  const Axis rows = make_axis(depth.height, out.height, interpolation);
  const Axis columns = make_axis(depth.width, out.width, interpolation);
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
