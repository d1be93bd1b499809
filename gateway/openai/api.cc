#include "gateway/openai/api.h"

#include <ctime>
#include <utility>

#include "common/version.h"
#include "gateway/openai/embed_call.h"
#include "gateway/openai/endpoints.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/models.h"
#include "gateway/openai/questions.h"
#include "gateway/openai/reference.h"

namespace headroom::gateway::openai {
namespace {

// A body lies here as it came, as a document and decoded; what many small values cost is charged when they are counted.
constexpr int kBytesPerBodyByte = 2;

http::Answer ToAnswer(ErrorAnswer error) { return {error.status, std::move(error.headers), std::move(error.body)}; }

http::Answer ToAnswer(const absl::StatusOr<Json>& json) {
  if (!json.ok()) return ToAnswer(ToHttp(json.status()));
  return {200, {{"content-type", "application/json"}}, WriteJson(*json)};
}

// Percent signs decoded; what is no such code stays.
std::string Decoded(std::string_view text) {
  std::string decoded;
  const auto digit = [&](size_t i) {
    return i < text.size() ? std::string_view("0123456789abcdef").find(static_cast<char>(text[i] | 0x20))
                           : std::string_view::npos;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t high = text[i] == '%' ? digit(i + 1) : std::string_view::npos;
    const size_t low = text[i] == '%' ? digit(i + 2) : std::string_view::npos;
    if (high < 16 && low < 16) {
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

}  // namespace

Api::Api(const Parts& parts)
    : parts_(parts),
      questions_({parts.config, parts.models, parts.cluster, parts.host_budget}),
      started_(static_cast<int64_t>(std::time(nullptr))),
      open_api_(WriteJson(OpenApi(kVersion))),
      unknown_fields_(parts.config.http.unknown_fields == "ignore" ? UnknownFields::kIgnore : UnknownFields::kRefuse) {}

Api::~Api() {
  std::unique_lock lock(mutex_);
  all_over_.wait(lock, [this] { return open_questions_ == 0; });
}

std::vector<http::Route> Api::Routes() const {
  std::vector<http::Route> routes;
  for (const Endpoint& endpoint : Endpoints()) {
    http::Route route{.method = endpoint.method, .path = endpoint.path};
    if (endpoint.shape != nullptr) {
      route.body_bytes_max = parts_.config.http.body_bytes_max;
      route.bytes_per_body_byte = kBytesPerBodyByte;
    }
    routes.push_back(std::move(route));
  }
  return routes;
}

void Api::Handle(const http::Route& route, std::shared_ptr<http::Request> request,
                 std::optional<RequestRunner::Place> place, std::shared_ptr<http::Exchange> exchange) {
  const Endpoint& endpoint = *FindEndpoint(route.method, route.path);
  switch (endpoint.action) {
    case Action::kGenerate:
      return Generate(endpoint, std::move(request), *std::move(place), exchange);
    case Action::kEmbed:
      return Embed(std::move(request), *std::move(place), exchange);
    case Action::kTokenize:
    case Action::kDetokenize:
    case Action::kPrice:
      Question(endpoint, std::move(request), *std::move(place), std::move(exchange));
      return;
    case Action::kListModels:
      return exchange->Respond(ToAnswer(ModelsJson(parts_.cluster, started_)));
    case Action::kOpenApi:
      return exchange->Respond({200, {{"content-type", "application/json"}}, open_api_});
    case Action::kGetModel:
      const std::string name = Decoded(std::string_view(request->path).substr(route.path.find('{')));
      return exchange->Respond(ToAnswer(ModelJson(parts_.models, parts_.cluster, name, started_)));
  }
}

Detached Api::Question(const Endpoint& endpoint, std::shared_ptr<http::Request> request, RequestRunner::Place place,
                       std::shared_ptr<http::Exchange> exchange) {
  {
    std::lock_guard lock(mutex_);
    ++open_questions_;
  }
  co_await parts_.prepare.Switch();
  http::Answer answer;
  {
    // Whoever sees the answer finds the place free.
    const RequestRunner::Place held = std::move(place);
    const std::string body = std::exchange(request->body, {});
    absl::StatusOr<Json> json =
        AnswerQuestion({parts_.models, parts_.host_budget, questions_, unknown_fields_}, endpoint, body);
    answer = ToAnswer(json.ok() ? std::move(json) : InWordsOf(endpoint, json.status()));
  }
  exchange->Respond(std::move(answer));
  exchange.reset();
  std::lock_guard lock(mutex_);
  if (--open_questions_ == 0) all_over_.notify_all();
}

void Api::Generate(const Endpoint& endpoint, std::shared_ptr<http::Request> request, RequestRunner::Place place,
                   const std::shared_ptr<http::Exchange>& exchange) {
  auto call = std::make_shared<AnswerCall>(AnswerCall::Parts{parts_.models, parts_.host_budget, unknown_fields_},
                                           endpoint, std::move(request), exchange);
  RequestRunner::Arrival arrival;
  // The runner keeps the call until its end, and reads before that.
  arrival.read = [raw = call.get()](v1::GenerateRequest* read) { return raw->Read(read); };
  RequestRunner::Handle handle = parts_.runner.Submit(std::move(place), std::move(arrival), std::move(call));
  exchange->OnGone([handle]() mutable { handle.Cancel(); });
}

void Api::Embed(std::shared_ptr<http::Request> request, RequestRunner::Place place,
                const std::shared_ptr<http::Exchange>& exchange) {
  auto call = std::make_shared<EmbedCall>(AnswerCall::Parts{parts_.models, parts_.host_budget, unknown_fields_},
                                          std::move(request), exchange);
  RequestRunner::EmbedArrival arrival;
  arrival.read = [raw = call.get()](v1::EmbedRequest* read) { return raw->Read(read); };
  RequestRunner::Handle handle = parts_.runner.Submit(std::move(place), std::move(arrival), std::move(call));
  exchange->OnGone([handle]() mutable { handle.Cancel(); });
}

http::Answer Api::Refusal(int status, const std::string& message) const {
  return ToAnswer(TransportError(status, message));
}

http::Answer Api::Refusal(const absl::Status& refused) const { return ToAnswer(ToHttp(refused)); }

}  // namespace headroom::gateway::openai
