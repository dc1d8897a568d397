// SPDX-License-Identifier: Apache-2.0
// rasant._native.{DeviceArray, Stream, DeviceGraph, Event, device_status}: memory and order of work. Use
// rasant.ops.device.
#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/device_array.hpp"

namespace rasant {
namespace {

py::ssize_t size_of(const DeviceArray::Shape& shape, const py::dtype& dtype) {
  py::ssize_t bytes = dtype.itemsize();
  for (const py::ssize_t length : shape) {
    check<BadShape>(length > 0 && length < (1 << 30), "an axis of a device array has 1..2^30-1 items, got ", length);
    check<BadShape>(bytes < (py::ssize_t{1} << 46) / length, "a device array has less than 2^46 bytes");
    bytes *= length;
  }
  return bytes;
}

Memory memory_named(const std::string& name) {
  check(name == "device" || name == "pinned" || name == "mapped", "memory must be device, pinned or mapped, got ",
        name);
  return name == "device" ? Memory::device : name == "pinned" ? Memory::pinned : Memory::mapped;
}

const char* name_of(Memory memory) {
  return memory == Memory::device ? "device" : memory == Memory::pinned ? "pinned" : "mapped";
}

// Contiguous bytes of a numpy array that fits `array`.
void* host_bytes(const HostArray& host, const DeviceArray& array, const char* name, bool written) {
  check<BadDtype>(host.dtype().equal(array.dtype()), name, " must have the dtype of the device array, ",
                  py::str(array.dtype()).cast<std::string>(), ", got ", describe(host));
  require_shape(host, name, array.shape());
  check<BadShape>(host.contiguous(), name, " must be C-contiguous; pass numpy.ascontiguousarray(", name, ")");
  check(!written || host.writeable(), name, " is read-only, and it is written to; pass a writeable array");
  return host.mutable_data();
}

void copy_from(const DeviceArray& self, const HostArray& source, StreamArgument stream) {
  const void* from = host_bytes(source, self, "source", false);
  check(self.writeable(), "this device array is read-only, and it is written to");
  py::gil_scoped_release release;
  copy(self.data(), from, static_cast<std::size_t>(self.bytes()), stream.stream);
}

void copy_to(const DeviceArray& self, const HostArray& target, StreamArgument stream) {
  void* to = host_bytes(target, self, "target", true);
  py::gil_scoped_release release;
  copy(to, self.data(), static_cast<std::size_t>(self.bytes()), stream.stream);
}

// The memory of a pinned or mapped array, as numpy sees it; it keeps the array alive.
py::array host_view(const py::object& self) {
  const auto& array = self.cast<const DeviceArray&>();
  check(array.host() != nullptr,
        "only pinned and mapped memory can be seen by numpy, this is device memory; copy it "
        "with rasant.ops.device.to_host");
  return py::array(array.dtype(), array.shape(), array.host(), self);
}

// What `work` gives to the stream, as a graph. An exception of `work` counts more than what ending it says.
std::unique_ptr<OwnedGraph> capture(const OwnedStream& self, const py::function& work) {
  begin_capture(self.stream);
  try {
    work();
  } catch (...) {
    try {
      destroy(end_capture(self.stream));
    } catch (const std::exception&) {
    }
    throw;
  }
  return std::make_unique<OwnedGraph>(end_capture(self.stream));
}

void launch_on(const OwnedGraph& self, StreamArgument stream) { launch(self.graph, stream.stream); }

py::dict interface_of(const DeviceArray& self) {
  py::tuple shape(self.shape().size());
  for (std::size_t i = 0; i < self.shape().size(); ++i) shape[i] = self.shape()[i];
  py::dict found;
  found["shape"] = shape;
  found["typestr"] = self.dtype().attr("str");
  found["data"] = py::make_tuple(reinterpret_cast<std::uintptr_t>(self.data()), !self.writeable());
  found["version"] = 3;
  return found;
}

py::dict status() {
  const DeviceStatus found = device_status();
  py::dict said;
  said["devices"] = found.devices;
  said["runtime"] = found.runtime;
  said["driver"] = found.driver;
  said["name"] = found.name;
  said["integrated"] = found.integrated;
  said["reason"] = found.reason;
  return said;
}

}  // namespace

DeviceArray::DeviceArray(Shape shape, const py::dtype& dtype, Memory memory)
    : shape_(std::move(shape)), dtype_(dtype), bytes_(size_of(shape_, dtype)), memory_(memory) {
  check<BadDtype>(std::string("biufc").find(dtype.kind()) != std::string::npos && dtype.attr("isnative").cast<bool>(),
                  "a device array holds numbers in native byte order, got ", py::str(dtype).cast<std::string>());
  void* data = allocate(memory, static_cast<std::size_t>(bytes_));
  owner_ = std::shared_ptr<void>(data, [memory](void* memory_of) { release(memory, memory_of); });
  if (memory != Memory::device) host_ = data;
  data_ = memory == Memory::mapped ? mapped_address(data) : data;
}

DeviceArray::DeviceArray(Shape shape, const py::dtype& dtype, void* data, bool writeable, std::shared_ptr<void> owner)
    : shape_(std::move(shape)),
      dtype_(dtype),
      bytes_(size_of(shape_, dtype)),
      writeable_(writeable),
      data_(data),
      owner_(std::move(owner)) {}

// A Python object that is let go with the lock held.
std::shared_ptr<void> keep(const py::object& object) {
  return std::shared_ptr<void>(py::handle(object).inc_ref().ptr(), [](void* kept) {
    py::gil_scoped_acquire hold;
    py::handle(static_cast<PyObject*>(kept)).dec_ref();
  });
}

DeviceArray from_interface(const py::object& object, Stream& stream) {
  const auto said = object.attr("__cuda_array_interface__").cast<py::dict>();
  const auto shape = said["shape"].cast<DeviceArray::Shape>();
  const py::dtype dtype = py::dtype::from_args(said["typestr"]);
  const auto place = said["data"].cast<std::pair<std::uintptr_t, bool>>();
  check<BadArgument>(!said.contains("mask") || said["mask"].is_none(), "a masked device array cannot be used");
  if (said.contains("strides") && !said["strides"].is_none()) {
    const auto strides = said["strides"].cast<DeviceArray::Shape>();
    py::ssize_t expected = dtype.itemsize();
    for (std::size_t i = shape.size(); i-- > 0; expected *= shape[i])
      check<BadShape>(strides.size() == shape.size() && (shape[i] == 1 || strides[i] == expected),
                      "a device array must be C-contiguous; copy it into order first");
  }
  stream = nullptr;
  if (said.contains("stream") && !said["stream"].is_none())
    stream = reinterpret_cast<Stream>(said["stream"].cast<std::uintptr_t>());
  return {shape, dtype, reinterpret_cast<void*>(place.first), !place.second, keep(object)};
}

}  // namespace rasant

