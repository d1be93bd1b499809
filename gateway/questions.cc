#include "gateway/questions.h"

#include <utility>
#include <vector>

#include "admission/link/convert.h"
#include "gateway/out_of_range.h"

namespace headroom::gateway {

absl::StatusOr<PreparedRequest> Questions::PrepareInBudget(const v1::GenerateRequest& request, const ServedModel& model,
                                                           const ClusterLimits& limits, Pictures pictures) const {
  HEADROOM_ASSIGN_OR_RETURN(const HostBudget::Share work,
                            parts_.host_budget.Take(PrepareBytes(request, model, limits)));
  return Prepare(request, model, parts_.config, limits, pictures);
}

// A text as it is, without the tokens that a template would put around it.
absl::StatusOr<std::vector<int32_t>> Questions::TextIds(const ServedModel& model, const std::string& text,
                                                        int64_t tokens_max) const {
  if (static_cast<int64_t>(text.size()) > model.tokenizer->TextBytesMax(tokens_max)) {
    return absl::InvalidArgumentError(absl::StrCat("text has more than ", tokens_max, " tokens"));
  }
  HEADROOM_ASSIGN_OR_RETURN(
      const HostBudget::Share work,
      parts_.host_budget.Take(model.tokenizer->work_bytes_per_text_byte() * static_cast<int64_t>(text.size())));
  return model.tokenizer->Encode(text, model::AddedTokens::kNone);
}

absl::StatusOr<v1::TokenizeResponse> Questions::Tokenize(v1::TokenizeRequest& request) const {
  HEADROOM_ASSIGN_OR_RETURN(const ServedModel* const model, parts_.models.Find(request.model()));
  HEADROOM_ASSIGN_OR_RETURN(const ClusterLimits limits, parts_.cluster.Limits(*model));
  if (request.has_text() == (request.messages_size() > 0)) {
    return absl::InvalidArgumentError("either text or messages must be given");
  }
  std::vector<int32_t> ids;
  if (request.has_text()) {
    HEADROOM_ASSIGN_OR_RETURN(ids, TextIds(*model, request.text(), limits.max_model_len));
  } else {
    v1::GenerateRequest conversation;
    conversation.mutable_messages()->Swap(request.mutable_messages());
    conversation.mutable_tools()->Swap(request.mutable_tools());
    conversation.set_template_arguments_json(request.template_arguments_json());
    conversation.set_continue_final_message(request.continue_final_message());
    if (request.has_add_generation_prompt()) {
      conversation.set_add_generation_prompt(request.add_generation_prompt());
    }
    HEADROOM_ASSIGN_OR_RETURN(PreparedRequest prepared,
                              PrepareInBudget(conversation, *model, limits, Pictures::kInBytes));
    ids = std::move(prepared.prompt_ids);
  }
  v1::TokenizeResponse response;
  response.set_max_model_len(limits.max_model_len);
  response.mutable_tokens()->Assign(ids.begin(), ids.end());
  if (!request.token_texts()) return response;
  for (const int32_t id : ids) response.add_token_texts(std::string(model->tokenizer->TokenBytes(id)));
  return response;
}

absl::StatusOr<v1::DetokenizeResponse> Questions::Detokenize(const v1::DetokenizeRequest& request) const {
  HEADROOM_ASSIGN_OR_RETURN(const ServedModel* const model, parts_.models.Find(request.model()));
  if (request.tokens_size() > kDetokenizeIdsMax) {
    return OutOfRange("the number of tokens", request.tokens_size(), absl::StrCat("at most ", kDetokenizeIdsMax));
  }
  for (const int32_t id : request.tokens()) {
    if (id >= 0 && id < model->tokenizer->vocab_size()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("token ", id, " is none of the vocabulary, which has ", model->tokenizer->vocab_size()));
  }
  const std::vector<int32_t> ids(request.tokens().begin(), request.tokens().end());
  v1::DetokenizeResponse response;
  response.set_text(model->tokenizer->Decode(ids, /*skip_special=*/false));
  return response;
}

absl::StatusOr<v1::PriceResponse> Questions::Price(const v1::GenerateRequest& request) const {
  HEADROOM_ASSIGN_OR_RETURN(const ServedModel* const model, parts_.models.Find(request.model()));
  HEADROOM_ASSIGN_OR_RETURN(const ClusterLimits limits, parts_.cluster.Limits(*model));
  HEADROOM_ASSIGN_OR_RETURN(const PreparedRequest prepared,
                            PrepareInBudget(request, *model, limits, Pictures::kInBytesOrSizes));
  v1::PriceResponse response;
  response.set_model(model->name);
  *response.mutable_usage() = prepared.usage;
  response.set_max_tokens(prepared.max_tokens);
  response.set_max_model_len(limits.max_model_len);
  const v1::Price price = admission::ToProto(prepared.price);
  if (price.has_vision()) *response.mutable_vision() = price.vision();
  if (price.has_llm()) *response.mutable_llm() = price.llm();
  return response;
}

}  // namespace headroom::gateway
