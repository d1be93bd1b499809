// JSON of clients: parsed within bounds, and its memory known before it is taken. Include only from .cc files and
// headers of this folder.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "common/status.h"

namespace headroom::gateway::openai {

// Members keep the order in which the client wrote them: templates show tools and arguments so.
using Json = nlohmann::ordered_json;

inline constexpr int kJsonDepthMax = 64;
inline constexpr int64_t kJsonMembersMax = 4096;    // of one object
inline constexpr int64_t kJsonValuesMax = 262'144;  // of a document, members' names counted

// Memory that ParseJson takes at most beside `text`, bytes: its strings, and what each value costs. One pass over the
// text.
int64_t JsonBytes(std::string_view text);

// The document, whose strings are moved and not copied. INVALID_ARGUMENT (param absent, code "invalid_json") naming the
// position, for what is no JSON (RFC 8259: UTF-8, no comments), above a bound, or has a member twice.
absl::StatusOr<Json> ParseJson(std::string_view text);

// As compact text. Bytes that are no UTF-8 come out as U+FFFD.
std::string WriteJson(const Json& json);

}  // namespace headroom::gateway::openai
