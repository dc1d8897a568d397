// SPDX-License-Identifier: Apache-2.0
// rasant._native, and with RASANT_MODULE=_emu the same over the emulator: registers every operation of the list in
// CMakeLists.txt, and translates csrc errors once.
#include <pybind11/pybind11.h>

#include "core/error.hpp"

namespace py = pybind11;

#define RASANT_OP(name) void bind_##name(py::module_&);
#include "registered_ops.inc"
#undef RASANT_OP

void bind_device(py::module_& m);
#ifdef RASANT_EMULATED
void bind_emulator(py::module_& m);
#endif

PYBIND11_MODULE(RASANT_MODULE, m, py::mod_gil_not_used()) {
  m.doc() = "Native operations of rasant. Use rasant.ops; this module checks shapes and nothing else.";
  py::register_local_exception_translator([](std::exception_ptr raised) {
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
    } catch (const rasant::DeviceFailure& e) {
      set("DeviceFailed", e.what());
    } catch (const rasant::Error& e) {
      set("RasantError", e.what());
    }
  });
#define RASANT_OP(name) bind_##name(m);
#include "registered_ops.inc"
#undef RASANT_OP
  bind_device(m);
#ifdef RASANT_EMULATED
  bind_emulator(m);
#endif
}
