#include "gateway/openai/errors.h"

#include <algorithm>
#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "common/error_details.h"
#include "gateway/openai/json.h"

namespace headroom::gateway::openai {
namespace {

constexpr char kCodePayload[] = "headroom/openai.code";
constexpr char kParamPayload[] = "headroom/openai.param";

// Indices of ErrorKinds().
enum Kind : size_t {
  kInvalid,
  kContextLength,
  kNeverFits,
  kUnauthenticated,
  kForbidden,
  kNotFound,
  kGone,
  kOverloaded,
  kUnavailable,
  kTimeout,
  kServer,
};

// A refusal was made before any work; what has no reason failed on its way, and the request may be what ended it.
Kind KindOf(const absl::Status& status, const ErrorDetails& details) {
  const std::optional<RefusalReason> reason = FindRefusalReason(details.reason);
  if (reason == RefusalReason::kWaitTooLong) return kOverloaded;
  const auto budget = details.metadata.find("budget");
  // Its other budget is the size of a picture's piece.
  const bool of_length = budget == details.metadata.end() || budget->second == "model_len";
  if (reason == RefusalReason::kModelLimit && of_length) return kContextLength;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return kInvalid;
    case absl::StatusCode::kFailedPrecondition:
      return kNeverFits;
    case absl::StatusCode::kUnauthenticated:
      return kUnauthenticated;
    case absl::StatusCode::kPermissionDenied:
      return kForbidden;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kCancelled:
      return kGone;
    case absl::StatusCode::kResourceExhausted:
      return kOverloaded;
    case absl::StatusCode::kUnavailable:
      return details.reason.empty() ? kServer : kUnavailable;
    case absl::StatusCode::kDeadlineExceeded:
      return kTimeout;
    default:
      return kServer;
  }
}

std::string Payload(const absl::Status& status, const char* key) {
  const auto payload = status.GetPayload(key);
  return payload ? std::string(*payload) : std::string();
}

std::string CodeOf(const absl::Status& status, Kind kind, const ErrorDetails& details) {
  if (std::string code = Payload(status, kCodePayload); !code.empty()) return code;
  if (const auto budget = details.metadata.find("budget"); kind == kOverloaded && budget != details.metadata.end()) {
    return budget->second;
  }
  const char* code = ErrorKinds()[kind].code;
  return *code != '\0' || kind != kInvalid ? code : "invalid_value";
}

// What a refusal was short of, and when to come again; empty for what is none.
Json Details(const ErrorDetails& details) {
  Json numbers = Json::object();
  if (details.reason.empty()) return numbers;
  numbers["reason"] = details.reason;
  for (const auto& [key, value] : details.metadata) {
    int64_t number = 0;
    if (absl::SimpleAtoi(value, &number)) {
      numbers[key] = number;
    } else {
      numbers[key] = value;
    }
  }
  if (details.retry_delay) numbers["retry_after_ms"] = details.retry_delay->count();
  return numbers;
}

Json NullIfEmpty(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

const std::vector<ErrorKind>& ErrorKinds() {
  static const std::vector<ErrorKind> kinds = {
      {400, "invalid_request_error", "", "a field, a picture or the conversation is not as it must be"},
      {400, "invalid_request_error", "context_length_exceeded", "prompt and max_tokens are above the model's length"},
      {400, "invalid_request_error", "never_fits", "larger than any worker, or the gateway, even when all is free"},
      {401, "authentication_error", "invalid_api_key", "no key, or one that is not known"},
      {403, "permission_error", "permission_denied", "the operator does not allow it"},
      {404, "invalid_request_error", "not_found", "no such address or model (`model_not_found`)"},
      {499, "request_cancelled", "cancelled", "the client left or read no more"},
      {503, "overloaded_error", "overloaded", "the cluster or the gateway is full; the code names the budget"},
      {503, "service_unavailable", "service_unavailable",
       "no worker, no scheduler, a model whose files cannot be read (`model_not_loaded`), or about to stop"},
      {504, "timeout_error", "timeout", "the deadline passed while it was worked on"},
      {500, "server_error", "server_error", "it failed on its way, and may be what made it fail"},
  };
  return kinds;
}

const std::vector<ErrorKind>& TransportErrorKinds() {
  static const std::vector<ErrorKind> kinds = {
      {400, "invalid_request_error", "bad_request", "what came is no HTTP/1.1 that is read here"},
      {403, "permission_error", "origin_not_allowed", "a page of another origin asks"},
      {404, "invalid_request_error", "not_found", "no such address"},
      {405, "invalid_request_error", "method_not_allowed", "the address has other methods"},
      {408, "timeout_error", "request_timeout", "the head or body came too slowly"},
      {413, "invalid_request_error", "body_too_large", "the body is above its limit"},
      {415, "invalid_request_error", "unsupported_media_type", "the body is no application/json, or is compressed"},
      {417, "invalid_request_error", "expectation_failed", "an Expect that is not 100-continue"},
      {421, "invalid_request_error", "host_not_allowed", "the Host is not one that is served here"},
      {431, "invalid_request_error", "head_too_large", "the head is above its limit"},
  };
  return kinds;
}

ErrorAnswer TransportError(int status, const std::string& message) {
  const std::vector<ErrorKind>& kinds = TransportErrorKinds();
  auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const ErrorKind& row) { return row.status == status; });
  if (kind == kinds.end()) kind = kinds.begin();
  const Json error = {{"message", message}, {"type", kind->type}, {"param", nullptr}, {"code", kind->code}};
  return {status,
          {{"content-type", "application/json"}, {"x-should-retry", status == 408 ? "true" : "false"}},
          WriteJson({{"error", error}})};
}

