// What a tokenizer_config.json says about ids. (Its chat template is read by chat_template.h.)
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/text/added_tokens.h"

namespace headroom::model {

struct TokenizerConfig {
  std::string tokenizer_class;
  std::vector<AddedToken> added_tokens;  // "added_tokens_decoder", by id

  // An empty `json` is an empty config. Errors: INVALID_ARGUMENT.
  static absl::StatusOr<TokenizerConfig> Parse(const std::string& json);
};

// An id from 0 to Tokenizer::kTokenIdMax; `token` is named in the error.
absl::StatusOr<int32_t> ReadTokenId(const nlohmann::json& value, const std::string& token);

// The content and flags of an added token, all of which must be there. Its id is `id`.
absl::StatusOr<AddedToken> ReadAddedToken(const nlohmann::json& json, const nlohmann::json& id);

}  // namespace headroom::model
