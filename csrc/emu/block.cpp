// SPDX-License-Identifier: Apache-2.0
#include "emu/block.hpp"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "emu/fiber.hpp"
#include "emu/guard.hpp"
#include "emu/runtime.hpp"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace rasant {
namespace emu {
namespace {

constexpr int warp_size = 32;
constexpr unsigned max_threads = 1024;         // of a block
constexpr std::size_t max_shared = 48 * 1024;  // bytes of a block, static and dynamic together
constexpr unsigned max_grid_yz = 65535;

enum class State : std::uint8_t { ready, barrier, warp, done };

struct Thread {
  Fiber fiber;
  dim3 place;
  State state = State::done;
  WarpCall call = WarpCall::none;
  std::uint64_t value = 0;  // brought to the warp call
  std::size_t arrays = 0;   // shared arrays that it has asked for
};

// The machine: one, since threadIdx and its like are global names.
struct Machine {
  std::mutex busy;
  std::deque<Thread> threads;
  int count = 0;    // threads of the present block
  int current = 0;  // the thread that runs
  const std::function<void()>* body = nullptr;
  std::exception_ptr failure;
  std::vector<std::unique_ptr<Guarded>> shared;
  std::unique_ptr<Guarded> dynamic;
  std::uint32_t seed = 0;
};

Machine& machine() {
  static Machine one;
  return one;
}

void thread_main() {
  Machine& m = machine();
  try {
    (*m.body)();
  } catch (...) {
    if (!m.failure) m.failure = std::current_exception();
  }
  Thread& self = m.threads[static_cast<std::size_t>(m.current)];
  self.state = State::done;
  self.fiber.suspend();
}

void stop_as(State state) {
  Machine& m = machine();
  Thread& self = m.threads[static_cast<std::size_t>(m.current)];
  self.state = state;
  self.fiber.suspend();
}

struct Warp { int first, last; };

Warp warp_of(int thread) {
  const int first = thread / warp_size * warp_size;
  return {first, std::min(first + warp_size, machine().count)};
}

// Lets every warp go on whose live lanes all wait in one warp call; true if there was one.
bool release_warps() {
  Machine& m = machine();
  bool any = false;
  for (int first = 0; first < m.count; first += warp_size) {
    const Warp warp = warp_of(first);
    const auto at = [&](int k) -> Thread& { return m.threads[static_cast<std::size_t>(k)]; };
    WarpCall call = WarpCall::none;
    bool together = true;
    for (int k = warp.first; k < warp.last; ++k) {
      if (at(k).state == State::done) continue;
      if (call == WarpCall::none) call = at(k).call;
      together = together && at(k).state == State::warp && at(k).call == call;
    }
    if (!together || call == WarpCall::none) continue;
    any = true;
    for (int k = warp.first; k < warp.last; ++k)
      if (at(k).state == State::warp) at(k).state = State::ready, at(k).call = WarpCall::none;
  }
  return any;
}

// Lets the block go on when all its live threads wait at the barrier.
void release_block(int live) {
  Machine& m = machine();
  int waiting = 0;
  for (int k = 0; k < m.count; ++k) waiting += m.threads[static_cast<std::size_t>(k)].state == State::barrier;
  check<Error>(waiting == live, "divergent barrier: of ", m.count, " threads of block (", blockIdx.x, ", ", blockIdx.y,
               ", ", blockIdx.z, ") ", waiting, " wait at the barrier, ", live - waiting, " in calls of their warp, ",
               m.count - live, " have returned; every live thread must reach the same one");
  for (int k = 0; k < m.count; ++k) {
    Thread& thread = m.threads[static_cast<std::size_t>(k)];
    if (thread.state == State::barrier) thread.state = State::ready;
  }
}

void run_block(const std::vector<int>& order) {
  Machine& m = machine();
  for (auto& array : m.shared) array->fill();
  m.dynamic->fill();
  for (int k = 0; k < m.count; ++k) {
    Thread& thread = m.threads[static_cast<std::size_t>(k)];
    thread.state = State::ready;
    thread.call = WarpCall::none;
    thread.arrays = 0;
    thread.fiber.start(thread_main);
  }
  for (int live = m.count; live > 0;) {
    for (const int k : order) {
      Thread& thread = m.threads[static_cast<std::size_t>(k)];
      if (thread.state != State::ready) continue;
      m.current = k;
      threadIdx = thread.place;
      thread.fiber.resume();
      live -= thread.state == State::done;
      if (m.failure) std::rethrow_exception(std::exchange(m.failure, nullptr));
    }
    if (live > 0 && !release_warps()) release_block(live);
  }
}

void check_guards(Guarded& memory, const char* what) {
  const std::ptrdiff_t at = memory.damage();
  check<Error>(at == memory.intact(), "a kernel wrote outside ", what, " of ", memory.bytes(), " bytes, at byte ", at,
               "; check the bounds of its last row and column");
}

void check_configuration(dim3 grid, dim3 block, std::size_t dynamic_bytes) {
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  check<DeviceFailure>(threads >= 1 && threads <= max_threads && block.z <= 64, "a block has 1..", max_threads,
                       " threads, got ", block.x, " x ", block.y, " x ", block.z);
  check<DeviceFailure>(grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= 0x7FFFFFFFu && grid.y <= max_grid_yz &&
                           grid.z <= max_grid_yz,
                       "a grid has 1..2^31-1 x 65535 x 65535 blocks, got ", grid.x, " x ", grid.y, " x ", grid.z);
  check<DeviceFailure>(dynamic_bytes <= max_shared, "a block has at most ", max_shared, " bytes of shared memory, got ",
                       dynamic_bytes);
}

// Leaves no trace of a launch, however it ended.
struct Cleared {
  Machine& m;
  ~Cleared() {
    for (Thread& thread : m.threads) {
      if (thread.state != State::done) thread.fiber.abandon();
      thread.state = State::done;
    }
    m.shared.clear();
    m.dynamic.reset();
    m.body = nullptr;
    m.failure = nullptr;
  }
};

}  // namespace

void run(dim3 grid, dim3 block, std::size_t dynamic_bytes, const std::function<void()>& thread) {
  check_configuration(grid, block, dynamic_bytes);
  Machine& m = machine();
  const std::lock_guard<std::mutex> hold(m.busy);
  const Cleared cleared{m};
  m.body = &thread;
  m.count = static_cast<int>(block.x * block.y * block.z);
  m.dynamic = std::make_unique<Guarded>(dynamic_bytes);
  while (static_cast<int>(m.threads.size()) < m.count) m.threads.emplace_back();
  for (unsigned k = 0; k < static_cast<unsigned>(m.count); ++k)
    m.threads[k].place = {k % block.x, k / block.x % block.y, k / (block.x * block.y)};
  gridDim = grid;
  blockDim = block;
  std::mt19937 random(m.seed);
  std::vector<int> order(static_cast<std::size_t>(m.count));
  std::iota(order.begin(), order.end(), 0);
  std::vector<std::uint64_t> blocks(std::uint64_t{grid.x} * grid.y * grid.z);
  std::iota(blocks.begin(), blocks.end(), 0);
  if (m.seed != 0) std::shuffle(blocks.begin(), blocks.end(), random);
  for (const std::uint64_t k : blocks) {
    blockIdx = {static_cast<unsigned>(k % grid.x), static_cast<unsigned>(k / grid.x % grid.y),
                static_cast<unsigned>(k / grid.x / grid.y)};
    if (m.seed != 0) std::shuffle(order.begin(), order.end(), random);
    run_block(order);
    for (const auto& array : m.shared) check_guards(*array, "a shared array");
    check_guards(*m.dynamic, "the dynamic shared memory");
  }
  for_each_allocation([](Guarded& memory) { check_guards(memory, "device memory"); });
}

void set_order(std::uint32_t seed) {
  const std::lock_guard<std::mutex> hold(machine().busy);
  machine().seed = seed;
}

void wait_for_block() { stop_as(State::barrier); }

void wait_for_warp(WarpCall call, std::uint64_t value) {
  Machine& m = machine();
  Thread& self = m.threads[static_cast<std::size_t>(m.current)];
  self.call = call;
  self.value = value;
  stop_as(State::warp);
}

int lane() { return machine().current % warp_size; }

std::uint64_t lane_value(int lane) {
  Machine& m = machine();
  const Warp warp = warp_of(m.current);
  const int from = std::min(warp.first + lane, warp.last - 1);
  return m.threads[static_cast<std::size_t>(warp.first + lane < warp.last ? from : m.current)].value;
}

std::uint32_t warp_votes() {
  Machine& m = machine();
  const Warp warp = warp_of(m.current);
  std::uint32_t votes = 0;
  for (int k = warp.first; k < warp.last; ++k) {
    const Thread& thread = m.threads[static_cast<std::size_t>(k)];
    if (thread.state != State::done && thread.value != 0) votes |= 1u << (k - warp.first);
  }
  return votes;
}

void* shared_bytes(std::size_t bytes) {
  Machine& m = machine();
  const std::size_t index = m.threads[static_cast<std::size_t>(m.current)].arrays++;
  if (index == m.shared.size()) {
    std::size_t total = m.dynamic->bytes() + bytes;
    for (const auto& array : m.shared) total += array->bytes();
    check<DeviceFailure>(total <= max_shared, "a block has at most ", max_shared, " bytes of shared memory, got ",
                         total);
    m.shared.push_back(std::make_unique<Guarded>(bytes));
  }
  check<Error>(m.shared[index]->bytes() == bytes,
               "a thread asks for its shared arrays in another order than the first;"
               " declare them at the top of the kernel");
  return m.shared[index]->data();
}

void* dynamic_shared() { return machine().dynamic->data(); }

}  // namespace emu
}  // namespace rasant
