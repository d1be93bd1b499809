// Counts and times the calls of a gRPC server, by service and method: headroom_grpc_server_….
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "common/metrics.h"

namespace headroom::rpc {

// For one server. `metrics` must outlive it. Methods that the catalogue does not name (health, reflection) count as
// "other".
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallMetrics(Metrics& metrics);

}  // namespace headroom::rpc
