#include "common/rpc/channel_directory.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>

namespace headroom::rpc {
namespace {

const char kInProcessPrefix[] = "inproc:";
constexpr std::chrono::milliseconds kStopPoll(50);

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  // A peer that is gone without a word is noticed within about 20 s even on an idle stream.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  // Services find each other by configured addresses; a proxy variable in the environment must not divert them.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

bool IsInProcess(const std::string& endpoint) { return endpoint.rfind(kInProcessPrefix, 0) == 0; }

}  // namespace

bool IsConnected(const std::string& endpoint, grpc::Channel& channel) {
  return IsInProcess(endpoint) || channel.GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY;
}

void ChannelDirectory::Register(const std::string& endpoint, grpc::Server* server) {
  std::lock_guard lock(mutex_);
  servers_[endpoint] = server;
}

void ChannelDirectory::Unregister(const std::string& endpoint) {
  std::lock_guard lock(mutex_);
  servers_.erase(endpoint);
  dialled_.erase(endpoint);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelDirectory::Get(const std::string& endpoint) {
  std::lock_guard lock(mutex_);
  if (auto found = dialled_.find(endpoint); found != dialled_.end()) return found->second;
  std::shared_ptr<grpc::Channel> channel;
  if (IsInProcess(endpoint)) {
    auto server = servers_.find(endpoint);
    if (server == servers_.end()) return absl::NotFoundError("no service '" + endpoint + "' in this process");
    channel = server->second->InProcessChannel({});
  } else {
    channel = grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), Arguments());
  }
  if (dialled_.size() >= kChannelsMax) dialled_.erase(dialled_.begin());
  dialled_[endpoint] = channel;
  return channel;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelDirectory::GetConnected(const std::string& endpoint,
                                                                              const std::stop_token& stop) {
  HEADROOM_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, Get(endpoint));
  if (IsConnected(endpoint, *channel)) return channel;
  const auto end = std::chrono::system_clock::now() + kConnectPatience;
  while (true) {
    const grpc_connectivity_state state = channel->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return channel;
    const auto now = std::chrono::system_clock::now();
    if (stop.stop_requested()) return absl::CancelledError("stopped while connecting");
    if (now >= end) return absl::UnavailableError("the service cannot be reached");
    channel->WaitForStateChange(state, std::min(end, now + kStopPoll));
  }
}

}  // namespace headroom::rpc
