// absl::Status inside, grpc::Status at the edge: translated here and nowhere else. Details (common/error_details.h)
// travel in gRPC's `grpc-status-details-bin` trailer.
#pragma once

#include <grpcpp/support/status.h>

#include "common/error_details.h"
#include "common/status.h"

namespace headroom::rpc {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace headroom::rpc
