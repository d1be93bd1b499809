// Rendering in one line, for tests.
#pragma once

#include <string>
#include <utility>

#include "model/text/jinja/json.h"
#include "model/text/jinja/template.h"

namespace headroom::model::jinja {

// Every string of the context is the caller's; the clock stands at 0.
inline absl::StatusOr<MarkedText> RenderMarked(const std::string& source, const std::string& context_json,
                                               const Limits& limits = {}) {
  HEADROOM_ASSIGN_OR_RETURN(const Template parsed, Template::Parse(source));
  Allowance allowance(limits);
  Workspace workspace(&allowance);
  HEADROOM_ASSIGN_OR_RETURN(const Value context, ReadJson(workspace, context_json, Origin::kCaller));
  Evaluator::Variables variables;
  for (const auto& [name, value] : context.dict().items) variables.emplace_back(name.text().bytes(), value);
  Runtime runtime{workspace, 0};
  return parsed.Render(runtime, variables);
}

// The text, or "ERROR " and the message.
inline std::string Rendered(const std::string& source, const std::string& context_json, const Limits& limits = {}) {
  const absl::StatusOr<MarkedText> text = RenderMarked(source, context_json, limits);
  return text.ok() ? text->bytes() : "ERROR " + std::string(text.status().message());
}

}  // namespace headroom::model::jinja
