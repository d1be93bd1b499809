// The variables that a chat template is given: messages, tools, special tokens.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/text/conversation.h"
#include "model/text/jinja/evaluator.h"

namespace headroom::model {

// What stands for an image inside a text: what the published processor of MiniCPM-V writes. Its bytes carry the number
// of the image as their origin.
inline constexpr char kImagePlaceholder[] = "(<image>./</image>)";

// Written behind the last text of a conversation to find where it ends (continue_final_message), as transformers does;
// the space shows whether the template trims.
inline constexpr char kEndMark[] = "CONTINUE_FINAL_MESSAGE_TAG ";
inline constexpr auto kEndMarkOrigin = static_cast<jinja::Origin>(INT32_MAX);

struct ContextForm {
  bool one_text_as_parts = false;    // the content of a message of one text is a list of parts, not the text
  bool many_texts_as_parts = false;  // and that of several texts
  bool images_as_parts = false;      // a message with images is a list, of them {"type": "image"}; else one text
  bool tools_undefined = false;      // where there are none; else they are none
  bool developer_is_system = false;
};

// INVALID_ARGUMENT naming the message or tool whose JSON is no object, and for what the workspace has no room.
absl::StatusOr<jinja::Evaluator::Variables> MakeContext(
    jinja::Workspace& workspace, const Conversation& conversation,
    const std::vector<std::pair<std::string, std::string>>& special_tokens, const ContextForm& form);

}  // namespace headroom::model
