// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/captures.hpp"
#include "ops/phase.hpp"

namespace rasant {
namespace {

// captures (N, H, W) uint8, coarse (H, W) float32 or None, out (H, W) float32, out_confidence (H, W) uint8.
void decode_phase(const Array& captures, const std::optional<Array>& coarse, float period, float min_amplitude,
                  int max_level, float max_gap, const Array& out, const Array& out_confidence, int threads,
                  StreamArgument stream) {
  const auto from = stack(captures);
  require<float>(out, "out", 2, true);
  require<std::uint8_t>(out_confidence, "out_confidence", 2, true);
  require_shape(out, "out", {captures.shape(1), captures.shape(2)});
  require_shape(out_confidence, "out_confidence", {captures.shape(1), captures.shape(2)});
  require_apart(captures, "captures", out, "out");
  require_apart(captures, "captures", out_confidence, "out_confidence");
  require_apart(out, "out", out_confidence, "out_confidence");
  ImageView<const float> near;
  if (coarse) {
    require<float>(*coarse, "coarse", 2);
    require_shape(*coarse, "coarse", {captures.shape(1), captures.shape(2)});
    require_apart(*coarse, "coarse", out, "out");
    require_apart(*coarse, "coarse", out_confidence, "out_confidence");
    near = view<float>(*coarse);
  }
  const PhaseParams params{static_cast<int>(captures.shape(0)), period, min_amplitude, max_level, max_gap};
  check_phase(params);
  const auto position = mutable_view<float>(out);
  const auto confidence = mutable_view<std::uint8_t>(out_confidence);
  const bool device = on_device(stream.stream, captures, coarse ? *coarse : captures, out, out_confidence);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(decode_phase_cuda(from, near, params, position, confidence, stream.stream));
    return;
  }
  decode_phase_cpu(from, near, params, position, confidence, threads);
}

}  // namespace
}  // namespace rasant

void bind_phase(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("decode_phase", &rasant::decode_phase, py::arg("captures"), py::arg("coarse"), py::arg("period"),
        py::arg("min_amplitude"), py::arg("max_level"), py::arg("max_gap"), py::arg("out"), py::arg("out_confidence"),
        py::arg("threads"), py::arg("stream") = py::none());
}
