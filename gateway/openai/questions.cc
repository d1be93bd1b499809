#include "gateway/openai/questions.h"

#include <utility>
#include <vector>

#include "gateway/openai/chat_request.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/models.h"
#include "gateway/prepare.h"

namespace headroom::gateway::openai {
namespace {

absl::StatusOr<PreparedRequest> PrepareBody(const QuestionParts& parts, const v1::GenerateRequest& request,
                                            const ServedModel& model, const ClusterLimits& limits) {
  HEADROOM_ASSIGN_OR_RETURN(const HostBudget::Share work, parts.host_budget.Take(PrepareBytes(request, model, limits)));
  return Prepare(request, model, parts.config, limits);
}

// A text as it is, without the tokens that a template would put around it.
absl::StatusOr<std::vector<int32_t>> TextIds(const QuestionParts& parts, const ServedModel& model,
                                             const std::string& text, int64_t tokens_max) {
  if (static_cast<int64_t>(text.size()) > model.tokenizer->TextBytesMax(tokens_max)) {
    return RequestError("invalid_value", "prompt", absl::StrCat("prompt has more than ", tokens_max, " tokens"));
  }
  HEADROOM_ASSIGN_OR_RETURN(
      const HostBudget::Share work,
      parts.host_budget.Take(model.tokenizer->work_bytes_per_text_byte() * static_cast<int64_t>(text.size())));
  return model.tokenizer->Encode(text, model::AddedTokens::kNone);
}

absl::StatusOr<Json> Tokenize(const QuestionParts& parts, const ServedModel& model, Json& body) {
  HEADROOM_ASSIGN_OR_RETURN(const ClusterLimits limits, parts.cluster.Limits(model));
  const bool with_messages = Find(body, "messages") != nullptr;
  const bool with_text = Find(body, "prompt") != nullptr;
  if (with_messages == with_text) {
    return RequestError("missing_required_parameter", "prompt", "either prompt or messages must be given");
  }
  const bool texts = BooleanOr(body, "return_token_strs", false);
  std::vector<int32_t> ids;
  if (with_text) {
    HEADROOM_ASSIGN_OR_RETURN(ids, TextIds(parts, model, TakeString(body, "prompt"), limits.max_model_len));
  } else {
    v1::GenerateRequest request;
    HEADROOM_RETURN_IF_ERROR(ReadConversation(body, &request));
    HEADROOM_ASSIGN_OR_RETURN(PreparedRequest prepared, PrepareBody(parts, request, model, limits));
    ids = std::move(prepared.prompt_ids);
  }
  Json answer = {{"count", ids.size()}, {"max_model_len", limits.max_model_len}, {"tokens", ids}};
  if (!texts) return answer;
  Json& strings = answer["token_strs"] = Json::array();
  for (const int32_t id : ids) strings.push_back(std::string(model.tokenizer->TokenBytes(id)));
  return answer;
}

absl::StatusOr<Json> Detokenize(const ServedModel& model, const Json& body) {
  std::vector<int32_t> ids;
  for (const Json& token : *Find(body, "tokens")) {
    const auto id = token.get<int64_t>();
    if (id < 0 || id >= model.tokenizer->vocab_size()) {
      return RequestError(
          "invalid_value", "tokens",
          absl::StrCat("tokens: ", id, " is no token; the vocabulary has ", model.tokenizer->vocab_size()));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return Json{{"prompt", model.tokenizer->Decode(ids, /*skip_special=*/false)}};
}

Json ResourcesJson(const admission::Resources& resources) {
  Json json = Json::object();
  for (const auto& [name, value] : {std::pair("slots", resources.slots),
                                    {"kv_blocks", resources.kv_blocks},
                                    {"patches", resources.patches},
                                    {"embedding_bytes", resources.embedding_bytes},
                                    {"host_bytes", resources.host_bytes}}) {
    if (value != 0) json[name] = value;
  }
  return json;
}

absl::StatusOr<Json> PriceOf(const QuestionParts& parts, const ServedModel& model, Json& body) {
  HEADROOM_ASSIGN_OR_RETURN(const ClusterLimits limits, parts.cluster.Limits(model));
  v1::GenerateRequest request;
  AnswerOptions options;
  HEADROOM_RETURN_IF_ERROR(ReadChatRequest(body, "", &request, &options));
  HEADROOM_ASSIGN_OR_RETURN(const PreparedRequest prepared, PrepareBody(parts, request, model, limits));
  Json price = Json::object();
  if (prepared.price.vision) price["vision"] = ResourcesJson(*prepared.price.vision);
  if (prepared.price.llm) price["llm"] = ResourcesJson(*prepared.price.llm);
  return Json{{"object", "headroom.price"},
              {"model", model.name},
              {"prompt_tokens", prepared.usage.prompt_tokens()},
              {"image_tokens", prepared.usage.image_tokens()},
              {"images", prepared.usage.images()},
              {"pieces", prepared.usage.pieces()},
              {"max_tokens", prepared.max_tokens},
              {"max_model_len", limits.max_model_len},
              {"price", std::move(price)}};
}

}  // namespace

absl::StatusOr<Json> AnswerQuestion(const QuestionParts& parts, const Endpoint& endpoint, const std::string& text) {
  HEADROOM_ASSIGN_OR_RETURN(const HostBudget::Share bytes, parts.host_budget.Take(JsonBytes(text)));
  HEADROOM_ASSIGN_OR_RETURN(Json body, ParseJson(text));
  std::vector<std::string> ignored;
  HEADROOM_RETURN_IF_ERROR(CheckFields(endpoint.shape(), body, parts.unknown_fields, &ignored));
  HEADROOM_ASSIGN_OR_RETURN(const ServedModel* const model, FindModel(parts.models, TakeString(body, "model")));
  switch (endpoint.action) {
    case Action::kTokenize:
      return Tokenize(parts, *model, body);
    case Action::kDetokenize:
      return Detokenize(*model, body);
    case Action::kPrice:
      return PriceOf(parts, *model, body);
    default:
      return absl::InternalError("no question");
  }
}

}  // namespace headroom::gateway::openai
