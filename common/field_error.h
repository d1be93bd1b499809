// Errors about a field of a request, for programs that show them beside it. Travels as google.rpc.BadRequest: a payload
// of the status.
#pragma once

#include <string>

#include "common/status.h"

namespace headroom {

// `status`, where it is an error, about `field`, as the protocol calls it: named before its message and in its details.
absl::Status FieldError(const std::string& field, const absl::Status& status);
// Empty where no field is named.
std::string FieldOf(const absl::Status& status);

}  // namespace headroom
