// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "ops/score.hpp"

namespace rasant {
namespace {

// Checks the three maps that both entries share; the logits or the probability have been checked before.
ScoreMaps score_maps(const std::optional<HostArray>& ignore, const HostArray& raw, const HostArray& pooled,
                     py::ssize_t height, py::ssize_t width) {
  require<float>(raw, "out_raw", 2, true);
  require<float>(pooled, "out_pooled", 2, true);
  require_shape(raw, "out_raw", {height, width});
  require_shape(pooled, "out_pooled", {height, width});
  check(raw.data() != pooled.data(), "out_raw and out_pooled are the same array; pass two");
  ScoreMaps maps{{}, mutable_view<float>(raw), mutable_view<float>(pooled)};
  if (ignore) {
    require<bool>(*ignore, "ignore", 2);
    require_shape(*ignore, "ignore", {height, width});
    maps.ignore = view<std::uint8_t>(*ignore);
  }
  return maps;
}

py::tuple as_tuple(const ScoreResult& r) { return py::make_tuple(r.score, r.y, r.x, r.nonfinite, r.clipped); }

}  // namespace
}  // namespace rasant

void bind_score(pybind11::module_& m) {
  using namespace rasant;
  m.def(
      "score_map",
      [](const HostArray& logits, int kernel, const std::optional<HostArray>& ignore, const HostArray& out_raw,
         const HostArray& out_pooled, int threads) {
        require<float>(logits, "logits", 3);
        check<BadShape>(logits.shape(0) == 2, "logits must be (2, h, w): good, defect; got ", describe(logits),
                        "; pass logits[0] of a batch of one");
        const ScoreMaps maps = score_maps(ignore, out_raw, out_pooled, logits.shape(1), logits.shape(2));
        ImageView<const float> good = maps.raw, defect = maps.raw;
        good.data = static_cast<const float*>(logits.data());
        defect.data = good.data + good.pixels();
        const auto result = [&] {
          py::gil_scoped_release release;
          return score_map_cpu(good, defect, kernel, maps, threads);
        }();
        return as_tuple(result);
      },
      py::arg("logits"), py::arg("kernel"), py::arg("ignore"), py::arg("out_raw"), py::arg("out_pooled"),
      py::arg("threads"));
  m.def(
      "score_probability",
      [](const HostArray& probability, int kernel, const std::optional<HostArray>& ignore, const HostArray& out_raw,
         const HostArray& out_pooled, int threads) {
        require<float>(probability, "probability", 2);
        const ScoreMaps maps = score_maps(ignore, out_raw, out_pooled, probability.shape(0), probability.shape(1));
        const auto source = view<float>(probability);
        const auto result = [&] {
          py::gil_scoped_release release;
          return score_probability_cpu(source, kernel, maps, threads);
        }();
        return as_tuple(result);
      },
      py::arg("probability"), py::arg("kernel"), py::arg("ignore"), py::arg("out_raw"), py::arg("out_pooled"),
      py::arg("threads"));
}
