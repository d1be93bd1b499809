#include "cli/connection.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "common/error_details.h"
#include "common/rpc/status.h"

namespace headroom::cli {

std::unique_ptr<v1::Gateway::Stub> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return v1::Gateway::NewStub(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

namespace {

bool HasAny(const std::string& text, const std::array<const char*, 4>& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const char* word) { return text.find(word) != std::string::npos; });
}

// gRPC's own words for a server that is not there, and for one that went.
constexpr std::array<const char*, 4> kNotThere = {"failed to connect", "connections to all backends", "DNS resolution",
                                                  "Connection refused"};
constexpr std::array<const char*, 4> kGone = {"reset by peer", "Socket closed", "GOAWAY", "keepalive watchdog"};

}  // namespace

std::string Explain(const grpc::Status& status, const std::string& address) {
  const ErrorDetails details = GetDetails(rpc::FromGrpc(status));
  std::string text;
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      if (details.reason.empty() && HasAny(status.error_message(), kGone)) {
        return "the connection to the gateway at " + address + " broke before the answer was complete";
      }
      if (details.reason.empty() && HasAny(status.error_message(), kNotThere)) {
        return "no gateway answers at " + address +
               ": is the cluster running? `headroom up --config FILE` or tools/demo starts one; --gateway names "
               "another address";
      }
      text = "the cluster cannot take the request now: " + status.error_message();
      break;
    case grpc::StatusCode::INVALID_ARGUMENT:
      text = "the request is not valid: " + status.error_message();
      break;
    case grpc::StatusCode::FAILED_PRECONDITION:
      text = "the request can never fit: " + status.error_message();
      break;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      // One is gRPC's own refusal of a message above the receive limit.
      text = details.reason.empty() && status.error_message().find("larger than max") != std::string::npos
                 ? "the request is too large: "
                 : "the cluster is full: ";
      text += status.error_message();
      break;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      text = "no answer within the time limit";
      break;
    default:
      text = status.error_message();
  }
  if (details.retry_delay) text += absl::StrCat("; try again in ", (details.retry_delay->count() + 999) / 1000, " s");
  return text;
}

int Fail(const std::string& name, const std::string& message, int exit_status) {
  fprintf(stderr, "%s: %s\n", name.c_str(), message.c_str());
  return exit_status;
}

}  // namespace headroom::cli
