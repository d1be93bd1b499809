// String literals of templates, which are Python's.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace headroom::model::jinja {

// What stands between two quotes, with escapes resolved: \n, \x41, \101, \u2581, \U0001F600 and the like; a backslash
// before anything else stays. INVALID_ARGUMENT for one that is cut, or is half of a surrogate pair.
absl::StatusOr<std::string> ResolveEscapes(std::string_view literal);

}  // namespace headroom::model::jinja
