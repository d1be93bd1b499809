// Renders templates for tests: reads lines {"template": …, "context": {…}, "now": seconds} from standard input, writes
// a line {"text": …, "runs": [[end, origin], …]} or {"error": …} for each. A string of the context is the caller's.
// {"template": …, "load": true}: whether a model with this chat template is served, {} or {"error": …}.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>

#include "model/text/chat_template.h"
#include "model/text/jinja/json.h"
#include "model/text/jinja/template.h"

namespace headroom::model {
namespace {

using jinja::MarkedText;
using jinja::Origin;
using jinja::Template;

absl::StatusOr<MarkedText> Render(const Template& chat, const std::string& context_json, int64_t now) {
  jinja::Allowance allowance{jinja::Limits{}};
  jinja::Workspace workspace(&allowance);
  HEADROOM_ASSIGN_OR_RETURN(const jinja::Value context, jinja::ReadJson(workspace, context_json, Origin::kCaller));
  if (!context.IsDict()) return absl::InvalidArgumentError("the context is no object");
  jinja::Evaluator::Variables variables;
  for (const auto& [name, value] : context.dict().items) variables.emplace_back(name.text().bytes(), value);
  jinja::Runtime runtime{workspace, now};
  return chat.Render(runtime, variables);
}

nlohmann::ordered_json Answer(const nlohmann::ordered_json& request,
                              std::unordered_map<std::string, absl::StatusOr<Template>>* parsed) {
  const std::string source = request.at("template");
  if (request.contains("load")) {
    const auto chat = ChatTemplate::Create({.name = "template",
                                            .jinja = source,
                                            .tool_use = {},
                                            .special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}}});
    if (chat.ok()) return nlohmann::ordered_json::object();
    return {{"error", std::string(chat.status().message())}};
  }
  const auto [chat, unused] = parsed->try_emplace(source, Template::Parse(source));
  if (!chat->second.ok()) return {{"error", std::string(chat->second.status().message())}};
  const auto text = Render(*chat->second, request.at("context").dump(), request.value("now", int64_t{0}));
  if (!text.ok()) return {{"error", std::string(text.status().message())}};
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const jinja::OriginRun& run : text->runs()) runs.push_back({run.end, static_cast<int32_t>(run.origin)});
  return {{"text", text->bytes()}, {"runs", std::move(runs)}};
}

}  // namespace
}  // namespace headroom::model

int main() {
  std::unordered_map<std::string, absl::StatusOr<headroom::model::jinja::Template>> parsed;
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << headroom::model::Answer(nlohmann::ordered_json::parse(line), &parsed).dump() << std::endl;
  }
  return 0;
}
