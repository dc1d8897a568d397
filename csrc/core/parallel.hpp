// SPDX-License-Identifier: Apache-2.0
// for_each_row: the only threading tool. Rows are dealt in contiguous bands, so a result never depends on the thread
// count as long as the body writes its own rows only.
#pragma once
#include <algorithm>
#include <exception>
#include <thread>
#include <vector>

namespace rasant {

constexpr int max_threads = 256;  // more than any machine gains from; a wrong number must not start a million

// Calls body(first, last, band) for bands of [0, rows). threads <= 1 runs in the caller and starts nothing.
// The first exception of a band is thrown again in the caller after all bands have ended.
template <class Body>
void for_each_row(int rows, int threads, const Body& body) {
  const int bands = std::clamp(threads, 1, std::clamp(rows, 1, max_threads));
  if (bands == 1) {
    body(0, rows, 0);
    return;
  }
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(bands));
  const auto run = [&](int band) {
    const auto edge = [&](int k) { return static_cast<int>(static_cast<long long>(rows) * k / bands); };
    try {
      body(edge(band), edge(band + 1), band);
    } catch (...) {
      failures[static_cast<std::size_t>(band)] = std::current_exception();
    }
  };
  std::vector<std::thread> workers;
  workers.reserve(static_cast<std::size_t>(bands - 1));
  for (int band = 1; band < bands; ++band) workers.emplace_back(run, band);
  run(0);
  for (auto& worker : workers) worker.join();
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace rasant
