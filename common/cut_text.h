// Bounds text that others wrote without breaking a UTF-8 character: protobuf takes no broken ones.
#pragma once

#include <cstddef>
#include <string>

namespace headroom {

// At most `bytes_max` bytes of `text`, ending between characters where `text` is UTF-8.
inline std::string CutText(const std::string& text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace headroom
