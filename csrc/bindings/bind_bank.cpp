// SPDX-License-Identifier: Apache-2.0
#include "bindings/arrays.hpp"
#include "ops/bank.hpp"

namespace rasant {
namespace {

RowSet row_set(const Array& rows, const char* name) {
  require<float>(rows, name, 2);
  return {static_cast<const float*>(rows.data()), static_cast<int>(rows.shape(0)), static_cast<int>(rows.shape(1))};
}

// queries (Q, D) and bank (M, D) float32; out_indices int32 and out_squared float32 (Q, k).
void nearest_rows(const Array& queries, const Array& bank, const Array& out_indices, const Array& out_squared,
                  int threads, StreamArgument stream) {
  const RowSet from = row_set(queries, "queries"), rows = row_set(bank, "bank");
  require<std::int32_t>(out_indices, "out_indices", 2, true);
  require<float>(out_squared, "out_squared", 2, true);
  require_shape(out_indices, "out_indices", {queries.shape(0), out_indices.shape(1)});
  require_shape(out_squared, "out_squared", {queries.shape(0), out_indices.shape(1)});
  for (const Array* in : {&queries, &bank}) {
    require_apart(*in, "an input", out_indices, "out_indices");
    require_apart(*in, "an input", out_squared, "out_squared");
  }
  require_apart(out_indices, "out_indices", out_squared, "out_squared");
  const bool device = on_device(stream.stream, queries, bank, out_indices, out_squared);
  const int k = static_cast<int>(out_indices.shape(1));
  auto* const indices = static_cast<std::int32_t*>(out_indices.mutable_data());
  auto* const squared = static_cast<float*>(out_squared.mutable_data());
  py::gil_scoped_release release;
  if (device) {
    RASANT_ON_GPU(nearest_rows_cuda(from, rows, k, indices, squared, stream.stream));
    return;
  }
  nearest_rows_cpu(from, rows, k, indices, squared, threads);
}

}  // namespace
}  // namespace rasant

void bind_bank(pybind11::module_& m) {
  namespace py = pybind11;
  m.def("nearest_rows", &rasant::nearest_rows, py::arg("queries"), py::arg("bank"), py::arg("out_indices"),
        py::arg("out_squared"), py::arg("threads"), py::arg("stream") = py::none());
}
