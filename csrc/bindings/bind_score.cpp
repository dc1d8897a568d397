// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/fetch.hpp"
#include "ops/score.hpp"

namespace rasant {
namespace {

using Optional = std::optional<Array>;

// Checks the three maps that both entries share; the logits or the probability have been checked before.
ScoreMaps score_maps(const Optional& ignore, const Array& raw, const Array& pooled, py::ssize_t height,
                     py::ssize_t width) {
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

// The place for the numbers on a device; nullptr without one.
ScoreResult* result_place(const Optional& result, bool device) {
  if (!result) return nullptr;
  check(device, "result is for arrays in device memory; on the CPU the numbers are returned");
  require<std::uint8_t>(*result, "result", 1, true);
  require_shape(*result, "result", {static_cast<py::ssize_t>(sizeof(ScoreResult))});
  check(reinterpret_cast<std::uintptr_t>(result->data()) % alignof(ScoreResult) == 0,
        "result must start at a multiple of ", alignof(ScoreResult), " bytes; allocate it for itself");
  return static_cast<ScoreResult*>(result->mutable_data());
}

py::object as_tuple(const ScoreResult& r) { return py::make_tuple(r.score, r.y, r.x, r.nonfinite, r.clipped); }

// `on_gpu(place)` starts the work and returns where its numbers go; `on_cpu()` does it. None where `result` takes them.
template <class OnGpu, class OnCpu>
py::object scored(const Array& source, const Optional& ignore, const Array& raw, const Array& pooled,
                  const Optional& result, Stream stream, const OnGpu& on_gpu, const OnCpu& on_cpu) {
  const bool device =
      on_device(stream, {&source, ignore ? &*ignore : &source, &raw, &pooled, result ? &*result : &source});
  ScoreResult* const place = result_place(result, device);
  ScoreResult found{};
  {
    py::gil_scoped_release release;
    if (!device) {
      found = on_cpu();
    } else {
      const ScoreResult* const written = on_gpu(place);
      if (place == nullptr) found = fetch(written, stream);
    }
  }
  return place == nullptr ? as_tuple(found) : py::none();
}

// logits (2, h, w) float32: good, defect.
py::object score_map(const Array& logits, int kernel, const Optional& ignore, const Array& out_raw,
                     const Array& out_pooled, int threads, const Optional& result, StreamArgument stream) {
  require<float>(logits, "logits", 3);
  check<BadShape>(logits.shape(0) == 2, "logits must be (2, h, w): good, defect; got ", describe(logits),
                  "; pass logits[0] of a batch of one");
  const ScoreMaps maps = score_maps(ignore, out_raw, out_pooled, logits.shape(1), logits.shape(2));
  ImageView<const float> good = maps.raw, defect = maps.raw;
  good.data = static_cast<const float*>(logits.data());
  defect.data = good.data + good.pixels();
  return scored(
      logits, ignore, out_raw, out_pooled, result, stream.stream,
      [&]([[maybe_unused]] ScoreResult* place) -> ScoreResult* {
        RASANT_ON_GPU(return score_map_cuda(good, defect, kernel, maps, place, stream.stream));
      },
      [&] { return score_map_cpu(good, defect, kernel, maps, threads); });
}

// probability (h, w) float32.
py::object score_probability(const Array& probability, int kernel, const Optional& ignore, const Array& out_raw,
                             const Array& out_pooled, int threads, const Optional& result, StreamArgument stream) {
  require<float>(probability, "probability", 2);
  const ScoreMaps maps = score_maps(ignore, out_raw, out_pooled, probability.shape(0), probability.shape(1));
  const auto source = view<float>(probability);
  return scored(
      probability, ignore, out_raw, out_pooled, result, stream.stream,
      [&]([[maybe_unused]] ScoreResult* place) -> ScoreResult* {
        RASANT_ON_GPU(return score_probability_cuda(source, kernel, maps, place, stream.stream));
      },
      [&] { return score_probability_cpu(source, kernel, maps, threads); });
}

}  // namespace
}  // namespace rasant

void bind_score(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("score_map", &rasant::score_map, py::arg("logits"), py::arg("kernel"), py::arg("ignore"), py::arg("out_raw"),
        py::arg("out_pooled"), py::arg("threads"), py::arg("result") = py::none(), py::arg("stream") = py::none());
  m.def("score_probability", &rasant::score_probability, py::arg("probability"), py::arg("kernel"), py::arg("ignore"),
        py::arg("out_raw"), py::arg("out_pooled"), py::arg("threads"), py::arg("result") = py::none(),
        py::arg("stream") = py::none());
}
