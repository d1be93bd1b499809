// Version of the whole project; CMakeLists.txt says the same (a test compares them).
#pragma once

namespace headroom {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace headroom
