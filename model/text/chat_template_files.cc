#include "model/text/chat_template_files.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/status.h"
#include "model/chat_template_names.h"
#include "model/files.h"
#include "model/text/json_member.h"

namespace headroom::model {
namespace {

constexpr int64_t kConfigBytesMax = 16 << 20;
constexpr const char* kConfigFile = "tokenizer_config.json";
constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

// The text of the template `name` in the value of chat_template: a text, or a list of named ones.
std::optional<std::string> NamedTemplate(const nlohmann::json& value, const std::string& name) {
  if (value.is_string() && name == "default") return value.get<std::string>();
  if (!value.is_array()) return std::nullopt;
  for (const nlohmann::json& entry : value) {
    const nlohmann::json& text = Member(entry, "template");
    if (Member(entry, "name") == name && text.is_string()) return text.get<std::string>();
  }
  return std::nullopt;
}

// A token is its content, or an object with the content in it.
std::vector<std::pair<std::string, std::string>> SpecialTokens(const nlohmann::json& config) {
  std::vector<std::pair<std::string, std::string>> tokens;
  for (const char* name : kSpecialTokens) {
    const nlohmann::json& token = Member(config, name);
    const nlohmann::json& content = token.is_object() ? Member(token, "content") : token;
    if (content.is_string()) tokens.emplace_back(name, content.get<std::string>());
  }
  return tokens;
}

absl::StatusOr<std::optional<std::string>> ReadTemplate(const std::string& directory, const char* name) {
  return ReadFileIfPresent(directory, name, kChatTemplateBytesMax);
}

absl::StatusOr<std::string> ReadOverride(const std::string& file) {
  const std::filesystem::path path(file);
  HEADROOM_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                            ReadFileIfPresent(path.parent_path().empty() ? "." : path.parent_path().string(),
                                              path.filename().string(), kChatTemplateBytesMax));
  if (text.has_value()) return *text;
  return absl::NotFoundError("model.chat_template: there is no file " + file);
}

}  // namespace

absl::StatusOr<ChatTemplate> LoadChatTemplate(const std::string& directory, const std::string& override_file) {
  HEADROOM_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                            ReadFileIfPresent(directory, kConfigFile, kConfigBytesMax));
  const nlohmann::json config = nlohmann::json::parse(text.value_or("{}"), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::InvalidArgumentError("tokenizer_config.json is not a JSON object");
  ChatTemplateSource source;
  source.special_tokens = SpecialTokens(config);
  if (!override_file.empty()) {
    source.name = "model.chat_template";
    HEADROOM_ASSIGN_OR_RETURN(source.jinja, ReadOverride(override_file));
    return ChatTemplate::Create(source);
  }
  HEADROOM_ASSIGN_OR_RETURN(std::optional<std::string> jinja, ReadTemplate(directory, kChatTemplateFile));
  HEADROOM_ASSIGN_OR_RETURN(source.tool_use, ReadTemplate(directory, kToolUseTemplateFile));
  source.name = kChatTemplateFile;
  if (!jinja.has_value()) {
    const nlohmann::json& templates = Member(config, "chat_template");
    jinja = NamedTemplate(templates, "default");
    if (!source.tool_use.has_value()) source.tool_use = NamedTemplate(templates, "tool_use");
    source.name = kConfigFile;
  }
  if (!jinja.has_value()) {
    return absl::InvalidArgumentError(
        "the model has no chat_template: neither chat_template.jinja nor one called default in tokenizer_config.json; "
        "model.chat_template names a file with one");
  }
  source.jinja = *std::move(jinja);
  return ChatTemplate::Create(source);
}

}  // namespace headroom::model
