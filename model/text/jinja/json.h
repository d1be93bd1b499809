// JSON as Python's json module reads and writes it.
#pragma once

#include <optional>
#include <string>

#include "model/text/jinja/value.h"

namespace headroom::model::jinja {

// All strings of the value are of `origin`. INVALID_ARGUMENT for what is no JSON, is nested too deep or has an integer
// beyond 64 bits.
absl::StatusOr<Value> ReadJson(Workspace& workspace, const std::string& json, Origin origin);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // of one level; absent: all on one line
  std::string item_separator = ", ";  // absent in Python: "," where lines are indented
  std::string key_separator = ": ";
};

// json.dumps. Characters of strings keep their origin; what stands around them is the caller's, so that no text which a
// caller gives can make a control token together with it. INVALID_ARGUMENT for what JSON cannot say.
absl::StatusOr<MarkedText> WriteJson(const Value& value, const JsonStyle& style, Allowance& allowance);

}  // namespace headroom::model::jinja
