// From an endpoint to a channel: the only place where "another process" and "this process" differ. `headroom up`
// registers its servers as inproc:NAME and hands the same directory to every client; separate binaries dial host:port.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/server.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/status.h"

namespace headroom::rpc {

// Thread-safe. Channels to addresses are made once and shared; at most kChannelsMax are kept (endpoints come from the
// scheduler, which is trusted, but a bound costs nothing).
class ChannelDirectory {
 public:
  static constexpr size_t kChannelsMax = 1024;

  // `server` must be started, and unregistered before it is destroyed.
  void Register(const std::string& endpoint, grpc::Server* server);
  void Unregister(const std::string& endpoint);

  // NOT_FOUND for an inproc name that is not registered; dialling itself never fails here (gRPC connects when a call is
  // made).
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Get(const std::string& endpoint);

 private:
  std::mutex mutex_;
  std::map<std::string, grpc::Server*> servers_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> dialled_;
};

}  // namespace headroom::rpc
