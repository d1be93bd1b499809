// Reading fields of parsed JSON with errors instead of exceptions. Include only from .cc files.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "common/status.h"

namespace headroom::model {

// The member, or null when `object` is no object or has no such member.
inline const nlohmann::json& Member(const nlohmann::json& object, const char* name) {
  static const nlohmann::json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

inline absl::StatusOr<std::string> StringMember(const nlohmann::json& object, const char* name) {
  const nlohmann::json& value = Member(object, name);
  if (!value.is_string()) return absl::InvalidArgumentError(absl::StrCat("tokenizer: \"", name, "\" is not a string"));
  return value.get<std::string>();
}

inline absl::StatusOr<bool> BoolMember(const nlohmann::json& object, const char* name) {
  const nlohmann::json& value = Member(object, name);
  if (!value.is_boolean())
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: \"", name, "\" is not true or false"));
  return value.get<bool>();
}

inline absl::StatusOr<bool> BoolMember(const nlohmann::json& object, const char* name, bool absent) {
  if (Member(object, name).is_null()) return absent;
  return BoolMember(object, name);
}

}  // namespace headroom::model
