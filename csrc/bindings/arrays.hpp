// SPDX-License-Identifier: Apache-2.0
// Every check of an array that crosses from Python. Nothing is converted or copied: a wrong array is refused with
// what was expected, what came and what to do.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <ostream>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/image.hpp"

namespace rasant {
namespace py = pybind11;

// What a message says of an array or a dtype. Spelled out only when the message is written: asking numpy for the name
// of a dtype takes microseconds, and every array of every call is checked.
struct Description { const py::array& array; };
template <class T>
struct DtypeName {};

inline Description describe(const py::array& a) { return {a}; }

inline std::ostream& operator<<(std::ostream& out, const Description& d) {
  out << py::str(d.array.dtype()).cast<std::string>() << " (";
  for (py::ssize_t i = 0; i < d.array.ndim(); ++i) out << (i ? ", " : "") << d.array.shape(i);
  return out << (d.array.ndim() == 1 ? ",)" : ")");
}

template <class T>
std::ostream& operator<<(std::ostream& out, const DtypeName<T>&) {
  return out << py::str(py::dtype::of<T>()).template cast<std::string>();
}

// Refuses unless `a` has dtype T, `ndim` dimensions, no empty one and C order (and, when written to, is writeable).
template <class T>
void require(const py::array& a, const char* name, int ndim, bool written = false) {
  check<BadDtype>(py::isinstance<py::array_t<T>>(a), name, " must be ", DtypeName<T>(), ", got ", describe(a),
                  "; convert it once with ", name, ".astype(...)");
  check<BadShape>(a.ndim() == ndim, name, " must have ", ndim, " dimensions, got ", describe(a),
                  "; index or reshape it");
  for (py::ssize_t i = 0; i < a.ndim(); ++i)
    check<BadShape>(a.shape(i) > 0 && a.shape(i) < (1 << 30), name, " has an empty or too long axis: ", describe(a),
                    "; pass a non-empty array");
  check<BadShape>((a.flags() & py::array::c_style) != 0, name, " must be C-contiguous, got strides of ", describe(a),
                  "; pass numpy.ascontiguousarray(", name, ")");
  check<BadArgument>(!written || a.writeable(), name, " is read-only, and it is written to; pass a writeable array");
}

inline void require_shape(const py::array& a, const char* name, const std::vector<py::ssize_t>& shape) {
  bool same = a.ndim() == static_cast<py::ssize_t>(shape.size());
  for (std::size_t i = 0; same && i < shape.size(); ++i) same = a.shape(static_cast<py::ssize_t>(i)) == shape[i];
  std::string wanted = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) wanted += (i ? ", " : "") + std::to_string(shape[i]);
  check<BadShape>(same, name, " must have shape ", wanted, "), got ", describe(a), "; allocate it with that shape");
}

// Refuses arrays whose memory overlaps: the operation reads `in` after it has begun to write `out`.
inline void require_apart(const py::array& in, const char* in_name, const py::array& out, const char* out_name) {
  const auto* a = static_cast<const char*>(in.data());
  const auto* b = static_cast<const char*>(out.data());
  check<BadArgument>(a + in.nbytes() <= b || b + out.nbytes() <= a, out_name, " shares memory with ", in_name,
                     "; pass another array as ", out_name);
}

// (H, W) or (H, W, C) as a view; call require() first.
template <class T>
ImageView<const T> view(const py::array& a) {
  const int channels = a.ndim() == 3 ? static_cast<int>(a.shape(2)) : 1;
  return {static_cast<const T*>(a.data()), static_cast<int>(a.shape(0)), static_cast<int>(a.shape(1)), channels,
          static_cast<std::ptrdiff_t>(a.shape(1)) * channels};
}

template <class T>
ImageView<T> mutable_view(py::array& a) {
  const auto v = view<T>(a);
  return {static_cast<T*>(a.mutable_data()), v.height, v.width, v.channels, v.stride};
}

}  // namespace rasant
