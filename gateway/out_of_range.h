// How a field of a request is refused that lies outside its limits.
#pragma once

#include <string>

#include "common/status.h"

namespace headroom::gateway {

// `limit` ends the sentence "it must be …".
template <typename T>
absl::Status OutOfRange(const char* field, T value, const std::string& limit) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, "; it must be ", limit));
}

}  // namespace headroom::gateway
