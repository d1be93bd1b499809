#include "gateway/openai/embed_call.h"

#include <utility>

#include "gateway/openai/errors.h"
#include "gateway/openai/fields.h"
#include "gateway/openai/models.h"

namespace headroom::gateway::openai {

EmbedCall::EmbedCall(const AnswerCall::Parts& parts, std::shared_ptr<http::Request> request,
                     std::shared_ptr<http::Exchange> exchange)
    : parts_(parts),
      request_(std::move(request)),
      exchange_(std::move(exchange)),
      began_(std::chrono::steady_clock::now()) {}

absl::Status EmbedCall::Read(v1::EmbedRequest* request) {
  request->set_request_id(request_->id);
  const std::string text = std::exchange(request_->body, {});
  HEADROOM_ASSIGN_OR_RETURN(bytes_, parts_.host_budget.Take(JsonBytes(text)));
  HEADROOM_ASSIGN_OR_RETURN(Json body, ParseJson(text));
  HEADROOM_RETURN_IF_ERROR(CheckFields(EmbeddingsShape(), body, parts_.unknown_fields, &ignored_));
  EncodingFormat format = EncodingFormat::kFloat;
  HEADROOM_RETURN_IF_ERROR(ReadEmbeddingsRequest(body, request_->id, request, &format));
  HEADROOM_ASSIGN_OR_RETURN(const ServedModel* const model, FindModel(parts_.models, request->model()));
  head_.model = model->name;
  answer_.emplace(head_, format);
  return absl::OkStatus();
}

void EmbedCall::Granted() { queued_ = Since(began_); }

void EmbedCall::Piece(const v1::EmbedResponse& piece, Taken taken) {
  if (!std::exchange(streaming_, true)) {
    exchange_->BeginStream(200, AnswerHeaders("application/json", began_, queued_, head_.model, ignored_));
  }
  exchange_->Chunk(answer_->Piece(piece), std::move(taken));
}

void EmbedCall::End(const absl::Status& status) {
  // Once the head is out a failure shows by the missing end of the message.
  if (streaming_) return exchange_->EndStream(status.ok());
  ErrorAnswer error = ToHttp(status);
  exchange_->Respond({error.status, std::move(error.headers), std::move(error.body)});
}

}  // namespace headroom::gateway::openai
