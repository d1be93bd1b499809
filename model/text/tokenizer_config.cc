#include "model/text/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/json_member.h"
#include "model/text/tokenizer.h"

namespace headroom::model {

absl::StatusOr<int32_t> ReadTokenId(const nlohmann::json& value, const std::string& token) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(Tokenizer::kTokenIdMax)) {
    constexpr size_t kShownBytesMax = 64;
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: the id of \"", CutText(token, kShownBytesMax),
                                                   token.size() > kShownBytesMax ? "…" : "",
                                                   "\" is not a whole number from 0 to ", Tokenizer::kTokenIdMax));
  }
  return value.get<int32_t>();
}

absl::StatusOr<AddedToken> ReadAddedToken(const nlohmann::json& json, const nlohmann::json& id) {
  AddedToken token;
  HEADROOM_ASSIGN_OR_RETURN(token.content, StringMember(json, "content"));
  HEADROOM_ASSIGN_OR_RETURN(token.id, ReadTokenId(id, token.content));
  HEADROOM_ASSIGN_OR_RETURN(token.special, BoolMember(json, "special"));
  HEADROOM_ASSIGN_OR_RETURN(token.normalized, BoolMember(json, "normalized"));
  HEADROOM_ASSIGN_OR_RETURN(token.single_word, BoolMember(json, "single_word"));
  HEADROOM_ASSIGN_OR_RETURN(token.lstrip, BoolMember(json, "lstrip"));
  HEADROOM_ASSIGN_OR_RETURN(token.rstrip, BoolMember(json, "rstrip"));
  return token;
}

absl::StatusOr<TokenizerConfig> TokenizerConfig::Parse(const std::string& json) {
  TokenizerConfig config;
  if (json.empty()) return config;
  const nlohmann::json parsed = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::InvalidArgumentError("tokenizer_config.json is not a JSON object");
  if (Member(parsed, "tokenizer_class").is_string()) config.tokenizer_class = Member(parsed, "tokenizer_class");
  const nlohmann::json& tokens = Member(parsed, "added_tokens_decoder");
  if (!tokens.is_null() && !tokens.is_object()) {
    return absl::InvalidArgumentError("tokenizer: \"added_tokens_decoder\" of tokenizer_config.json is not an object");
  }
  for (const auto& [key, value] : tokens.items()) {
    uint64_t id = 0;
    const auto number = std::from_chars(key.data(), key.data() + key.size(), id);
    if (number.ec != std::errc() || number.ptr != key.data() + key.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer: added_tokens_decoder has the id \"", CutText(key, 64), "\""));
    }
    // What transformers takes for flags that are not written.
    const bool special = Member(value, "special") == true;
    nlohmann::json token = {
        {"special", special}, {"normalized", !special}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}};
    if (value.is_object()) token.update(value);
    HEADROOM_ASSIGN_OR_RETURN(AddedToken added, ReadAddedToken(token, id));
    config.added_tokens.push_back(std::move(added));
  }
  std::sort(config.added_tokens.begin(), config.added_tokens.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return config;
}

}  // namespace headroom::model
