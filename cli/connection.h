// A client's connection to a gateway, and its errors in words for people.
#pragma once

#include <memory>
#include <string>

#include "common/status.h"
#include "headroom/v1/gateway.grpc.pb.h"

namespace headroom::cli {

inline constexpr char kDefaultGateway[] = "127.0.0.1:7700";

std::unique_ptr<v1::Gateway::Stub> Connect(const std::string& address);

// One or two lines: what went wrong and what to do about it.
std::string Explain(const grpc::Status& status, const std::string& address);

// Prints `name: message` on stderr and returns `exit_status`.
int Fail(const std::string& name, const std::string& message, int exit_status);

}  // namespace headroom::cli
