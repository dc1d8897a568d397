// SPDX-License-Identifier: Apache-2.0
// DLPack (the array interchange of the Python array API standard): the C structures of its version 0, which every
// library reads, and the two ways across.
#include "bindings/arrays.hpp"
#include "bindings/device_array.hpp"

namespace rasant {
namespace {

struct DLDevice { std::int32_t device_type, device_id; };
struct DLDataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t *shape, *strides;
  std::uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);
};

constexpr char kinds[] = {'i', 'u', 'f'};  // DLDataTypeCode 0, 1, 2; bool is 6
constexpr std::uint8_t bool_code = 6;

// What an exported tensor keeps alive.
struct Exported {
  DLManagedTensor tensor{};
  py::object array;
  std::vector<std::int64_t> shape;
};

void delete_exported(DLManagedTensor* tensor) {
  py::gil_scoped_acquire hold;
  delete static_cast<Exported*>(tensor->manager_ctx);
}

// A capsule that no one has consumed still owns its tensor.
void delete_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor") == 0) return;
  auto* tensor = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
  if (tensor->deleter != nullptr) tensor->deleter(tensor);
}

DLDataType code_of(const py::dtype& dtype) {
  const auto bits = static_cast<std::uint8_t>(8 * dtype.itemsize());
  if (dtype.kind() == 'b') return {bool_code, bits, 1};
  for (std::uint8_t code = 0; code < 3; ++code)
    if (kinds[code] == dtype.kind()) return {code, bits, 1};
  throw BadDtype(message("DLPack has no name for ", py::str(dtype).cast<std::string>()));
}

py::dtype dtype_of(const DLDataType& type) {
  check<BadDtype>(type.lanes == 1 && type.bits % 8 == 0 && (type.code < 3 || type.code == bool_code), "DLPack type ",
                  int{type.code}, " of ", int{type.bits}, " bits and ", type.lanes,
                  " lanes has no numpy dtype; convert it first");
  const char kind = type.code == bool_code ? 'b' : kinds[type.code];
  return py::dtype(std::string(1, kind) + std::to_string(type.bits / 8));
}

}  // namespace

py::capsule to_dlpack(const py::object& object) {
  const auto& array = object.cast<const DeviceArray&>();
  auto exported = std::make_unique<Exported>();
  exported->array = object;
  exported->shape.assign(array.shape().begin(), array.shape().end());
  exported->tensor.dl_tensor = {array.data(),
                                {RASANT_DLPACK_DEVICE, 0},
                                static_cast<std::int32_t>(array.shape().size()),
                                code_of(array.dtype()),
                                exported->shape.data(),
                                nullptr,
                                0};
  exported->tensor.manager_ctx = exported.get();
  exported->tensor.deleter = &delete_exported;
  return py::capsule(&exported.release()->tensor, "dltensor", &delete_capsule);
}

DeviceArray from_dlpack(const py::object& object) {
  check<BadDtype>(py::hasattr(object, "__dlpack__") && py::hasattr(object, "__dlpack_device__"),
                  "expected an object with __dlpack__, got ", std::string(Py_TYPE(object.ptr())->tp_name));
  const auto device = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
  check<BadArgument>(device.first == RASANT_DLPACK_DEVICE, "expected memory of DLPack device type ",
                     RASANT_DLPACK_DEVICE, ", got type ", device.first, "; copy it there first");
  const auto capsule = object.attr("__dlpack__")().cast<py::object>();
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (managed == nullptr) throw py::error_already_set();
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");  // ours from here on
  std::shared_ptr<void> owner(managed, [](void* kept) {
    auto* tensor = static_cast<DLManagedTensor*>(kept);
    if (tensor->deleter != nullptr) tensor->deleter(tensor);
  });
  const DLTensor& tensor = managed->dl_tensor;
  const DeviceArray::Shape shape(tensor.shape, tensor.shape + tensor.ndim);
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); tensor.strides != nullptr && i-- > 0; expected *= shape[i])
    check<BadShape>(shape[i] == 1 || tensor.strides[i] == expected,
                    "a device array must be C-contiguous; copy it into order first");
  return {shape, dtype_of(tensor.dtype), static_cast<char*>(tensor.data) + tensor.byte_offset, true, owner};
}

}  // namespace rasant
