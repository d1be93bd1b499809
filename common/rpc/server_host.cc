#include "common/rpc/server_host.h"

#include <dlfcn.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include <mutex>

#include "common/rpc/call_metrics.h"

namespace headroom::rpc {
namespace {

// Debian's library registers its plugin for every later server of the process as soon as it is loaded, with no way
// back. So it is not linked but loaded, by the first server that wants it.
constexpr char kReflectionLibrary[] = "libgrpc++_reflection.so.1.51";

absl::Status EnablePlugins(bool reflection) {
  static std::once_flag health_once;
  std::call_once(health_once, [] { grpc::EnableDefaultHealthCheckService(true); });
  if (!reflection || dlopen(kReflectionLibrary, RTLD_NOW | RTLD_GLOBAL) != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(std::string("server reflection needs ") + kReflectionLibrary +
                                       ", which cannot be loaded");
}

}  // namespace

ServerHost::~ServerHost() { Shutdown(Duration::zero()); }

absl::Status ServerHost::Start(const std::vector<grpc::Service*>& services) {
  HEADROOM_RETURN_IF_ERROR(EnablePlugins(options_.reflection));
  grpc::ServerBuilder builder;
  int port = 0;
  if (!options_.listen.empty()) {
    builder.AddListeningPort(options_.listen, grpc::InsecureServerCredentials(), &port);
  }
  builder.SetMaxReceiveMessageSize(static_cast<int>(options_.receive_bytes_max));
  grpc::ResourceQuota quota("headroom");
  quota.Resize(static_cast<size_t>(options_.memory_bytes_max));
  builder.SetResourceQuota(quota);
  // Two processes on one port would share connections at random: refuse instead.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options_.calls_max);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  if (options_.metrics != nullptr) {
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
    interceptors.push_back(MakeCallMetrics(*options_.metrics));
    builder.experimental().SetInterceptorCreators(std::move(interceptors));
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || (!options_.listen.empty() && port == 0)) {
    server_.reset();
    return absl::UnavailableError("cannot listen on " + options_.listen + ": address in use or not valid");
  }
  if (!options_.listen.empty()) {
    address_ = absl::StrCat(options_.listen.substr(0, options_.listen.rfind(':')), ":", port);
  }
  SetServing(false);
  if (auto* health = server_->GetHealthCheckService()) health->SetServingStatus(kHealthLive, true);
  return absl::OkStatus();
}

void ServerHost::SetServing(bool serving) {
  if (server_ == nullptr) return;
  if (auto* health = server_->GetHealthCheckService()) health->SetServingStatus("", serving);
}

void ServerHost::Shutdown(Duration deadline) {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() +
                    std::chrono::duration_cast<std::chrono::system_clock::duration>(deadline));
  server_->Wait();
  server_.reset();
}

}  // namespace headroom::rpc
