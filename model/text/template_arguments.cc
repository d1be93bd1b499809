#include "model/text/template_arguments.h"

#include <algorithm>
#include <string_view>

#include "common/status.h"
#include "common/utf8.h"
#include "model/text/jinja/json.h"

namespace headroom::model {
namespace {

using jinja::Value;

constexpr size_t kJsonBytesMax = 4096;
constexpr size_t kTextBytesMax = 64;

bool HasType(const Value& value, std::string_view type) {
  if (type == "boolean") return value.Is<bool>();
  if (type == "integer") return value.Is<int64_t>();
  return value.IsText();
}

absl::Status CheckValue(const Value& value, std::string_view type) {
  const auto must = [](const std::string& what) { return absl::InvalidArgumentError("must be " + what); };
  if (!HasType(value, type)) return must(absl::StrCat("a value of the type ", std::string(type)));
  if (value.Is<int64_t>() && (value.integer() < -1 || value.integer() > INT32_MAX)) {
    return must(absl::StrCat("in [-1, ", INT32_MAX, "], and is ", value.integer()));
  }
  if (value.IsText() && value.text().size() > kTextBytesMax) {
    return must(absl::StrCat("at most ", kTextBytesMax, " bytes, and has ", value.text().size()));
  }
  return absl::OkStatus();
}

absl::Status CheckArgument(const std::string& name, const Value& value, const jinja::Template& jinja) {
  const auto known = std::ranges::find(TemplateArguments(), name, &TemplateArgument::name);
  if (known != TemplateArguments().end()) {
    HEADROOM_RETURN_IF_ERROR(CheckValue(value, known->type));
    if (jinja.Reads(name)) return absl::OkStatus();
    return absl::InvalidArgumentError("the model's chat template does not read it");
  }
  std::string names;
  for (const TemplateArgument& argument : TemplateArguments()) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", argument.name);
  }
  return absl::InvalidArgumentError("is not among what may be told to a template: " + names);
}

}  // namespace

// Read by templates of, in this order: Qwen3, GLM; DeepSeek-V3.1, Kimi; gpt-oss, Mistral; Seed-OSS; GLM-4.7; Qwen3.5;
// DeepSeek-V3.2.
const std::vector<TemplateArgument>& TemplateArguments() {
  static const std::vector<TemplateArgument> arguments = {
      {"enable_thinking", "boolean"}, {"thinking", "boolean"},       {"reasoning_effort", "string"},
      {"thinking_budget", "integer"}, {"clear_thinking", "boolean"}, {"preserve_thinking", "boolean"},
      {"thinking_mode", "string"},
  };
  return arguments;
}

absl::StatusOr<jinja::Evaluator::Variables> ReadTemplateArguments(jinja::Workspace& workspace,
                                                                  const jinja::Template& jinja, const std::string& json,
                                                                  std::string* culprit) {
  jinja::Evaluator::Variables variables;
  if (json.empty()) return variables;
  if (json.size() > kJsonBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("has ", json.size(), " bytes, the limit is ", kJsonBytesMax));
  }
  HEADROOM_ASSIGN_OR_RETURN(const Value object, jinja::ReadJson(workspace, json, jinja::Origin::kCaller));
  if (!object.IsDict()) return absl::InvalidArgumentError("is no JSON object");
  for (const auto& [key, value] : object.dict().items) {
    const std::string& name = key.text().bytes();
    *culprit = CutText(name, 64);
    HEADROOM_RETURN_IF_ERROR(CheckArgument(name, value, jinja));
    variables.emplace_back(name, value);
  }
  return variables;
}

}  // namespace headroom::model
