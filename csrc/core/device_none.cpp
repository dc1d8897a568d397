// SPDX-License-Identifier: Apache-2.0
// A build without CUDA: nothing of a device can be had, and the message says how to get it.
#include "core/device.hpp"
#include "core/error.hpp"

namespace rasant {
namespace {

constexpr const char* reason = "this build of rasant has no CUDA part: it was compiled without nvcc";

[[noreturn]] void refuse() {
  throw Unavailable(message(reason, "; install a build with CUDA, or pass device=\"cpu\""));
}

}  // namespace

DeviceStatus device_status() noexcept {
  DeviceStatus status;
  status.reason = reason;
  return status;
}

void* allocate(Memory, std::size_t) { refuse(); }
void release(Memory, void*) noexcept {}
void* mapped_address(void*) { refuse(); }
void copy(void*, const void*, std::size_t, Stream) { refuse(); }
void fill_zero(void*, std::size_t, Stream) { refuse(); }
void record(Event, Stream) { refuse(); }
void order_after(Stream, Event) { refuse(); }
Stream create_stream() { refuse(); }
void destroy(Stream) noexcept {}
void wait(Stream) { refuse(); }
void begin_capture(Stream) { refuse(); }
Graph end_capture(Stream) { refuse(); }
void launch(Graph, Stream) { refuse(); }
void destroy(Graph) noexcept {}
Event create_event(bool) { refuse(); }
void destroy(Event) noexcept {}
void wait(Event) { refuse(); }
bool is_done(Event) { refuse(); }
float milliseconds(Event, Event) { refuse(); }
void* workspace(Stream, std::size_t) { refuse(); }

}  // namespace rasant
