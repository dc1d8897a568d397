// SPDX-License-Identifier: Apache-2.0
// The bank is cut into bands, one a thread. A band goes through its rows once, a panel of the bank against a block of
// queries at a time, and keeps for each query the rows that may be among the k nearest. Memory: the packed queries, and
// `waiting` rows a query and thread; no matrix of all products.
#include "ops/bank.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/parallel.hpp"
#include "ops/bank_tile.hpp"

namespace rasant {
namespace {

constexpr int waiting = 64;             // rows of a query that may wait for their d2
constexpr int chunk = 192;              // values of a panel that are multiplied in one go: they stay in L1
constexpr int block_values = 3 << 16;   // of the queries of a block: they stay in L2
constexpr int panels_values = 1 << 18;  // of the panels of the bank that are packed together
constexpr float infinity = std::numeric_limits<float>::infinity();

std::size_t at(int i) { return static_cast<std::size_t>(i); }

RASANT_VECTOR float direct_distance(const float* __restrict q, const float* __restrict m, int depth) {
  double sum[bank_lanes] = {};
  int i = 0;
  for (; i + bank_lanes <= depth; i += bank_lanes)
    for (int l = 0; l < bank_lanes; ++l) {
      const double difference = static_cast<double>(q[i + l]) - static_cast<double>(m[i + l]);
      sum[l] += difference * difference;
    }
  for (int l = 0; i < depth; ++i, ++l) {
    const double difference = static_cast<double>(q[i]) - static_cast<double>(m[i]);
    sum[l] += difference * difference;
  }
  for (int half = bank_lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) sum[l] += sum[l + half];
  return static_cast<float>(sum[0]);
}

// All queries, packed, and what the bound needs of them; queries that are not finite are zeros.
struct Queries {
  const RowSet& set;
  const Tile& tile;
  AlignedFloats values;
  std::vector<float> norm, slack;
  std::vector<std::uint8_t> finite;

  Queries(const RowSet& rows, const Tile& shape) : set(rows), tile(shape) {}
  int panels() const { return (set.count + tile.queries - 1) / tile.queries; }
  const float* panel(int p) const { return values.data() + static_cast<std::ptrdiff_t>(p) * tile.queries * set.depth; }
};

// Rows first .. last, at most `width`, as one panel; keep(j, norm) for each row of the panel.
template <class Keep>
void pack_rows(const RowSet& set, int first, int last, int width, float* panel, const Keep& keep) {
  const float* rows[32];
  for (int j = 0; j < width; ++j) {
    const double norm = first + j < last ? squared_norm(set.row(first + j), set.depth) : infinity;
    rows[j] = norm < 1e300 ? set.row(first + j) : nullptr;
    keep(j, norm);
  }
  pack_panel(rows, width, set.depth, panel);
}

void pack(Queries& queries, int threads) {
  const int depth = queries.set.depth, width = queries.tile.queries;
  const std::size_t size = at(queries.panels()) * at(width);
  queries.values.grow(size * at(depth));
  queries.norm.resize(size);
  queries.slack.resize(size);
  queries.finite.resize(size);
  const int terms = std::min(depth, chunk) + (depth + chunk - 1) / chunk;
  for_each_row(queries.panels(), threads, [&](int first, int last, int) {
    for (int p = first; p < last; ++p)
      pack_rows(queries.set, p * width, queries.set.count, width,
                queries.values.data() + static_cast<std::ptrdiff_t>(p) * width * depth, [&](int i, double norm) {
                  const RowTerm term = query_term(norm, terms);
                  queries.norm[at(p * width + i)] = term.norm;
                  queries.slack[at(p * width + i)] = term.slack;
                  queries.finite[at(p * width + i)] = norm < 1e300;
                });
  });
}

// Rows of the bank that may be among the k nearest of each query.
class Candidates {
 public:
  void start(const Queries& queries, const RowSet& bank, int k) {
    queries_ = &queries;
    bank_ = &bank;
    k_ = k;
    const std::size_t count = at(queries.set.count);
    limit.resize(queries.finite.size());
    for (std::size_t q = 0; q < limit.size(); ++q) limit[q] = queries.finite[q] != 0 ? infinity : -infinity;
    upper_.assign(count * at(k), infinity);
    best_.assign(count * at(k), no_neighbour());
    count_.assign(count, 0);
    row_.resize(count * waiting);
    lower_.resize(count * waiting);
  }

