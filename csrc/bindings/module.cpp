// SPDX-License-Identifier: Apache-2.0
// rasant._native: registers every operation of the list in CMakeLists.txt, and translates csrc errors once.
#include <pybind11/pybind11.h>

#include "core/error.hpp"

namespace py = pybind11;

#define RASANT_OP(name) void bind_##name(py::module_&);
#include "registered_ops.inc"
#undef RASANT_OP

PYBIND11_MODULE(_native, m, py::mod_gil_not_used()) {
  m.doc() = "Native operations of rasant. Use rasant.ops; this module checks shapes and nothing else.";
  py::register_exception_translator([](std::exception_ptr raised) {
    const auto set = [](const char* name, const char* text) {
      py::set_error(py::module_::import("rasant.errors").attr(name), text);
    };
    try {
      if (raised) std::rethrow_exception(raised);
    } catch (const rasant::BadShape& e) {
      set("ShapeError", e.what());
    } catch (const rasant::BadDtype& e) {
      set("DtypeError", e.what());
    } catch (const rasant::BadArgument& e) {
      set("ConfigError", e.what());
    } catch (const rasant::Unavailable& e) {
      set("DeviceUnavailable", e.what());
    } catch (const rasant::Error& e) {
      set("RasantError", e.what());
    }
  });
#define RASANT_OP(name) bind_##name(m);
#include "registered_ops.inc"
#undef RASANT_OP
}
