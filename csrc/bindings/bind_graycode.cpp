// SPDX-License-Identifier: Apache-2.0
#include "bindings/arrays.hpp"
#include "bindings/captures.hpp"
#include "ops/graycode.hpp"

namespace rasant {
namespace {

// captures (2 B, H, W) uint8, out (H, W) float32, out_confidence (H, W) uint8.
void decode_gray(const Array& captures, int size, int stripe, int min_step, const Array& out,
                 const Array& out_confidence, int threads, StreamArgument stream) {
  const auto from = stack(captures);
  require<float>(out, "out", 2, true);
  require<std::uint8_t>(out_confidence, "out_confidence", 2, true);
  require_shape(out, "out", {captures.shape(1), captures.shape(2)});
  require_shape(out_confidence, "out_confidence", {captures.shape(1), captures.shape(2)});
  require_apart(captures, "captures", out, "out");
  require_apart(captures, "captures", out_confidence, "out_confidence");
  require_apart(out, "out", out_confidence, "out_confidence");
  const int images = static_cast<int>(captures.shape(0));
  const GraycodeParams params{size, stripe, min_step};
  check_graycode(params, images);
  const auto position = mutable_view<float>(out);
  const auto confidence = mutable_view<std::uint8_t>(out_confidence);
  const bool device = on_device(stream.stream, captures, out, out_confidence);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(decode_gray_cuda(from, images, params, position, confidence, stream.stream));
    return;
  }
  decode_gray_cpu(from, images, params, position, confidence, threads);
}

}  // namespace
}  // namespace rasant

void bind_graycode(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("decode_gray", &rasant::decode_gray, py::arg("captures"), py::arg("size"), py::arg("stripe"),
        py::arg("min_step"), py::arg("out"), py::arg("out_confidence"), py::arg("threads"),
        py::arg("stream") = py::none());
}
