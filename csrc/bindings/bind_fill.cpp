// SPDX-License-Identifier: Apache-2.0
#include "bindings/arrays.hpp"
#include "ops/fill.hpp"

namespace rasant {
namespace {

// depth and out (H, W) float32, apart from each other.
void fill_holes(const Array& depth, int passes, bool clamp, const Array& out, int threads, StreamArgument stream) {
  require<float>(depth, "depth", 2);
  require<float>(out, "out", 2, true);
  require_shape(out, "out", {depth.shape(0), depth.shape(1)});
  require_apart(depth, "depth", out, "out");
  const auto from = view<float>(depth);
  const auto to = mutable_view<float>(out);
  const FillParams params{passes, clamp};
  const bool device = on_device(stream.stream, depth, out);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(fill_holes_cuda(from, to, params, stream.stream));
    return;
  }
  fill_holes_cpu(from, to, params, threads);
}

template <class T>
void convert(const Array& depth, float scale, const Array& out, int threads, Stream stream) {
  require<T>(depth, "depth", 2);
  require<float>(out, "out", 2, true);
  require_shape(out, "out", {depth.shape(0), depth.shape(1)});
  require_apart(depth, "depth", out, "out");
  const auto from = view<T>(depth);
  const auto to = mutable_view<float>(out);
  const bool device = on_device(stream, depth, out);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(to_metres_cuda(from, to, scale, stream));
    return;
  }
  to_metres_cpu(from, to, scale, threads);
}

// depth (H, W) uint16 or float32, out (H, W) float32.
void to_metres(const Array& depth, float scale, const Array& out, int threads, StreamArgument stream) {
  const bool counts = depth.is<std::uint16_t>();
  check<BadDtype>(counts || depth.is<float>(), "depth must be uint16 counts or float32, got ", describe(depth),
                  "; convert it once with depth.astype(...)");
  counts ? convert<std::uint16_t>(depth, scale, out, threads, stream.stream)
         : convert<float>(depth, scale, out, threads, stream.stream);
}

}  // namespace
}  // namespace rasant

void bind_fill(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("fill_holes", &rasant::fill_holes, py::arg("depth"), py::arg("passes"), py::arg("clamp"), py::arg("out"),
        py::arg("threads"), py::arg("stream") = py::none());
  m.def("to_metres", &rasant::to_metres, py::arg("depth"), py::arg("scale"), py::arg("out"), py::arg("threads"),
        py::arg("stream") = py::none());
}