  // By query: a row whose bank_lower is larger is not wanted.
  std::vector<float> limit;

  void add(int q, int row, float lower, float upper) {
    int& count = count_[at(q)];
    if (count == waiting) {
      thin_out(q);
      if (count > waiting / 2) settle(q);
    }
    row_[at(q) * waiting + at(count)] = row;
    lower_[at(q) * waiting + at(count)] = lower;
    ++count;
    float* const uppers = upper_.data() + static_cast<std::ptrdiff_t>(q) * k_;
    if (!is_finite(upper) || upper >= uppers[k_ - 1]) return;
    int i = k_ - 1;
    for (; i > 0 && uppers[i - 1] > upper; --i) uppers[i] = uppers[i - 1];
    uppers[i] = upper;
    limit[at(q)] = std::min(limit[at(q)], bank_limit(uppers[k_ - 1], queries_->norm[at(q)]));
  }

  // The k nearest of a query, in order.
  const std::uint64_t* finish(int q) {
    thin_out(q);
    settle(q);
    return best_.data() + static_cast<std::ptrdiff_t>(q) * k_;
  }

 private:
  // Drops what a lower limit no longer wants.
  void thin_out(int q) {
    std::int32_t* const rows = row_.data() + static_cast<std::ptrdiff_t>(q) * waiting;
    float* const lowers = lower_.data() + static_cast<std::ptrdiff_t>(q) * waiting;
    int kept = 0;
    for (int i = 0; i < count_[at(q)]; ++i) {
      if (lowers[i] > limit[at(q)]) continue;
      rows[kept] = rows[i];
      lowers[kept++] = lowers[i];
    }
    count_[at(q)] = kept;
  }

  // Computes d2 of the rows that wait.
  void settle(int q) {
    std::uint64_t* const best = best_.data() + static_cast<std::ptrdiff_t>(q) * k_;
    for (int i = 0; i < count_[at(q)]; ++i) {
      const std::int32_t row = row_[at(q) * waiting + at(i)];
      const float squared = direct_distance(queries_->set.row(q), bank_->row(row), bank_->depth);
      if (is_finite(squared)) insert_key(best, k_, neighbour_key(squared, row));
    }
    count_[at(q)] = 0;
    if (best[k_ - 1] >> 32 == 0) limit[at(q)] = -infinity;  // k rows at distance 0: a later row has a higher index
  }

