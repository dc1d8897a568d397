// SPDX-License-Identifier: Apache-2.0
// The matrix product of the memory bank, a tile at a time: rows of queries times rows of the bank, out of packed panels
// (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", TOMS 2008). All sums of a tile are in
// registers.
#pragma once
#include <cmath>
#include <cstddef>
#include <memory>
#include <new>

#include "core/vector.hpp"
#include "ops/bank.hpp"

namespace rasant {

// Floats that begin on a cache line: a vector load never crosses one. Grows and stays; content is lost when it grows.
class AlignedFloats {
 public:
  void grow(std::size_t size) {
    if (size <= size_) return;
    data_.reset(static_cast<float*>(::operator new(size * sizeof(float), line)));
    size_ = size;
  }
  float* data() const { return data_.get(); }

 private:
  static constexpr std::align_val_t line{64};
  struct Free {
    void operator()(float* data) const { ::operator delete(data, line); }
  };
  std::unique_ptr<float, Free> data_;
  std::size_t size_ = 0;
};

// Sizes of the tile that suits this machine. A panel holds rows side by side, value by value: [depth][rows].
struct Tile {
  int queries;  // rows of a panel of queries
  int rows;     // rows of a panel of the bank
  // dots [queries][rows] = or += product of `depth` values of both panels.
  void (*multiply)(const float* queries, const float* bank, int depth, bool add, float* dots);
};

template <int height, int width, bool fused>
RASANT_INLINE void multiply_tile(const float* __restrict queries, const float* __restrict bank, int depth, bool add,
                                 float* __restrict dots) {
  float sum[height][width];
  for (int i = 0; i < height; ++i)
    for (int j = 0; j < width; ++j) sum[i][j] = 0.0f;
  for (int k = 0; k < depth; ++k, queries += height, bank += width)
    for (int i = 0; i < height; ++i)
      for (int j = 0; j < width; ++j)
        sum[i][j] = fused ? std::fma(queries[i], bank[j], sum[i][j]) : sum[i][j] + queries[i] * bank[j];
  for (int i = 0; i < height; ++i)
    for (int j = 0; j < width; ++j) dots[i * width + j] = add ? dots[i * width + j] + sum[i][j] : sum[i][j];
}

RASANT_VECTOR inline void multiply_12x32(const float* queries, const float* bank, int depth, bool add, float* dots) {
  multiply_tile<12, 32, true>(queries, bank, depth, add, dots);
}

RASANT_VECTOR inline void multiply_4x24(const float* queries, const float* bank, int depth, bool add, float* dots) {
  multiply_tile<4, 24, true>(queries, bank, depth, add, dots);
}

// Without a fused instruction std::fma is a call.
RASANT_VECTOR inline void multiply_plain(const float* queries, const float* bank, int depth, bool add, float* dots) {
  multiply_tile<2, 24, false>(queries, bank, depth, add, dots);
}

inline Tile best_tile() {
#if RASANT_CLONES
  if (__builtin_cpu_supports("x86-64-v4")) return {12, 32, multiply_12x32};
  if (__builtin_cpu_supports("x86-64-v3")) return {4, 24, multiply_4x24};
#elif defined(FP_FAST_FMAF)
  return {4, 24, multiply_4x24};
#endif
  return {2, 24, multiply_plain};
}

// `width` rows as a panel; zeros where there is none. In parts that stay in L1, because each row writes to every line.
RASANT_VECTOR inline void pack_panel(const float* const* rows, int width, int depth, float* __restrict panel) {
  constexpr int part = 64;
  for (std::ptrdiff_t first = 0; first < depth; first += part) {
    const std::ptrdiff_t last = first + part < depth ? first + part : depth;
    for (int j = 0; j < width; ++j) {
      const float* __restrict row = rows[j];
      if (row != nullptr) {
        for (std::ptrdiff_t i = first; i < last; ++i) panel[i * width + j] = row[i];
      } else {
        for (std::ptrdiff_t i = first; i < last; ++i) panel[i * width + j] = 0.0f;
      }
    }
  }
}

RASANT_VECTOR inline double squared_norm(const float* __restrict row, int depth) {
  double sum[8] = {};
  int i = 0;
  for (; i + 8 <= depth; i += 8)
    for (int l = 0; l < 8; ++l) sum[l] += static_cast<double>(row[i + l]) * static_cast<double>(row[i + l]);
  for (int l = 0; i < depth; ++i, ++l) sum[l] += static_cast<double>(row[i]) * static_cast<double>(row[i]);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

}  // namespace rasant
