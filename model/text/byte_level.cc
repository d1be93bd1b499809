#include "model/text/byte_level.h"

#include <array>
#include <cstdint>

#include "common/utf8.h"

namespace headroom::model {
namespace {

constexpr int kAlphabetEnd = 0x144;  // one past the last character: 256 + 68

constexpr bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

// Byte of each character below kAlphabetEnd, or -1.
constexpr std::array<int16_t, kAlphabetEnd> MakeByteOfCharacter() {
  std::array<int16_t, kAlphabetEnd> table{};
  table.fill(-1);
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const int character = StandsForItself(byte) ? byte : next++;
    table[static_cast<size_t>(character)] = static_cast<int16_t>(byte);
  }
  return table;
}

constexpr std::array<int16_t, kAlphabetEnd> kByteOfCharacter = MakeByteOfCharacter();

}  // namespace

std::optional<std::string> BytesOfToken(std::string_view token) {
  std::string bytes;
  bytes.reserve(token.size());
  for (size_t position = 0; position < token.size();) {
    const char32_t character = NextCodePoint(token, &position);
    if (character >= kAlphabetEnd || kByteOfCharacter[character] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kByteOfCharacter[character]));
  }
  return bytes;
}

std::string SpellBytes(std::string_view bytes) {
  static const std::array<std::string, 256> kSpellings = [] {
    std::array<std::string, 256> spellings;
    for (int character = 0; character < kAlphabetEnd; ++character) {
      const int byte = kByteOfCharacter[static_cast<size_t>(character)];
      if (byte >= 0) AppendUtf8(static_cast<char32_t>(character), &spellings[static_cast<size_t>(byte)]);
    }
    return spellings;
  }();
  std::string token;
  token.reserve(2 * bytes.size());
  for (const char byte : bytes) token += kSpellings[static_cast<uint8_t>(byte)];
  return token;
}

}  // namespace headroom::model
