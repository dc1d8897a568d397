// SPDX-License-Identifier: Apache-2.0
// Nearest rows of a memory bank: for each query the k rows of the bank at the smallest squared distance.
//
//   d2(q, m) = sum_i (q_i - m_i)^2, in double: 32 sums of every 32nd term in order, folded in halves (0 + 16, 1 + 17,
//   ..., then 0 + 8, ...), rounded to float32 once: within 0.51 ULP of the true value, whatever cancels
//
// The answer is exact: the k smallest (d2, index) in that order, so that equal distances go to the lower index. A row
// whose d2 is not a finite float is never returned (NaN, infinity, overflow); where fewer than k are left, index is -1
// and d2 is inf.
//
// Not every d2 is computed. |m|^2 - 2 q.m, which a matrix product gives fast and with cancellation, sorts out rows: it
// is wrong by at most
//   error(q, m) = 2^-23 1.01 ((terms + 4) |q| |m| + 4 |m|^2) + 2e-38
// where no product went through more than `terms` additions (Higham, "Accuracy and Stability of Numerical Algorithms",
// 3.1). A row is dropped only where even this error cannot make it one of the k; the others, few, get their d2. So the
// order of the matrix product, and with it the device, the vector width and the number of threads, never shows.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "core/error.hpp"
#include "core/hd.hpp"
#include "core/neighbour.hpp"
#include "core/stream.hpp"

namespace rasant {

constexpr int bank_max_depth = 1 << 16;  // values of a row
constexpr int bank_max_rows = 1 << 22;   // of the queries, and of the bank
constexpr int bank_max_k = 32;
constexpr int bank_lanes = 32;  // sums of d2

// count rows of `depth` values.
struct RowSet {
  const float* data = nullptr;
  int count = 0;
  int depth = 0;

  RASANT_HD const float* row(std::ptrdiff_t i) const { return data + i * depth; }
};

// What the bound needs of a row.
struct RowTerm {
  float norm;    // |m|^2
  float length;  // |m|
  float slack;   // in the bank 2^-23 1.01 4 |m|^2 + 2e-38, in the queries 2^-23 1.01 (terms + 4) |q|
};

// From |row|^2 in double. A row that holds NaN or infinity (its values are then taken as 0) lies infinitely far away.
// Where products might overflow nothing is certain: the slack is infinite.
RASANT_HD RowTerm bank_term(double norm) {
  const float infinity = float_of(0x7F800000u);
  if (!(norm < 1e300)) return {infinity, 0.0f, 0.0f};
  const auto length = static_cast<float>(std::sqrt(norm));
  if (norm > 1e36) return {infinity, length, infinity};
  return {static_cast<float>(norm), length, static_cast<float>(norm) * 4.8161e-7f + 2e-38f};
}

RASANT_HD RowTerm query_term(double norm, int terms) {
  RowTerm term = bank_term(norm);
  if (norm <= 1e36) term.slack = 1.20403e-7f * static_cast<float>(terms + 4) * term.length;
  return term;
}

// |m|^2 - 2 q.m is in [lower, upper]; NaN where nothing is certain.
RASANT_HD float bank_lower(float dot, const RowTerm& m, float query_slack) {
  return (m.norm - 2.0f * dot) - (query_slack * m.length + m.slack);
}

RASANT_HD float bank_upper(float dot, const RowTerm& m, float query_slack) {
  return (m.norm - 2.0f * dot) + (query_slack * m.length + m.slack);
}

// A row whose bank_lower exceeds this is farther than k rows whose bank_upper is at most `upper`, d2 being rounded.
RASANT_HD float bank_limit(float upper, float query_norm) { return upper + 2.4e-7f * (std::fabs(upper) + query_norm); }

inline void check_bank(const RowSet& queries, const RowSet& bank, int k) {
  check<BadShape>(queries.depth == bank.depth, "queries and bank must have rows of one length, got ", queries.depth,
                  " and ", bank.depth, "; they come from different features");
  check(bank.depth <= bank_max_depth, "rows must have at most ", bank_max_depth, " values, got ", bank.depth,
        "; project them first");
  check(queries.count <= bank_max_rows && bank.count <= bank_max_rows, "queries and bank must have at most ",
        bank_max_rows, " rows, got ", queries.count, " and ", bank.count, "; use a coreset, or several calls");
  check(k >= 1 && k <= bank_max_k, "k must be 1..", bank_max_k, ", got ", k, "; ask for fewer rows");
}

// indices, squared: queries.count x k.
void nearest_rows_cpu(const RowSet& queries, const RowSet& bank, int k, std::int32_t* indices, float* squared,
                      int threads);

// Device pointers, asynchronous.
void nearest_rows_cuda(const RowSet& queries, const RowSet& bank, int k, std::int32_t* indices, float* squared,
                       Stream stream);

}  // namespace rasant
