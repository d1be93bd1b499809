#include "common/field_error.h"

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"

namespace headroom {
namespace {

const char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";

}  // namespace

absl::Status FieldError(const std::string& field, const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status named(status.code(), absl::StrCat(field, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view key, const absl::Cord& payload) { named.SetPayload(key, payload); });
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field(field);
  named.SetPayload(kBadRequestUrl, absl::Cord(bad.SerializeAsString()));
  return named;
}

std::string FieldOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kBadRequestUrl);
  google::rpc::BadRequest bad;
  const bool named = payload && bad.ParseFromString(std::string(*payload)) && bad.field_violations_size() > 0;
  return named ? bad.field_violations(0).field() : "";
}

}  // namespace headroom
