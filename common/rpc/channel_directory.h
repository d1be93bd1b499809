// From an endpoint to a channel: the only place where "another process" and "this process" differ. `headroom up`
// registers its servers as inproc:NAME and hands the same directory to every client; separate binaries dial host:port.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/server.h>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
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

  // The same, connected: a peer that has just been restarted is waited for, as a call would fail at once while its
  // channel waits to dial again. Blocks for kConnectPatience at most; UNAVAILABLE then, CANCELLED when `stop` fires.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> GetConnected(const std::string& endpoint, const std::stop_token& stop);
  // Longer than the longest pause between two attempts.
  static constexpr std::chrono::milliseconds kConnectPatience{3'000};

 private:
  std::mutex mutex_;
  std::map<std::string, grpc::Server*> servers_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> dialled_;
};

// Whether a call on `channel`, which is that of `endpoint`, would go out at once; begins to connect if not. Channels
// inside the process have no connection.
bool IsConnected(const std::string& endpoint, grpc::Channel& channel);

}  // namespace headroom::rpc
