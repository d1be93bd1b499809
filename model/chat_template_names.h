// The files of a model directory that hold chat templates.
#pragma once

#include <cstdint>

namespace headroom::model {

inline constexpr const char* kChatTemplateFile = "chat_template.jinja";
inline constexpr const char* kToolUseTemplateFile = "additional_chat_templates/tool_use.jinja";
inline constexpr int64_t kChatTemplateBytesMax = 1 << 20;

}  // namespace headroom::model
