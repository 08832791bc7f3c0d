#include "results/sha256.hpp"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace greta::results {
namespace {

std::string of(std::string_view text) { return sha256(std::as_bytes(std::span(text))); }

// FIPS 180-4's examples, and lengths about the padding's edges (from coreutils' sha256sum).
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(of(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesSumToTheWhole) {
  for (size_t n : {55u, 56u, 63u, 64u, 65u, 119u, 120u, 128u}) {
    const std::string text(n, 'x');
    for (size_t cut = 0; cut <= n; cut += 7) {
      Sha256 sum;
      sum.update(std::as_bytes(std::span(text)).first(cut));
      sum.update(std::as_bytes(std::span(text)).subspan(cut));
      EXPECT_EQ(sum.hex(), of(text)) << n << " " << cut;
    }
  }
}

TEST(Sha256, OneBitOfOneFloatChangesIt) {
  const std::vector<float> zero{0.0f, 1.0f}, minus{-0.0f, 1.0f};
  EXPECT_NE(sha256_of(std::span<const float>(zero)), sha256_of(std::span<const float>(minus)));
}

}  // namespace
}  // namespace greta::results
