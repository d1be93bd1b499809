#include "gateway/constraint.h"

#include <charconv>
#include <string_view>
#include <utility>

#include "common/field_error.h"
#include "gateway/call_text.h"
#include "model/structured/structured_text.h"
#include "model/structured/token_grammar.h"

namespace headroom::gateway {
namespace {

absl::Status Invalid(const std::string& message) { return absl::InvalidArgumentError(message); }

// What ends an answer wherever its text stands, or keeps it from ending where the text is whole.
absl::Status CheckEnds(const v1::GenerateRequest& request, const std::string& field) {
  const std::pair<const char*, bool> ends[] = {{"stop", request.stop_size() > 0},
                                               {"stop_token_ids", request.stop_token_ids_size() > 0},
                                               {"min_tokens", request.min_tokens() != 0},
                                               {"ignore_eos", request.ignore_eos()}};
  for (const auto& [name, given] : ends) {
    if (given) return FieldError(name, Invalid(absl::StrCat(field, " excludes it: the text ends where it is whole")));
  }
  return absl::OkStatus();
}

// Refused schemas of several tools name a place in the schema of all (call_text.cc): whose it is.
absl::Status AtTool(const absl::Status& refused) {
  constexpr std::string_view kRoot = "/$defs/tool";
  std::string message(refused.message());
  const size_t at = message.find(kRoot);
  int tool = 0;
  if (at == std::string::npos) return FieldError("tools", refused);
  const char* const digits = message.data() + at + kRoot.size();
  const auto [end, error] = std::from_chars(digits, message.data() + message.size(), tool);
  if (error != std::errc()) return FieldError("tools", refused);
  message.erase(at, static_cast<size_t>(end - message.data()) - at);
  return FieldError(absl::StrCat("tools[", tool, "].parameters_json"), absl::Status(refused.code(), message));
}

absl::StatusOr<std::optional<Constraint>> OfForcedCall(const v1::GenerateRequest& request, std::string schema) {
  const absl::StatusOr<model::TextGrammar> gate = model::GrammarOfSchema(schema);
  if (!gate.ok()) {
    const int only = ForcedTool(request);
    return only < 0 ? AtTool(gate.status())
                    : FieldError(absl::StrCat("tools[", only, "].parameters_json"), gate.status());
  }
  Constraint constraint{.grammar = {}, .shortest = gate->shortest, .field = "tool_choice"};
  constraint.grammar.set_json_schema(std::move(schema));
  return constraint;
}

absl::StatusOr<std::optional<Constraint>> OfResponseFormat(const v1::ResponseFormat& format) {
  Constraint constraint{.grammar = {}, .shortest = {}, .field = "response_format"};
  absl::StatusOr<model::TextGrammar> gate;
  switch (format.format_case()) {
    case v1::ResponseFormat::kJsonObject:
      if (!format.json_object()) return FieldError("response_format.json_object", Invalid("must be true, or absent"));
      gate = model::GrammarOfObjects();
      constraint.grammar.set_json_object(true);
      break;
    case v1::ResponseFormat::kJsonSchema:
      gate = model::GrammarOfSchema(format.json_schema());
      constraint.grammar.set_json_schema(format.json_schema());
      break;
    default:
      return FieldError("response_format", Invalid("has neither json_object nor json_schema"));
  }
  if (!gate.ok()) return FieldError("response_format.json_schema", gate.status());
  constraint.shortest = std::move(gate->shortest);
  return constraint;
}

}  // namespace

absl::StatusOr<std::optional<Constraint>> ResolveConstraint(const v1::GenerateRequest& request,
                                                            const ServedModel& model) {
  HEADROOM_ASSIGN_OR_RETURN(std::optional<std::string> call, ForcedCallSchema(request));
  if (!call && !request.has_response_format()) return std::nullopt;
  const std::string field = call ? "tool_choice" : "response_format";
  if (!model.constrains) {
    return FieldError(field, Invalid(absl::StrCat("this build of Headroom cannot hold answers to a schema: ",
                                                  model::TokenGrammarCompiler::HowToGetIt())));
  }
  HEADROOM_RETURN_IF_ERROR(CheckEnds(request, field));
  // A format says how a text is, and here there is none.
  if (call) return OfForcedCall(request, *std::move(call));
  if (!request.tools().empty() && request.tool_choice().mode() != v1::ToolChoice::NONE) {
    return FieldError(field, Invalid("excludes tools that the model may call or not: tool_choice must be NONE or force "
                                     "a call"));
  }
  return OfResponseFormat(request.response_format());
}

bool BeginBehindThoughts(const ServedModel& model, Constraint* constraint) {
  const std::optional<int32_t> end = model.tokenizer->TokenId(model.answer_syntax.reasoning_end);
  if (!end) return false;
  constraint->grammar.add_after_ids(*end);
  return true;
}

absl::Status CheckRoomForText(const Constraint& constraint, const ServedModel& model, int64_t max_tokens) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                            model.tokenizer->Encode(constraint.shortest, model::AddedTokens::kNone));
  const auto tokens = static_cast<int64_t>(ids.size()) + constraint.grammar.after_ids_size();
  if (tokens <= max_tokens) return absl::OkStatus();
  return FieldError("max_tokens", Invalid(absl::StrCat("is ", max_tokens, "; the shortest answer that ",
                                                       constraint.field, " allows has ", tokens, " tokens")));
}

int64_t ConstraintBytes(const v1::GenerateRequest& request) {
  constexpr int64_t kGateBytes = int64_t{48} << 20;  // the largest that was seen took 31 MiB
  return request.has_response_format() || IsForced(request.tool_choice()) ? kGateBytes : 0;
}

}  // namespace headroom::gateway
