// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <mutex>

#include "core/device.hpp"
#include "core/launch.hpp"

namespace rasant {
namespace {

void expect(cudaError_t status, const char* what) {
  if (status != cudaSuccess) cudaGetLastError();  // told here; it must not be told again by the next call
  check<Unavailable>(status != cudaErrorNoDevice && status != cudaErrorInsufficientDriver,
                     "no CUDA device can be used: ", cudaGetErrorString(status), "; see rasant doctor");
  check<DeviceFailure>(status == cudaSuccess, what, " failed: ", cudaGetErrorString(status));
}

struct Scratch {
  void* data = nullptr;
  std::size_t bytes = 0;
};

// Never destroyed: at exit the driver may be gone before it.
struct Workspaces {
  std::mutex lock;
  std::map<Stream, Scratch> of;
};

Workspaces& workspaces() {
  static auto* const all = new Workspaces;
  return *all;
}

}  // namespace

DeviceStatus device_status() noexcept {
  DeviceStatus found;
  cudaRuntimeGetVersion(&found.runtime);
  if (cudaDriverGetVersion(&found.driver) != cudaSuccess) found.driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&found.devices);
  cudaDeviceProp properties{};
  if (status != cudaSuccess || found.devices == 0) {
    found.devices = 0;
    found.reason = found.driver == 0       ? "there is no CUDA driver on this machine"
                   : status == cudaSuccess ? "the CUDA driver finds no device"
                                           : cudaGetErrorString(status);
    cudaGetLastError();  // a failed probe must not stay behind as the error of the next call
  } else if (cudaGetDeviceProperties(&properties, 0) == cudaSuccess) {
    found.name = properties.name;
    found.integrated = properties.integrated != 0;
  }
  return found;
}

void* allocate(Memory memory, std::size_t bytes) {
  void* data = nullptr;
  const cudaError_t status = memory == Memory::device
                                 ? cudaMalloc(&data, bytes)
                                 : cudaHostAlloc(&data, bytes,
                                                 memory == Memory::mapped ? cudaHostAllocMapped | cudaHostAllocPortable
                                                                          : cudaHostAllocPortable);
  expect(status, "getting memory of the device");
  return data;
}

void release(Memory memory, void* data) noexcept {
  if (data == nullptr) return;
  if (memory == Memory::device) {
    cudaFree(data);
  } else {
    cudaFreeHost(data);
  }
}

void* mapped_address(void* host) {
  void* device = nullptr;
  expect(cudaHostGetDevicePointer(&device, host, 0), "mapping host memory into the device");
  return device;
}

void copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  expect(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "a copy");
}

void fill_zero(void* data, std::size_t bytes, Stream stream) {
  expect(cudaMemsetAsync(data, 0, bytes, stream), "clearing device memory");
}

void record(Event event, Stream stream) { expect(cudaEventRecord(event, stream), "recording an event"); }
void order_after(Stream stream, Event event) { expect(cudaStreamWaitEvent(stream, event, 0), "ordering a stream"); }

Stream create_stream() {
  cudaStream_t stream = nullptr;
  expect(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
  return stream;
}

void destroy(Stream stream) noexcept {
  Workspaces& all = workspaces();
  const std::lock_guard<std::mutex> hold(all.lock);
  const auto found = all.of.find(stream);
  if (found != all.of.end()) {
    cudaStreamSynchronize(stream);
    cudaFree(found->second.data);
    all.of.erase(found);
  }
  cudaStreamDestroy(stream);
}

void wait(Stream stream) { expect(cudaStreamSynchronize(stream), "work on the device"); }

void begin_capture(Stream stream) {
  expect(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "keeping the work of a stream");
}

Graph end_capture(Stream stream) {
  cudaGraph_t kept = nullptr;
  expect(cudaStreamEndCapture(stream, &kept), "keeping the work of a stream");
  Graph graph = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&graph, kept, 0);
  cudaGraphDestroy(kept);
  expect(status, "making a graph of the work of a stream");
  return graph;
}

void launch(Graph graph, Stream stream) { expect(cudaGraphLaunch(graph, stream), "launching a graph"); }
void destroy(Graph graph) noexcept { cudaGraphExecDestroy(graph); }

Event create_event(bool timing) {
  cudaEvent_t event = nullptr;
  expect(cudaEventCreateWithFlags(&event, timing ? cudaEventDefault : cudaEventDisableTiming), "creating an event");
  return event;
}

void destroy(Event event) noexcept { cudaEventDestroy(event); }
void wait(Event event) { expect(cudaEventSynchronize(event), "work on the device"); }

bool is_done(Event event) {
  const cudaError_t status = cudaEventQuery(event);
  if (status != cudaErrorNotReady) expect(status, "work on the device");
  return status == cudaSuccess;
}

float milliseconds(Event begin, Event end) {
  float elapsed = 0.0f;
  expect(cudaEventElapsedTime(&elapsed, begin, end), "timing between events");
  return elapsed;
}

void* workspace(Stream stream, std::size_t bytes) {
  Workspaces& all = workspaces();
  const std::lock_guard<std::mutex> hold(all.lock);
  Scratch& scratch = all.of[stream];
  if (scratch.bytes < bytes) {
    if (scratch.data != nullptr) wait(stream);  // the operation before may still work in it
    release(Memory::device, scratch.data);
    scratch = {};
    scratch.data = allocate(Memory::device, bytes);
    scratch.bytes = bytes;
  }
  return scratch.data;
}

}  // namespace rasant
