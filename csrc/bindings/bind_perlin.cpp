// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "core/parallel.hpp"
#include "ops/perlin.hpp"

namespace rasant {
namespace {

// lattice (N or 1, 2) int32, angle (N or 1,) float32 radians, out (N, H, W) float32. Samples in parallel.
void perlin_field(const HostArray& lattice, const HostArray& angle, std::uint64_t seed, std::uint64_t first,
                  const Array& out, int threads, StreamArgument stream) {
  require<std::int32_t>(lattice, "lattice", 2);
  require<float>(angle, "angle", 1);
  require<float>(out, "out", 3, true);
  const py::ssize_t count = out.shape(0);
  check<BadShape>((lattice.shape(0) == count || lattice.shape(0) == 1) && lattice.shape(1) == 2, "lattice must be (",
                  count, ", 2) or (1, 2), got ", describe(lattice), "; one (rows, cols) pair a field");
  check<BadShape>(angle.shape(0) == count || angle.shape(0) == 1, "angle must be (", count, ",) or (1,), got ",
                  describe(angle), "; one angle a field");
  const auto* cells = static_cast<const std::int32_t*>(lattice.data());
  const auto* angles = static_cast<const float*>(angle.data());
  const int height = static_cast<int>(out.shape(1)), width = static_cast<int>(out.shape(2));
  const bool one_lattice = lattice.shape(0) == 1, one_angle = angle.shape(0) == 1;
  const auto params = [&](std::ptrdiff_t k) {
    const std::int32_t* cell = cells + (one_lattice ? 0 : 2 * k);
    return PerlinParams{seed, first + static_cast<std::uint64_t>(k), cell[0], cell[1], angles[one_angle ? 0 : k]};
  };
  auto* values = static_cast<float*>(out.mutable_data());
  const bool device = on_device(stream.stream, out);
  py::gil_scoped_release release;
  if (device) {
    std::vector<PerlinParams> all;
    for (std::ptrdiff_t k = 0; k < count; ++k) all.push_back(params(k));
    RASANT_ON_GPU(perlin_fields_cuda(values, static_cast<int>(count), height, width, all.data(), stream.stream));
    return;
  }
  for_each_row(static_cast<int>(count), threads, [&](int begin, int end, int) {
    for (std::ptrdiff_t k = begin; k < end; ++k)
      perlin_field_cpu({values + k * height * width, height, width, 1, width}, params(k));
  });
}

// field (H, W) or (N, H, W) float32, threshold (N or 1,) float32, out (N, H, W) int8.
void perlin_mask(const Array& field, const HostArray& threshold, const std::string& mode, const Array& out, int threads,
                 StreamArgument stream) {
  const int axes = field.ndim() == 2 ? 2 : 3;
  require<float>(field, "field", axes);
  require<float>(threshold, "threshold", 1);
  require<std::int8_t>(out, "out", axes, true);
  require_shape(out, "out", {field.shape(), field.shape() + axes});
  const int count = axes == 2 ? 1 : static_cast<int>(field.shape(0));
  check<BadShape>(threshold.shape(0) == count || threshold.shape(0) == 1, "threshold must be one number or (", count,
                  ",), got ", describe(threshold), "; one threshold a field");
  check(mode == "positive" || mode == "absolute" || mode == "ternary",
        "mode must be positive, absolute or ternary, got ", mode);
  const auto kind = mode == "positive"   ? PerlinMask::positive
                    : mode == "absolute" ? PerlinMask::absolute
                                         : PerlinMask::ternary;
  const auto* values = static_cast<const float*>(field.data());
  const auto* limits = static_cast<const float*>(threshold.data());
  const int step = threshold.shape(0) == 1 ? 0 : 1;
  const std::int64_t pixels = static_cast<std::int64_t>(field.shape(axes - 2)) * field.shape(axes - 1);
  auto* mask = static_cast<std::int8_t*>(out.mutable_data());
  const bool device = on_device(stream.stream, field, out);
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(perlin_masks_cuda(values, mask, count, pixels, limits, step, kind, stream.stream));
    return;
  }
  for_each_row(count, threads, [&](int begin, int end, int) {
    for (std::int64_t k = begin; k < end; ++k)
      perlin_mask_cpu(values + k * pixels, mask + k * pixels, pixels, limits[k * step], kind);
  });
}

}  // namespace
}  // namespace rasant

void bind_perlin(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("perlin_field", &rasant::perlin_field, py::arg("lattice"), py::arg("angle"), py::arg("seed"), py::arg("first"),
        py::arg("out"), py::arg("threads"), py::arg("stream") = py::none());
  m.def("perlin_mask", &rasant::perlin_mask, py::arg("field"), py::arg("threshold"), py::arg("mode"), py::arg("out"),
        py::arg("threads"), py::arg("stream") = py::none());
}
