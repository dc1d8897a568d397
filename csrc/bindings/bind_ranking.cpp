// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/arrays.hpp"
#include "ops/ranking.hpp"

namespace rasant {
namespace {

template <class T>
py::array_t<T> as_array(const std::vector<T>& values) {
  py::array_t<T> array(static_cast<py::ssize_t>(values.size()));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

py::dict rank_maps(const std::vector<HostArray>& maps, const std::vector<HostArray>& truths, int samples) {
  check<BadShape>(maps.size() == truths.size(), "every map needs a truth: got ", maps.size(), " maps and ",
                  truths.size(), " truths; pass an all-False truth for a good image");
  check(samples >= 0 && samples <= 1 << 20, "samples must be 0..2^20, got ", samples, "; 0 for none");
  std::vector<LabelledMap> labelled;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    require<float>(maps[i], "map", 2);
    require<bool>(truths[i], "truth", 2);
    require_shape(truths[i], "truth", {maps[i].shape(0), maps[i].shape(1)});
    labelled.push_back({view<float>(maps[i]), view<std::uint8_t>(truths[i])});
  }
  const RankTable table = [&] {
    py::gil_scoped_release release;
    return rank_maps_cpu(labelled, samples);
  }();
  py::dict answer;
  answer["value"] = as_array(table.value);
  answer["positives"] = as_array(table.positives);
  answer["overlap"] = as_array(table.overlap);
  answer["above"] = as_array(table.above);
  answer["equal"] = as_array(table.equal);
  answer["n_positive"] = table.n_positive;
  answer["n_negative"] = table.n_negative;
  answer["n_component"] = table.n_component;
  answer["sampled"] = as_array(table.sampled);
  return answer;
}

}  // namespace
}  // namespace rasant

void bind_ranking(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("rank_maps", &rasant::rank_maps, py::arg("maps"), py::arg("truths"), py::arg("samples"));
}
