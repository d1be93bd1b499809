#include "gateway/openai/questions.h"

#include <utility>
#include <vector>

#include "gateway/openai/chat_request.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/models.h"

namespace headroom::gateway::openai {
namespace {

// A bad value is that of the only field that it can be about; whatever else failed is about none.
absl::Status AboutField(const std::string& param, const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? AtField(param, status) : status;
}

absl::StatusOr<Json> Tokenize(const QuestionParts& parts, const std::string& model, Json& body) {
  v1::TokenizeRequest request;
  request.set_model(model);
  const bool with_messages = Find(body, "messages") != nullptr;
  const bool with_text = Find(body, "prompt") != nullptr;
  if (with_messages == with_text) {
    return RequestError("missing_required_parameter", "prompt", "either prompt or messages must be given");
  }
  request.set_token_texts(BooleanOr(body, "return_token_strs", false));
  if (with_text) {
    request.set_text(TakeString(body, "prompt"));
  } else {
    v1::GenerateRequest conversation;
    HEADROOM_RETURN_IF_ERROR(ReadConversation(body, &conversation));
    request.mutable_messages()->Swap(conversation.mutable_messages());
    request.mutable_tools()->Swap(conversation.mutable_tools());
    request.set_template_arguments_json(conversation.template_arguments_json());
    request.set_continue_final_message(conversation.continue_final_message());
    if (conversation.has_add_generation_prompt()) {
      request.set_add_generation_prompt(conversation.add_generation_prompt());
    }
  }
  const absl::StatusOr<v1::TokenizeResponse> tokens = parts.questions.Tokenize(request);
  if (!tokens.ok()) return with_text ? AboutField("prompt", tokens.status()) : tokens.status();
  Json answer = {{"count", tokens->tokens_size()}, {"max_model_len", tokens->max_model_len()}};
  answer["tokens"] = std::vector<int32_t>(tokens->tokens().begin(), tokens->tokens().end());
  if (!request.token_texts()) return answer;
  answer["token_strs"] = std::vector<std::string>(tokens->token_texts().begin(), tokens->token_texts().end());
  return answer;
}

absl::StatusOr<Json> Detokenize(const QuestionParts& parts, const std::string& model, const Json& body) {
  v1::DetokenizeRequest request;
  request.set_model(model);
  for (const Json& token : *Find(body, "tokens")) {
    const auto id = token.get<int64_t>();
    if (id < 0 || id > INT32_MAX) {
      return RequestError("invalid_value", "tokens", absl::StrCat("tokens: ", id, " is no token"));
    }
    request.add_tokens(static_cast<int32_t>(id));
  }
  const absl::StatusOr<v1::DetokenizeResponse> text = parts.questions.Detokenize(request);
  if (!text.ok()) return AboutField("tokens", text.status());
  return Json{{"prompt", text->text()}};
}

Json ResourcesJson(const v1::Resources& resources) {
  Json json = Json::object();
  for (const auto& [name, value] : {std::pair("slots", resources.slots()),
                                    {"kv_blocks", resources.kv_blocks()},
                                    {"patches", resources.patches()},
                                    {"embedding_bytes", resources.embedding_bytes()},
                                    {"host_bytes", resources.host_bytes()}}) {
    if (value != 0) json[name] = value;
  }
  return json;
}

absl::StatusOr<Json> PriceOf(const QuestionParts& parts, const std::string& model, Json& body) {
  v1::GenerateRequest request;
  AnswerOptions options;
  HEADROOM_RETURN_IF_ERROR(ReadChatRequest(body, "", &request, &options));
  request.set_model(model);
  HEADROOM_ASSIGN_OR_RETURN(const v1::PriceResponse priced, parts.questions.Price(request));
  Json price = Json::object();
  if (priced.has_vision()) price["vision"] = ResourcesJson(priced.vision());
  if (priced.has_llm()) price["llm"] = ResourcesJson(priced.llm());
  return Json{{"object", "headroom.price"},
              {"model", priced.model()},
              {"prompt_tokens", priced.usage().prompt_tokens()},
              {"image_tokens", priced.usage().image_tokens()},
              {"images", priced.usage().images()},
              {"pieces", priced.usage().pieces()},
              {"max_tokens", priced.max_tokens()},
              {"max_model_len", priced.max_model_len()},
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
      return Tokenize(parts, model->name, body);
    case Action::kDetokenize:
      return Detokenize(parts, model->name, body);
    case Action::kPrice:
      return PriceOf(parts, model->name, body);
    default:
      return absl::InternalError("no question");
  }
}

}  // namespace headroom::gateway::openai
