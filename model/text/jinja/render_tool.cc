// Renders templates for tests: reads lines {"template": …, "context": {…}, "now": seconds} from standard input, writes
// a line {"text": …, "runs": [[end, origin], …]} or {"error": …} for each. A string of the context is the caller's.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>

#include "model/text/jinja/json.h"
#include "model/text/jinja/template.h"

namespace headroom::model::jinja {
namespace {

absl::StatusOr<MarkedText> Render(const Template& chat, const std::string& context_json, int64_t now) {
  Allowance allowance{Limits{}};
  Workspace workspace(&allowance);
  HEADROOM_ASSIGN_OR_RETURN(const Value context, ReadJson(workspace, context_json, Origin::kCaller));
  if (!context.IsDict()) return absl::InvalidArgumentError("the context is no object");
  Evaluator::Variables variables;
  for (const auto& [name, value] : context.dict().items) variables.emplace_back(name.text().bytes(), value);
  Runtime runtime{workspace, now};
  return chat.Render(runtime, variables);
}

nlohmann::ordered_json Answer(const nlohmann::ordered_json& request,
                              std::unordered_map<std::string, absl::StatusOr<Template>>* parsed) {
  const std::string source = request.at("template");
  const auto [chat, unused] = parsed->try_emplace(source, Template::Parse(source));
  if (!chat->second.ok()) return {{"error", std::string(chat->second.status().message())}};
  const auto text = Render(*chat->second, request.at("context").dump(), request.value("now", int64_t{0}));
  if (!text.ok()) return {{"error", std::string(text.status().message())}};
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const OriginRun& run : text->runs()) runs.push_back({run.end, static_cast<int32_t>(run.origin)});
  return {{"text", text->bytes()}, {"runs", std::move(runs)}};
}

}  // namespace
}  // namespace headroom::model::jinja

int main() {
  std::unordered_map<std::string, absl::StatusOr<headroom::model::jinja::Template>> parsed;
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << headroom::model::jinja::Answer(nlohmann::ordered_json::parse(line), &parsed).dump() << std::endl;
  }
  return 0;
}