  const Queries* queries_ = nullptr;
  const RowSet* bank_ = nullptr;
  int k_ = 1;
  std::vector<float> upper_, lower_;
  std::vector<std::int32_t> row_, count_;
  std::vector<std::uint64_t> best_;
};

// Some panels of the bank, packed one after the other, and room for the products of one of them with a block of
// queries.
struct Panels {
  AlignedFloats values, dots;
  std::vector<float> norm, length, slack;
};

// Rows first .. last of the bank.
void pack(Panels& panels, const RowSet& bank, int first, int last, int width) {
  const int count = (last - first + width - 1) / width;
  panels.values.grow(at(count) * at(width) * at(bank.depth));
  for (auto* array : {&panels.norm, &panels.length, &panels.slack}) array->resize(at(count) * at(width));
  for (int p = 0; p < count; ++p)
    pack_rows(bank, first + p * width, last, width, panels.values.data() + std::ptrdiff_t{p} * width * bank.depth,
              [&](int j, double norm) {
                const RowTerm term = bank_term(norm);
                panels.norm[at(p * width + j)] = term.norm;
                panels.length[at(p * width + j)] = term.length;
                panels.slack[at(p * width + j)] = term.slack;
              });
}

// Bit j: row j of a panel may be wanted.
RASANT_VECTOR std::uint32_t screen(const float* __restrict dots, const float* __restrict norm,
                                   const float* __restrict length, const float* __restrict slack, int width,
                                   float query_slack, float limit) {
  std::uint32_t wanted = 0;
  for (int j = 0; j < width; ++j) {
    const float lower = bank_lower(dots[j], {norm[j], length[j], slack[j]}, query_slack);
    wanted |= static_cast<std::uint32_t>(!(lower > limit)) << j;
  }
  return wanted;
}

// Panel p, whose first row is `row`, against the panels [begin, end) of queries.
void compare(const Queries& queries, const RowSet& bank, Panels& panels, int p, int row, int last, int begin, int end,
             Candidates& found) {
  const Tile& tile = queries.tile;
  const int width = tile.rows, depth = bank.depth, size = tile.queries * width;
  const float* const values = panels.values.data() + std::ptrdiff_t{p} * width * depth;
  for (int k = 0; k < depth; k += chunk)
    for (int b = begin; b < end; ++b)
      tile.multiply(queries.panel(b) + std::ptrdiff_t{k} * tile.queries, values + std::ptrdiff_t{k} * width,
                    std::min(chunk, depth - k), k > 0, panels.dots.data() + std::ptrdiff_t{b - begin} * size);
  const float *const norm = panels.norm.data() + p * width, *const length = panels.length.data() + p * width;
  const float* const slack = panels.slack.data() + p * width;
  const std::uint32_t present = last - row >= 32 ? ~0u : (1u << (last - row)) - 1u;
  for (int q = begin * tile.queries; q < std::min(end * tile.queries, queries.set.count); ++q) {
    const float* const dots = panels.dots.data() + std::ptrdiff_t{q - begin * tile.queries} * width;
    const float query_slack = queries.slack[at(q)];
    std::uint32_t wanted = present & screen(dots, norm, length, slack, width, query_slack, found.limit[at(q)]);
    for (; wanted != 0; wanted &= wanted - 1) {
      const int j = __builtin_ctz(wanted);
      const RowTerm term{norm[j], length[j], slack[j]};
      const float lower = bank_lower(dots[j], term, query_slack);
      if (!(lower > found.limit[at(q)])) found.add(q, row + j, lower, bank_upper(dots[j], term, query_slack));
    }
  }
}

// Rows first .. last of the bank against all queries.
void search_band(const Queries& queries, const RowSet& bank, int first, int last, Panels& panels, Candidates& found) {
  const int depth = bank.depth, width = queries.tile.rows;
  const int together = std::max(panels_values / (depth * width), 1) * width;
  const int block = std::max(block_values / (depth * queries.tile.queries), 1);
  panels.dots.grow(at(block) * at(queries.tile.queries) * at(width));
  for (int row = first; row < last; row += together) {
    const int end = std::min(row + together, last);
    pack(panels, bank, row, end, width);
    for (int begin = 0; begin < queries.panels(); begin += block)
      for (int r = row; r < end; r += width)
        compare(queries, bank, panels, (r - row) / width, r, end, begin, std::min(begin + block, queries.panels()),
                found);
  }
}

// What one thread needs; it grows and stays.
struct Band {
  Panels panels;
  Candidates found;
};

}  // namespace

void nearest_rows_cpu(const RowSet& queries, const RowSet& bank, int k, std::int32_t* indices, float* squared,
                      int threads) {
  check_bank(queries, bank, k);
  static const Tile tile = best_tile();
  const std::size_t size = at(queries.count) * at(k);
  Queries packed(queries, tile);
  pack(packed, threads);
  const int panels = (bank.count + tile.rows - 1) / tile.rows;
  const int bands = std::clamp(threads, 1, panels);
  std::vector<std::uint64_t> best(at(bands) * size);
  for_each_row(panels, bands, [&](int first, int last, int band) {
    thread_local Band own;
    own.found.start(packed, bank, k);
    search_band(packed, bank, first * tile.rows, std::min(last * tile.rows, bank.count), own.panels, own.found);
    for (int q = 0; q < queries.count; ++q)
      std::copy_n(own.found.finish(q), k,
                  best.data() + static_cast<std::ptrdiff_t>(at(band) * size) + std::ptrdiff_t{q} * k);
  });
  for (std::size_t i = 0; i < size; ++i) {
    std::uint64_t* const keys = best.data() + i / at(k) * at(k);
    if (i % at(k) == 0)
      for (int other = 1; other < bands; ++other)
        for (int n = 0; n < k; ++n) insert_key(keys, k, keys[at(other) * size + at(n)]);
    indices[i] = key_index(best[i]);
    squared[i] = key_distance(best[i]);
  }
}

}  // namespace rasant
