// Tensors whose element type is known at run time: what a model holds, and what operators with several dtypes take.
#pragma once

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

/// A range of a live allocation with its dtype; `count` in storage elements (blocks for quantised types).
class AnyView {
 public:
  AnyView() = default;
  AnyView(void* data, size_t count, AllocationId id, DType dtype)
      : data_(data), count_(count), id_(id), dtype_(dtype) {}
  template <class T>
  AnyView(DeviceView<T> v)
      : data_(const_cast<std::remove_const_t<T>*>(v.data())),
        count_(v.count()),
        id_(v.id()),
        dtype_(dtype_of<std::remove_const_t<T>>::value) {}

  void* data() const { return data_; }
  size_t count() const { return count_; }
  AllocationId id() const { return id_; }
  DType dtype() const { return dtype_; }
  explicit operator bool() const { return data_ != nullptr; }

  /// The typed view; throws kInvalidArgument naming `what`, got and wanted dtype.
  template <class T>
  DeviceView<T> as(const char* what) const {
    constexpr DType want = dtype_of<std::remove_const_t<T>>::value;
    if (data_ && dtype_ != want)
      throw_invalid(std::string(what) + ": dtype must be " + std::string(dtype_name(want)) + ", got " +
                    std::string(dtype_name(dtype_)));
    return {static_cast<T*>(data_), count_, id_};
  }
  /// Storage elements [offset, offset + count).
  AnyView slice(size_t offset, size_t count) const {
    if (offset > count_ || count > count_ - offset)
      throw_invalid("slice [" + std::to_string(offset) + ", +" + std::to_string(count) + ") of a view of " +
                    std::to_string(count_) + " elements");
    return {static_cast<char*>(data_) + offset * static_cast<size_t>(dtype_block_bytes(dtype_)), count, id_, dtype_};
  }

 private:
  void* data_ = nullptr;
  size_t count_ = 0;
  AllocationId id_ = 0;
  DType dtype_ = DType::kU8;
};

/// Owning counterpart of AnyView; as DeviceBuffer, with the dtype at run time.
class DeviceTensor {
 public:
  DeviceTensor() = default;
  DeviceTensor(std::string name, DType dtype, size_t count,
               std::source_location where = std::source_location::current())
      : dtype_(dtype), count_(count), id_(count ? allocate(std::move(name), dtype, count, where) : 0) {}
  ~DeviceTensor() { reset(); }
  DeviceTensor(DeviceTensor&& o) noexcept : dtype_(o.dtype_), count_(o.count_), id_(o.id_) { o.id_ = 0, o.count_ = 0; }
  DeviceTensor& operator=(DeviceTensor&& o) noexcept {
    if (this != &o) {
      reset();
      dtype_ = o.dtype_, count_ = o.count_, id_ = o.id_;
      o.id_ = 0, o.count_ = 0;
    }
    return *this;
  }

  DType dtype() const { return dtype_; }
  size_t count() const { return count_; }
  size_t bytes() const { return count_ * static_cast<size_t>(dtype_block_bytes(dtype_)); }
  AllocationId id() const { return id_; }
  AnyView view() const { return {id_ ? address_of(id_) : nullptr, count_, id_, dtype_}; }
  void upload_bytes(Stream& stream, const void* from, size_t bytes, size_t byte_offset = 0) {
    if (bytes) copy_to_device(stream, id_, byte_offset, from, bytes);
  }
  void download_bytes(Stream& stream, void* to, size_t bytes, size_t byte_offset = 0) const {
    if (bytes) copy_from_device(stream, id_, byte_offset, to, bytes);
  }
  void poison(Stream& stream) {
    if (id_) hip::poison(id_, stream);
  }

 private:
  void reset() {
    if (id_) release(id_);
    id_ = 0, count_ = 0;
  }
  DType dtype_ = DType::kU8;
  size_t count_ = 0;
  AllocationId id_ = 0;
};

}  // namespace greta::hip
