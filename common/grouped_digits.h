// Numbers for people.
#pragma once

#include <cstdint>
#include <string>

namespace headroom {

// 1234567 as "1,234,567".
inline std::string GroupedDigits(int64_t value) {
  std::string text = std::to_string(value);
  const int64_t first = value < 0 ? 1 : 0;
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > first; at -= 3)
    text.insert(static_cast<size_t>(at), 1, ',');
  return text;
}

}  // namespace headroom
