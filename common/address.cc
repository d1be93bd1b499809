#include "common/address.h"

#include <charconv>
#include <cstdint>

namespace headroom {

bool IsAddress(const std::string& text) {
  constexpr char kUnix[] = "unix:";
  if (text.rfind(kUnix, 0) == 0) return text.size() > sizeof kUnix - 1;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
  return error == std::errc() && stop == end;
}

}  // namespace headroom
