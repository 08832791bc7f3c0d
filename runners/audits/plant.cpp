#include "runners/audits/plant.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace greta::runners {

LaunchPlant::LaunchPlant(std::function<bool(uint64_t)> damaged)
    : damaged_(std::move(damaged)), previous_(hip::set_launch_observer(this)) {}
LaunchPlant::~LaunchPlant() { hip::set_launch_observer(previous_); }

void LaunchPlant::restart(uint64_t draw) { launches_ = 0, draw_ = draw; }

void LaunchPlant::after(const hip::LaunchShape&, std::span<const hip::ErasedArgument> arguments,
                        const hip::KernelCall&) {
  for (const hip::ErasedArgument& a : arguments) {
    const std::string_view direction = a.direction;
    const bool floating = a.dtype == DType::kF32 || a.dtype == DType::kF16 || a.dtype == DType::kBF16;
    if (direction != "out" && direction != "inout") continue;
    if (!floating || a.needed == 0) continue;
    if (!damaged_(++launches_)) return;
    // A bit of about 2^-5 of the value in each of the three types, of a run of elements: one alone may be lost in the
    // roundings that follow.
    const size_t n = std::min<size_t>(a.needed, 64), first = draw_ % (a.needed - n + 1);
    const size_t byte = a.dtype == DType::kF32 ? 2 : 0;
    const uint8_t bit = a.dtype == DType::kF16 ? 0x20 : 0x04;
    const auto* base = static_cast<const char*>(hip::address_of(a.id));
    const auto offset = static_cast<size_t>(static_cast<const char*>(a.pointer) - base) + first * a.element_bytes;
    hip::Stream stream("plant");
    std::vector<uint8_t> bytes(n * a.element_bytes);
    hip::copy_from_device(stream, a.id, offset, bytes.data(), bytes.size());
    for (size_t i = 0; i < n; ++i) bytes[i * a.element_bytes + byte] ^= bit;
    hip::copy_to_device(stream, a.id, offset, bytes.data(), bytes.size());
    return;
  }
}

}  // namespace greta::runners
