// SPDX-License-Identifier: Apache-2.0
#include "bindings/arrays.hpp"

#include "bindings/device_array.hpp"

namespace rasant {
namespace {

// Makes what is put on `stream` from now on come after what is on `producer`.
void follow(Stream stream, Stream producer) {
  if (producer == nullptr || producer == stream) return;
  const OwnedEvent reached(false);
  record(reached.event, producer);
  order_after(stream, reached.event);
}

}  // namespace

bool Array::load(py::handle source) {
  owner_ = py::reinterpret_borrow<py::object>(source);
  if (py::isinstance<py::array>(source)) {
    const auto array = py::reinterpret_borrow<py::array>(source);
    data_ = const_cast<void*>(array.data());
    shape_ = array.shape();
    ndim_ = array.ndim();
    bytes_ = array.nbytes();
    writeable_ = array.writeable();
    contiguous_ = (array.flags() & py::array::c_style) != 0;
    on_device_ = false;
    return true;
  }
  if (!py::isinstance<DeviceArray>(source)) {
    if (!py::hasattr(source, "__cuda_array_interface__")) return false;
    owner_ = py::cast(from_interface(owner_, stream_));
  }
  const auto& array = owner_.cast<const DeviceArray&>();
  data_ = array.data();
  shape_ = array.shape().data();
  ndim_ = static_cast<py::ssize_t>(array.shape().size());
  bytes_ = array.bytes();
  writeable_ = array.writeable();
  contiguous_ = on_device_ = true;
  return true;
}

py::dtype Array::dtype() const {
  return on_device_ ? owner_.cast<const DeviceArray&>().dtype() : py::reinterpret_borrow<py::array>(owner_).dtype();
}

std::ostream& operator<<(std::ostream& out, const Description& d) {
  out << py::str(d.array.dtype()).cast<std::string>() << " (";
  for (py::ssize_t i = 0; i < d.array.ndim(); ++i) out << (i ? ", " : "") << d.array.shape(i);
  return out << (d.array.ndim() == 1 ? ",)" : ")") << (d.array.on_device() ? " on the device" : "");
}

void require_shape(const Array& a, const char* name, const std::vector<py::ssize_t>& shape) {
  bool same = a.ndim() == static_cast<py::ssize_t>(shape.size());
  for (std::size_t i = 0; same && i < shape.size(); ++i) same = a.shape(static_cast<py::ssize_t>(i)) == shape[i];
  if (same) return;
  std::string wanted = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) wanted += (i ? ", " : "") + std::to_string(shape[i]);
  check<BadShape>(false, name, " must have shape ", wanted, "), got ", describe(a), "; allocate it with that shape");
}

void require_apart(const Array& in, const char* in_name, const Array& out, const char* out_name) {
  const auto* a = static_cast<const char*>(in.data());
  const auto* b = static_cast<const char*>(out.data());
  check<BadArgument>(a + in.nbytes() <= b || b + out.nbytes() <= a, out_name, " shares memory with ", in_name,
                     "; pass another array as ", out_name);
}

bool on_device(Stream stream, std::initializer_list<const Array*> arrays) {
  std::size_t there = 0;
  for (const Array* array : arrays) there += array->on_device();
  check<BadArgument>(there == 0 || there == arrays.size(), there, " of ", arrays.size(),
                     " arrays are in device memory, the others are numpy arrays; copy those with "
                     "rasant.ops.device.to_device, or these with to_host");
  if (there == 0) return false;
  for (const Array* array : arrays) follow(stream, array->stream());
  return true;
}

}  // namespace rasant

bool pybind11::detail::type_caster<rasant::StreamArgument>::load(handle source, bool) {
  if (source.is_none()) return true;
  object number = reinterpret_borrow<object>(source);
  for (const char* name : {"handle", "cuda_stream", "ptr"}) {
    if (!hasattr(source, name)) continue;
    number = source.attr(name);
    break;
  }
  rasant::check<rasant::BadArgument>(isinstance<int_>(number),
                                     "stream must be None, an integer handle, or an object with handle, cuda_stream or "
                                     "ptr, got ",
                                     std::string(Py_TYPE(source.ptr())->tp_name));
  value.stream = reinterpret_cast<rasant::Stream>(number.cast<std::uintptr_t>());
  return true;
}
