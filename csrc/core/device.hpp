// SPDX-License-Identifier: Apache-2.0
// Device memory, streams and events, over the CUDA runtime or over the emulator (the same source, device.cu). In a
// build without either (RASANT_DEVICE 0, device_none.cpp) every call throws Unavailable and device_status says why.
#pragma once
#include <cstddef>
#include <string>

#include "core/stream.hpp"

struct CUevent_st;
struct CUgraphExec_st;

namespace rasant {

#ifndef RASANT_DEVICE
#define RASANT_DEVICE 0
#endif
constexpr bool device_build = RASANT_DEVICE != 0;

using Event = CUevent_st*;
using Graph = CUgraphExec_st*;  // work that a stream was given once, to be launched again and again

struct DeviceStatus {
  int devices = 0;          // that can be used
  int runtime = 0;          // version that this build was linked with, 1000 * major + 10 * minor; 0 without
  int driver = 0;           // version that the driver supports; 0 without a driver
  std::string name;         // of device 0
  bool integrated = false;  // host and device share one memory (Jetson): mapped memory costs no copy
  std::string reason;       // why devices is 0
};

DeviceStatus device_status() noexcept;

enum class Memory {
  device,  // of the device alone
  pinned,  // of the host, not paged out: copies to and from it run beside the CPU
  mapped,  // of the host, and addressable by the device
};

void* allocate(Memory memory, std::size_t bytes);
void release(Memory memory, void* data) noexcept;
// The device's address of mapped memory.
void* mapped_address(void* host);

// All four return before the device has done it.
void copy(void* to, const void* from, std::size_t bytes, Stream stream);
void fill_zero(void* data, std::size_t bytes, Stream stream);
void record(Event event, Stream stream);
void order_after(Stream stream, Event event);

Stream create_stream();
void destroy(Stream stream) noexcept;
void wait(Stream stream);

// What a stream is given between these two is kept, and not done. Addresses are kept with it; other streams and threads
// go on. Where something cannot be kept one of them throws, and after end_capture the stream works again in any case.
void begin_capture(Stream stream);
Graph end_capture(Stream stream);
void launch(Graph graph, Stream stream);
void destroy(Graph graph) noexcept;

Event create_event(bool timing);
void destroy(Event event) noexcept;
void wait(Event event);
bool is_done(Event event);
float milliseconds(Event begin, Event end);

// Scratch memory of the operations on one stream: at least `bytes`, aligned to 256, undefined content. It grows when an
// operation asks for more than any before it, and is otherwise the same memory: operations of a stream run one after
// the other. One request an operation.
void* workspace(Stream stream, std::size_t bytes);

}  // namespace rasant
