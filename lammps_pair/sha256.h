/* SHA-256 (FIPS 180-4), of bytes that come in pieces. The hash of an artifact's content: see artifact.cpp. */

#ifndef HINT_SHA256_H
#define HINT_SHA256_H

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

namespace hint {

class Sha256 {
public:
  void update(const void *data, size_t size) {
    const auto *bytes = static_cast<const unsigned char *>(data);
    length += size;
    while (size > 0) {
      const size_t taken = std::min(size, sizeof(block) - filled);
      std::memcpy(block + filled, bytes, taken);
      bytes += taken, size -= taken, filled += taken;
      if (filled == sizeof(block))
        mix();
    }
  }

  // 64 hexadecimal digits; nothing may be added afterwards

  std::string hex() {
    const uint64_t bits = 8 * length;
    const unsigned char one = 0x80, zero = 0;
    update(&one, 1);
    while (filled != 56)
      update(&zero, 1);
    for (int k = 0; k < 8; k++)
      block[56 + k] = bits >> (56 - 8 * k);
    mix();
    std::string text;
    for (const uint32_t word : state)
      for (int shift = 28; shift >= 0; shift -= 4)
        text += "0123456789abcdef"[(word >> shift) & 15];
    return text;
  }

private:
  std::array<uint32_t, 8> state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  unsigned char block[64];
  size_t filled = 0;
  uint64_t length = 0;

  static uint32_t right(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

  void mix() {
    static constexpr uint32_t K[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t w[64];
    for (int t = 0; t < 16; t++)
      w[t] = uint32_t(block[4 * t]) << 24 | uint32_t(block[4 * t + 1]) << 16 |
             uint32_t(block[4 * t + 2]) << 8 | uint32_t(block[4 * t + 3]);
    for (int t = 16; t < 64; t++)
      w[t] = w[t - 16] + w[t - 7] + (right(w[t - 15], 7) ^ right(w[t - 15], 18) ^ (w[t - 15] >> 3)) +
             (right(w[t - 2], 17) ^ right(w[t - 2], 19) ^ (w[t - 2] >> 10));
    auto [a, b, c, d, e, f, g, h] = state;
    for (int t = 0; t < 64; t++) {
      const uint32_t t1 =
          h + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & f) ^ (~e & g)) + K[t] + w[t];
      const uint32_t t2 = (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    const uint32_t more[8] = {a, b, c, d, e, f, g, h};
    for (int k = 0; k < 8; k++)
      state[k] += more[k];
    filled = 0;
  }
};

} // namespace hint

#endif