absl::Status RequestError(const std::string& code, const std::string& param, const std::string& message) {
  return WithCode(code, param, absl::InvalidArgumentError(message));
}

absl::Status WithCode(const std::string& code, const std::string& param, absl::Status status) {
  status.SetPayload(kCodePayload, absl::Cord(code));
  if (!param.empty()) status.SetPayload(kParamPayload, absl::Cord(param));
  return status;
}

absl::Status AtField(const std::string& param, const absl::Status& status) {
  if (status.ok() || status.GetPayload(kParamPayload)) return status;
  absl::Status named(status.code(), absl::StrCat(param, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view key, const absl::Cord& payload) { named.SetPayload(key, payload); });
  named.SetPayload(kParamPayload, absl::Cord(param));
  return named;
}

std::string ErrorBody(const absl::Status& status) {
  const ErrorDetails details = GetDetails(status);
  const Kind kind = KindOf(status, details);
  Json error = {{"message", std::string(status.message())},
                {"type", ErrorKinds()[kind].type},
                {"param", NullIfEmpty(Payload(status, kParamPayload))},
                {"code", CodeOf(status, kind, details)}};
  if (Json numbers = Details(details); !numbers.empty()) error["headroom"] = std::move(numbers);
  return WriteJson({{"error", std::move(error)}});
}

ErrorAnswer ToHttp(const absl::Status& status) {
  const ErrorDetails details = GetDetails(status);
  const Kind kind = KindOf(status, details);
  ErrorAnswer answer{ErrorKinds()[kind].status, {{"content-type", "application/json"}}, ErrorBody(status)};
  if (kind == kUnauthenticated) answer.headers.emplace_back("www-authenticate", "Bearer");
  const std::optional<RefusalReason> reason = FindRefusalReason(details.reason);
  const bool retry = (kind == kOverloaded || kind == kUnavailable) && (!reason || InfoOf(*reason).retry);
  answer.headers.emplace_back("x-should-retry", retry ? "true" : "false");
  if (!retry) return answer;
  // Clients that are told no time choose one below a second.
  const int64_t delay_ms = details.retry_delay.value_or(std::chrono::milliseconds(1'000)).count();
  answer.headers.emplace_back("retry-after-ms", absl::StrCat(delay_ms));
  answer.headers.emplace_back("retry-after", absl::StrCat(std::max<int64_t>(1, (delay_ms + 999) / 1000)));
  for (const auto& [key, header] : {std::pair("budget", "x-headroom-budget"), {"shortfall", "x-headroom-short-by"}}) {
    if (const auto found = details.metadata.find(key); found != details.metadata.end()) {
      answer.headers.emplace_back(header, found->second);
    }
  }
  return answer;
}

}  // namespace headroom::gateway::openai
