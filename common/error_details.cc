#include "common/error_details.h"

#include "common/check.h"
#include "google/rpc/error_details.pb.h"

namespace headroom {
namespace {

const char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
const char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

}  // namespace

absl::Status RefusalError(RefusalReason reason, const std::string& message,
                          const std::map<std::string, std::string>& metadata,
                          std::optional<std::chrono::milliseconds> retry_delay) {
  const RefusalReasonInfo& info = InfoOf(reason);
  HEADROOM_CHECK(info.retry || !retry_delay) << info.name << " says that retrying does not help";
  return WithDetails(absl::Status(info.code, message),
                     {.reason = info.name, .metadata = metadata, .retry_delay = retry_delay});
}

std::optional<RefusalReason> ReasonOf(const absl::Status& status) {
  return FindRefusalReason(GetDetails(status).reason);
}

absl::Status WithPrefix(const std::string& prefix, const absl::Status& status) {
  return WithDetails(absl::Status(status.code(), prefix + std::string(status.message())), GetDetails(status));
}

absl::Status WithDetails(absl::Status status, const ErrorDetails& details) {
  if (status.ok()) return status;
  if (!details.reason.empty()) {
    google::rpc::ErrorInfo info;
    info.set_reason(details.reason);
    info.set_domain("headroom");
    for (const auto& [key, value] : details.metadata) (*info.mutable_metadata())[key] = value;
    status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  }
  if (details.retry_delay) {
    google::rpc::RetryInfo retry;
    const int64_t ms = details.retry_delay->count();
    retry.mutable_retry_delay()->set_seconds(ms / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(ms % 1000 * 1'000'000));
    status.SetPayload(kRetryInfoUrl, absl::Cord(retry.SerializeAsString()));
  }
  return status;
}

ErrorDetails GetDetails(const absl::Status& status) {
  ErrorDetails details;
  if (auto payload = status.GetPayload(kErrorInfoUrl)) {
    google::rpc::ErrorInfo info;
    if (info.ParseFromString(std::string(*payload))) {
      details.reason = info.reason();
      details.metadata.insert(info.metadata().begin(), info.metadata().end());
    }
  }
  if (auto payload = status.GetPayload(kRetryInfoUrl)) {
    google::rpc::RetryInfo retry;
    if (retry.ParseFromString(std::string(*payload))) {
      details.retry_delay = std::chrono::seconds(retry.retry_delay().seconds()) +
                            std::chrono::milliseconds(retry.retry_delay().nanos() / 1'000'000);
    }
  }
  return details;
}

}  // namespace headroom
