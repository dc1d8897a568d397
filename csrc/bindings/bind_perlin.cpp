// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "arrays.hpp"
#include "core/parallel.hpp"
#include "ops/perlin.hpp"

namespace rasant {
namespace {

// lattice (N or 1, 2) int32, angle (N or 1,) float32 radians, out (N, H, W) float32. Samples in parallel.
void perlin_field(const py::array& lattice, const py::array& angle, std::uint64_t seed, std::uint64_t first,
                  py::array out, int threads) {
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
  auto* values = static_cast<float*>(out.mutable_data());
  py::gil_scoped_release release;
  for_each_row(static_cast<int>(count), threads, [&](int begin, int end, int) {
    for (std::ptrdiff_t k = begin; k < end; ++k) {
      const std::int32_t* cell = cells + (one_lattice ? 0 : 2 * k);
      const PerlinParams params{seed, first + static_cast<std::uint64_t>(k), cell[0], cell[1],
                                angles[one_angle ? 0 : k]};
      perlin_field_cpu({values + k * height * width, height, width, 1, width}, params);
    }
  });
}

// field (N, H, W) float32, threshold (N or 1,) float32, out (N, H, W) int8.
void perlin_mask(const py::array& field, const py::array& threshold, const std::string& mode, py::array out,
                 int threads) {
  require<float>(field, "field", 3);
  require<float>(threshold, "threshold", 1);
  require<std::int8_t>(out, "out", 3, true);
  require_shape(out, "out", {field.shape(0), field.shape(1), field.shape(2)});
  check<BadShape>(threshold.shape(0) == field.shape(0) || threshold.shape(0) == 1, "threshold must be one number or (",
                  field.shape(0), ",), got ", describe(threshold), "; one threshold a field");
  check(mode == "positive" || mode == "absolute" || mode == "ternary",
        "mode must be positive, absolute or ternary, got ", mode);
  const auto kind = mode == "positive"   ? PerlinMask::positive
                    : mode == "absolute" ? PerlinMask::absolute
                                         : PerlinMask::ternary;
  const auto* values = static_cast<const float*>(field.data());
  const auto* limits = static_cast<const float*>(threshold.data());
  const bool one_limit = threshold.shape(0) == 1;
  const std::int64_t pixels = static_cast<std::int64_t>(field.shape(1)) * field.shape(2);
  auto* mask = static_cast<std::int8_t*>(out.mutable_data());
  py::gil_scoped_release release;
  for_each_row(static_cast<int>(field.shape(0)), threads, [&](int begin, int end, int) {
    for (std::int64_t k = begin; k < end; ++k)
      perlin_mask_cpu(values + k * pixels, mask + k * pixels, pixels, limits[one_limit ? 0 : k], kind);
  });
}

}  // namespace
}  // namespace rasant

void bind_perlin(pybind11::module_& m) {
  m.def("perlin_field", &rasant::perlin_field);
  m.def("perlin_mask", &rasant::perlin_mask);
}