void bind_device(pybind11::module_& m) {
  using namespace rasant;
  m.def("device_status", &status);
  py::class_<DeviceArray>(m, "DeviceArray", py::module_local())
      .def(py::init([](const DeviceArray::Shape& shape, const py::object& dtype, const std::string& memory) {
             return std::make_unique<DeviceArray>(shape, py::dtype::from_args(dtype), memory_named(memory));
           }),
           py::arg("shape"), py::arg("dtype"), py::arg("memory") = "device")
      .def_static("from_interface",
                  [](const py::object& source) {
                    Stream producer = nullptr;
                    DeviceArray array = from_interface(source, producer);
                    if (producer != nullptr) wait(producer);
                    return array;
                  })
      .def_static("from_dlpack", &from_dlpack)
      .def_property_readonly("shape", [](const DeviceArray& self) { return py::tuple(py::cast(self.shape())); })
      .def_property_readonly("dtype", &DeviceArray::dtype)
      .def_property_readonly("nbytes", &DeviceArray::bytes)
      .def_property_readonly("writeable", &DeviceArray::writeable)
      .def_property_readonly("memory", [](const DeviceArray& self) { return name_of(self.memory()); })
      .def_property_readonly("pointer",
                             [](const DeviceArray& self) { return reinterpret_cast<std::uintptr_t>(self.data()); })
      .def_property_readonly("__cuda_array_interface__", &interface_of)
      .def("copy_from", &copy_from, py::arg("source"), py::arg("stream") = py::none())
      .def("copy_to", &copy_to, py::arg("target"), py::arg("stream") = py::none())
      .def("host", &host_view)
      .def(
          "__dlpack__", [](const py::object& self, const py::object&, const py::kwargs&) { return to_dlpack(self); },
          py::arg("stream") = py::none())
      .def("__dlpack_device__", [](const py::object&) { return py::make_tuple(RASANT_DLPACK_DEVICE, 0); });
  py::class_<OwnedGraph>(m, "DeviceGraph", py::module_local()).def("launch", &launch_on, py::arg("stream"));
  py::class_<OwnedStream>(m, "Stream", py::module_local())
      .def(py::init<>())
      .def_property_readonly("handle",
                             [](const OwnedStream& self) { return reinterpret_cast<std::uintptr_t>(self.stream); })
      .def(
          "wait", [](const OwnedStream& self) { wait(self.stream); }, py::call_guard<py::gil_scoped_release>())
      .def("follow", [](const OwnedStream& self, const OwnedEvent& event) { order_after(self.stream, event.event); })
      .def("capture", &capture, py::arg("work"));
  m.def(
      "wait",
      [](StreamArgument stream) {
        py::gil_scoped_release release;
        wait(stream.stream);
      },
      py::arg("stream"));
  py::class_<OwnedEvent>(m, "Event", py::module_local())
      .def(py::init<bool>(), py::arg("timing") = true)
      .def(
          "record", [](const OwnedEvent& self, StreamArgument stream) { record(self.event, stream.stream); },
          py::arg("stream") = py::none())
      .def(
          "wait", [](const OwnedEvent& self) { wait(self.event); }, py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("done", [](const OwnedEvent& self) { return is_done(self.event); })
      .def("ms_since",
           [](const OwnedEvent& self, const OwnedEvent& begin) { return milliseconds(begin.event, self.event); });
}
