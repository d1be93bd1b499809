// Where a model directory has its chat template.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/text/chat_template.h"

namespace headroom::model {

// `override_file`, when it is not empty; else chat_template.jinja; else chat_template of tokenizer_config.json, a text
// or a list of named ones. A template named tool_use, in that list or in additional_chat_templates/, is for
// conversations with tools. INVALID_ARGUMENT when there is none, NOT_FOUND when override_file does not exist.
absl::StatusOr<ChatTemplate> LoadChatTemplate(const std::string& directory, const std::string& override_file);

}  // namespace headroom::model
