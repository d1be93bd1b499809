// How arguments of calls are read.
#include <algorithm>

#include "model/text/jinja/runtime.h"

namespace headroom::model::jinja {

absl::StatusOr<std::vector<Value>> Bind(const CallArguments& arguments, std::initializer_list<std::string_view> names) {
  if (arguments.positional.size() > names.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("takes at most ", names.size(), " arguments, was given ", arguments.positional.size()));
  }
  std::vector<Value> values = arguments.positional;
  values.resize(names.size());
  for (const auto& [name, value] : arguments.named) {
    const auto* const found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return absl::InvalidArgumentError("takes no argument '" + name + "'");
    const auto index = static_cast<size_t>(found - names.begin());
    if (index < arguments.positional.size()) return absl::InvalidArgumentError("two values for '" + name + "'");
    values[index] = value;
  }
  return values;
}

absl::StatusOr<int64_t> IntegerOr(const Value& value, int64_t absent, std::string_view what) {
  if (value.IsUndefined() || value.IsNone()) return absent;
  if (value.IsInteger()) return value.integer();
  return absl::InvalidArgumentError(std::string(what) + " must be an int, not " + TypeName(value));
}

absl::StatusOr<MarkedText> TextOr(const Value& value, std::string_view absent, std::string_view what) {
  if (value.IsUndefined()) return MarkedText(std::string(absent), Origin::kTemplate);
  if (value.IsText()) return value.text();
  return absl::InvalidArgumentError(std::string(what) + " must be a str, not " + TypeName(value));
}

}  // namespace headroom::model::jinja
