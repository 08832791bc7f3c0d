// SHA-256 of raw bytes, for fingerprints of tensors and logits in records.
//   Source  FIPS 180-4, section 6.2
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace greta::results {

class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  /// 64 lower-case hexadecimal digits. Ends the sum: update() afterwards starts from garbage.
  std::string hex();

 private:
  void block(const uint8_t* bytes);
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> rest_{};
  size_t rest_bytes_ = 0;
  uint64_t bytes_ = 0;
};

std::string sha256(std::span<const std::byte> bytes);
/// Of the bits of a row of numbers.
template <class T>
std::string sha256_of(std::span<const T> values) {
  return sha256(std::as_bytes(values));
}

}  // namespace greta::results
