// The formats of JSON Schema, as patterns. Each admits only what its RFC admits; some admit less: the forms that people
// write.
#pragma once

#include <string>

namespace headroom::model {

// Null: JSON Schema defines no such format, which then says nothing. An empty pattern: it does, and it is not
// supported.
const char* PatternOfFormat(const std::string& format);

}  // namespace headroom::model
