#include "common/rpc/status.h"

#include "google/rpc/status.pb.h"

namespace headroom::rpc {
namespace {

const char kTypePrefix[] = "type.googleapis.com/";

// Bounds what a peer's trailer may make us copy.
constexpr int kDetailsMax = 8;

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // The code numbers of absl and gRPC are the same by design of both.
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(status.message().data(), status.message().size());
  google::rpc::Status wire;
  wire.set_code(code);
  wire.set_message(message);
  status.ForEachPayload([&wire](auto url, const absl::Cord& payload) {
    google::protobuf::Any* detail = wire.add_details();
    detail->set_type_url(std::string(url.data(), url.size()));
    detail->set_value(std::string(payload));
  });
  return grpc::Status(code, message, wire.details_size() == 0 ? "" : wire.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status wire;
  if (!status.error_details().empty() && wire.ParseFromString(status.error_details())) {
    for (int i = 0; i < wire.details_size() && i < kDetailsMax; ++i) {
      const google::protobuf::Any& detail = wire.details(i);
      if (detail.type_url().rfind(kTypePrefix, 0) == 0)
        result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return result;
}

}  // namespace headroom::rpc
