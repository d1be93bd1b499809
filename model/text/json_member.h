// Reading fields of parsed JSON with errors instead of exceptions. Include only from .cc files.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "common/status.h"
#include "common/utf8.h"

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

// A string of one character.
inline absl::StatusOr<std::string> CharacterMember(const nlohmann::json& object, const char* name) {
  const nlohmann::json& value = Member(object, name);
  if (!value.is_string() || CountCharacters(value.get_ref<const std::string&>()) != 1)
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: \"", name, "\" is not one character"));
  return value.get<std::string>();
}

// The fields of Metaspace, which is a pre-tokenizer and a decoder.
struct MetaspaceFields {
  std::string replacement;     // of a space; one character
  std::string prepend_scheme;  // always, first or never
  bool split = true;
};

inline absl::StatusOr<MetaspaceFields> ReadMetaspace(const nlohmann::json& json) {
  MetaspaceFields fields{.replacement = {}, .prepend_scheme = "always"};
  HEADROOM_ASSIGN_OR_RETURN(fields.replacement, CharacterMember(json, "replacement"));
  if (!Member(json, "prepend_scheme").is_null()) {
    HEADROOM_ASSIGN_OR_RETURN(fields.prepend_scheme, StringMember(json, "prepend_scheme"));
  }
  const std::string& scheme = fields.prepend_scheme;
  if (scheme != "always" && scheme != "first" && scheme != "never")
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: prepend_scheme ", scheme, " is not supported"));
  // The older name of the same.
  HEADROOM_ASSIGN_OR_RETURN(const bool prefix, BoolMember(json, "add_prefix_space", /*absent=*/true));
  if (!prefix) fields.prepend_scheme = "never";
  HEADROOM_ASSIGN_OR_RETURN(fields.split, BoolMember(json, "split", /*absent=*/true));
  return fields;
}

}  // namespace headroom::model
