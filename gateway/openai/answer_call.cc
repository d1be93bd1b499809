#include "gateway/openai/answer_call.h"

#include <ctime>
#include <utility>

#include "absl/strings/str_join.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/models.h"

namespace headroom::gateway::openai {
namespace {

// Names the build of the model as OpenAI does its own.
std::string ShortFingerprint(const ServedModel& model) { return "fp_" + model.fingerprint.substr(0, 12); }

}  // namespace

std::chrono::milliseconds Since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
}

http::Headers AnswerHeaders(const char* content_type, std::chrono::steady_clock::time_point began,
                            std::chrono::milliseconds queued, const std::string& model,
                            const std::vector<std::string>& ignored) {
  http::Headers headers = {{"content-type", content_type},
                           {"openai-processing-ms", absl::StrCat(Since(began).count())},
                           {"x-headroom-queue-ms", absl::StrCat(queued.count())}};
  if (!model.empty()) headers.emplace_back("x-headroom-model", model);
  if (!ignored.empty()) headers.emplace_back("x-headroom-ignored", absl::StrJoin(ignored, ", "));
  return headers;
}

AnswerCall::AnswerCall(const Parts& parts, const Endpoint& endpoint, std::shared_ptr<http::Request> request,
                       std::shared_ptr<http::Exchange> exchange)
    : parts_(parts),
      endpoint_(endpoint),
      request_(std::move(request)),
      exchange_(std::move(exchange)),
      began_(std::chrono::steady_clock::now()) {}

absl::Status AnswerCall::Read(v1::GenerateRequest* request) {
  request->set_request_id(request_->id);
  const std::string text = std::exchange(request_->body, {});
  HEADROOM_ASSIGN_OR_RETURN(bytes_, parts_.host_budget.Take(JsonBytes(text)));
  HEADROOM_ASSIGN_OR_RETURN(Json body, ParseJson(text));
  HEADROOM_RETURN_IF_ERROR(CheckFields(endpoint_.shape(), body, parts_.unknown_fields, &ignored_));
  HEADROOM_ASSIGN_OR_RETURN(reading_, endpoint_.read(body, request_->id, request));
  HEADROOM_ASSIGN_OR_RETURN(const ServedModel* const model, FindModel(parts_.models, request->model()));
  reading_.format->SetHead({.request_id = request->request_id(),
                            .model = model->name,
                            .fingerprint = ShortFingerprint(*model),
                            .created = static_cast<int64_t>(std::time(nullptr))});
  return absl::OkStatus();
}

http::Headers AnswerCall::OwnHeaders(const char* content_type) const {
  const std::string model = reading_.format == nullptr ? "" : reading_.format->head().model;
  return AnswerHeaders(content_type, began_, queued_, model, ignored_);
}

void AnswerCall::Granted() {
  queued_ = Since(began_);
  if (!reading_.stream) return;
  streaming_ = true;
  http::Headers headers = OwnHeaders("text/event-stream; charset=utf-8");
  headers.emplace_back("cache-control", "no-store");
  exchange_->BeginStream(200, std::move(headers));
  begin_ = reading_.format->Begin();
}

void AnswerCall::Piece(const v1::GenerateResponse& piece, Taken taken) {
  if (!streaming_) {
    whole_.Add(piece);
    taken(true);
    return;
  }
  std::string events = std::exchange(begin_, {}) + reading_.format->Piece(piece);
  if (events.empty()) return taken(true);
  exchange_->Chunk(std::move(events), std::move(taken));
}

void AnswerCall::End(const absl::Status& ended) {
  const absl::Status status = InWordsOf(endpoint_, ended);
  if (streaming_) {
    std::string last = std::exchange(begin_, {});
    last += status.ok() ? reading_.format->End() : reading_.format->Failed(ErrorBody(status));
    exchange_->Chunk(std::move(last), [exchange = exchange_, complete = status.ok()](bool taken) {
      exchange->EndStream(taken && complete);
    });
    return;
  }
  if (status.ok()) {
    exchange_->Respond({200, OwnHeaders("application/json"), reading_.format->Whole(whole_.Take())});
    return;
  }
  ErrorAnswer error = ToHttp(status);
  exchange_->Respond({error.status, std::move(error.headers), std::move(error.body)});
}

}  // namespace headroom::gateway::openai
