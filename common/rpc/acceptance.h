// How a worker says that it has begun with a request: as initial metadata, sent when the request's leg is active and
// before any work. A call that ends without it has not touched the request, whatever its status says, so that another
// worker may take it.
#pragma once

#include <grpcpp/client_context.h>

namespace headroom::rpc {

inline constexpr char kAccepted[] = "headroom-accepted";

// On the worker's side, before StartSendInitialMetadata().
template <typename ServerContext>
void MarkAccepted(ServerContext& context) {
  context.AddInitialMetadata(kAccepted, "1");
}

// On the client's side, after a Read: of a server's first message, or of the end.
inline bool WasAccepted(const grpc::ClientContext& context) {
  return context.GetServerInitialMetadata().contains(kAccepted);
}

}  // namespace headroom::rpc
