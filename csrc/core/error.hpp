// SPDX-License-Identifier: Apache-2.0
// The errors of csrc. module.cpp alone turns them into the exceptions of rasant.errors.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace rasant {

struct Error : std::runtime_error { using std::runtime_error::runtime_error; };
struct BadShape : Error { using Error::Error; };       // -> rasant.errors.ShapeError
struct BadDtype : Error { using Error::Error; };       // -> rasant.errors.DtypeError
struct BadArgument : Error { using Error::Error; };    // -> rasant.errors.ConfigError
struct Unavailable : Error { using Error::Error; };    // -> rasant.errors.DeviceUnavailable
struct DeviceFailure : Error { using Error::Error; };  // -> rasant.errors.DeviceFailed

// Joins its arguments into one message: expected what, got what, do what.
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

template <class E = BadArgument, class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) throw E(message(parts...));
}

}  // namespace rasant
