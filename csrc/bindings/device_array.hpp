// SPDX-License-Identifier: Apache-2.0
// DeviceArray: an n-dimensional C-ordered array in memory that the device can reach. What rasant.ops take and return
// where device is not "cpu".
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device.hpp"

namespace rasant {
namespace py = pybind11;

class DeviceArray {
 public:
  using Shape = std::vector<py::ssize_t>;

  // Uninitialised memory of its own.
  DeviceArray(Shape shape, const py::dtype& dtype, Memory memory);
  // Memory of another library, which `owner` keeps alive.
  DeviceArray(Shape shape, const py::dtype& dtype, void* data, bool writeable, std::shared_ptr<void> owner);

  const Shape& shape() const { return shape_; }
  const py::dtype& dtype() const { return dtype_; }
  py::ssize_t bytes() const { return bytes_; }
  bool writeable() const { return writeable_; }
  Memory memory() const { return memory_; }
  void* data() const { return data_; }  // the device's address
  void* host() const { return host_; }  // the host's address of pinned and mapped memory, else nullptr

 private:
  Shape shape_;
  py::dtype dtype_;
  py::ssize_t bytes_ = 0;
  Memory memory_ = Memory::device;
  bool writeable_ = true;
  void *data_ = nullptr, *host_ = nullptr;
  std::shared_ptr<void> owner_;
};

// Stream, Graph and Event as Python objects own them.
struct OwnedStream {
  Stream stream = create_stream();
  OwnedStream() = default;
  OwnedStream(const OwnedStream&) = delete;
  OwnedStream& operator=(const OwnedStream&) = delete;
  ~OwnedStream() { destroy(stream); }
};

struct OwnedGraph {
  Graph graph;
  explicit OwnedGraph(Graph made) : graph(made) {}
  OwnedGraph(const OwnedGraph&) = delete;
  OwnedGraph& operator=(const OwnedGraph&) = delete;
  ~OwnedGraph() { destroy(graph); }
};

struct OwnedEvent {
  Event event;
  explicit OwnedEvent(bool timing) : event(create_event(timing)) {}
  OwnedEvent(const OwnedEvent&) = delete;
  OwnedEvent& operator=(const OwnedEvent&) = delete;
  ~OwnedEvent() { destroy(event); }
};

// The array behind a __cuda_array_interface__ (version 2 or 3) dictionary of `object`, without a copy; `stream` is set
// to the producer's, which the consumer's work has to come after, or to nullptr.
DeviceArray from_interface(const py::object& object, Stream& stream);

// DLPack, both ways (bind_dlpack.cpp).
DeviceArray from_dlpack(const py::object& object);
py::capsule to_dlpack(const py::object& array);

}  // namespace rasant
