// SPDX-License-Identifier: Apache-2.0
// Every check of an array that crosses from Python. Nothing is converted or copied: a wrong array is refused with
// what was expected, what came and what to do.
//
// Array: a numpy array, or an array in device memory (DeviceArray, or any object with __cuda_array_interface__).
// HostArray: a numpy array; what operations without a device form take.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>
#include <type_traits>
#include <vector>

#include "core/device.hpp"
#include "core/error.hpp"
#include "core/image.hpp"

namespace rasant {
namespace py = pybind11;

class Array {
 public:
  const void* data() const { return data_; }
  void* mutable_data() const { return data_; }
  py::ssize_t ndim() const { return ndim_; }
  py::ssize_t shape(py::ssize_t axis) const { return shape_[axis]; }
  const py::ssize_t* shape() const { return shape_; }
  py::ssize_t nbytes() const { return bytes_; }
  bool writeable() const { return writeable_; }
  bool contiguous() const { return contiguous_; }
  bool on_device() const { return on_device_; }
  Stream stream() const { return stream_; }  // of the producer of device memory, when it names one
  py::dtype dtype() const;
  template <class T>
  bool is() const {
    if (on_device_) return dtype().equal(py::dtype::of<T>());
    return py::isinstance<py::array_t<T>>(owner_);
  }

  // False where `source` is no array at all.
  bool load(py::handle source);

 private:
  py::object owner_;  // keeps data and shape alive
  void* data_ = nullptr;
  const py::ssize_t* shape_ = nullptr;
  py::ssize_t ndim_ = 0, bytes_ = 0;
  bool writeable_ = false, contiguous_ = false, on_device_ = false;
  Stream stream_ = nullptr;
};

class HostArray : public Array {};

// What a message says of an array or a dtype. Spelled out only when the message is written: asking numpy for the name
// of a dtype takes microseconds, and every array of every call is checked.
struct Description { const Array& array; };
template <class T>
struct DtypeName {};

inline Description describe(const Array& a) { return {a}; }
std::ostream& operator<<(std::ostream& out, const Description& d);

template <class T>
std::ostream& operator<<(std::ostream& out, const DtypeName<T>&) {
  return out << py::str(py::dtype::of<T>()).template cast<std::string>();
}

// Refuses unless `a` has dtype T, `ndim` dimensions, no empty one and C order (and, when written to, is writeable).
template <class T>
void require(const Array& a, const char* name, int ndim, bool written = false) {
  check<BadDtype>(a.is<T>(), name, " must be ", DtypeName<T>(), ", got ", describe(a), "; convert it once with ", name,
                  ".astype(...)");
  check<BadShape>(a.ndim() == ndim, name, " must have ", ndim, " dimensions, got ", describe(a),
                  "; index or reshape it");
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    check<BadShape>(a.shape(i) > 0 && a.shape(i) < (1 << 30), name, " has an empty or too long axis: ", describe(a),
                    "; pass a non-empty array");
  check<BadShape>(a.contiguous(), name, " must be C-contiguous, got strides of ", describe(a),
                  "; pass numpy.ascontiguousarray(", name, ")");
  check<BadArgument>(!written || a.writeable(), name, " is read-only, and it is written to; pass a writeable array");
}

void require_shape(const Array& a, const char* name, const std::vector<py::ssize_t>& shape);

// Refuses arrays whose memory overlaps: the operation reads `in` after it has begun to write `out`.
void require_apart(const Array& in, const char* in_name, const Array& out, const char* out_name);

// True when all arrays are in device memory, false when all are in host memory; refuses a mixture. Work on `stream`
// then comes after what the arrays' producers have put on theirs.
bool on_device(Stream stream, std::initializer_list<const Array*> arrays);

template <class... Arrays>
bool on_device(Stream stream, const Arrays&... arrays) {
  return on_device(stream, {&arrays...});
}

// Calls `work` in a build with a device; on_device() is never true in another, and `work` is not linked there.
#if RASANT_DEVICE
#define RASANT_ON_GPU(...) __VA_ARGS__
#else
#define RASANT_ON_GPU(...) throw Unavailable("this build of rasant has no CUDA part")
#endif

// (H, W) or (H, W, C) as a view; call require() first. A bool array may be viewed as std::uint8_t.
template <class T>
ImageView<const T> view(const Array& a) {
  const int channels = a.ndim() == 3 ? static_cast<int>(a.shape(2)) : 1;
  return {static_cast<const T*>(a.data()), static_cast<int>(a.shape(0)), static_cast<int>(a.shape(1)), channels,
          static_cast<std::ptrdiff_t>(a.shape(1)) * channels};
}

template <class T>
ImageView<T> mutable_view(const Array& a) {
  const auto v = view<T>(a);
  return {static_cast<T*>(a.mutable_data()), v.height, v.width, v.channels, v.stride};
}

// A stream as Python passes it: None (the default stream), an integer handle, or an object with `handle`,
// `cuda_stream` (torch) or `ptr` (CuPy).
struct StreamArgument { Stream stream = nullptr; };

}  // namespace rasant

namespace pybind11 {
namespace detail {

template <class A>
struct any_array_caster {
  PYBIND11_TYPE_CASTER(A, const_name("array"));
  bool load(handle source, bool) {
    rasant::check<rasant::BadDtype>(value.load(source), "expected ",
                                    std::is_same_v<A, rasant::HostArray> ? "a numpy array" : "a numpy or device array",
                                    ", got ", std::string(Py_TYPE(source.ptr())->tp_name),
                                    "; convert it with numpy.asarray");
    rasant::check<rasant::BadArgument>(!(std::is_same_v<A, rasant::HostArray> && value.on_device()),
                                       "this argument must be a numpy array, got an array in device memory; copy it "
                                       "with rasant.ops.device.to_host");
    return true;
  }
};
template <>
struct type_caster<rasant::Array> : any_array_caster<rasant::Array> {};
template <>
struct type_caster<rasant::HostArray> : any_array_caster<rasant::HostArray> {};

template <>
struct type_caster<rasant::StreamArgument> {
  PYBIND11_TYPE_CASTER(rasant::StreamArgument, const_name("int"));
  bool load(handle source, bool);
};

}  // namespace detail
}  // namespace pybind11
