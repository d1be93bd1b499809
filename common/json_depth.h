// How deep a JSON text nests, told before it is parsed: what recurses takes a level of stack a bracket.
#pragma once

#include <string_view>

namespace headroom {

// More than `depth_max` objects and arrays inside one another. Takes any bytes: of a text that is no JSON the answer is
// a bound on what a parser would open. Thread-safe.
bool JsonNestsDeeper(std::string_view text, int depth_max);

}  // namespace headroom
