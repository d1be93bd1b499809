// headroom status: services, memory and load of a running cluster.
#include <grpcpp/client_context.h>

#include <algorithm>
#include <cstdio>

#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/memory_table.h"
#include "common/config_fields.h"
#include "common/flags.h"

namespace headroom::cli {
namespace {

constexpr char kName[] = "headroom status";

const char* StateName(const v1::WorkerView& worker) {
  if (worker.state() == v1::WORKER_STATE_READY && !worker.placeable()) return "LOST";
  switch (worker.state()) {
    case v1::WORKER_STATE_LOADING:
      return "loading";
    case v1::WORKER_STATE_READY:
      return "ready";
    case v1::WORKER_STATE_DRAINING:
      return "draining";
    default:
      return "unknown";
  }
}

std::string Roles(const v1::WorkerView& worker) {
  std::string roles;
  for (int role : worker.roles())
    roles += std::string(roles.empty() ? "" : "+") + (role == v1::ROLE_VISION ? "vision" : "llm");
  return roles;
}

void PrintLoad(const char* name, int64_t reserved, int64_t capacity, bool bytes) {
  if (capacity == 0) return;
  const std::string used = bytes ? FormatBytes(reserved) : std::to_string(reserved);
  const std::string all = bytes ? FormatBytes(capacity) : std::to_string(capacity);
  printf("    %-16s %12s of %12s reserved\n", name, used.c_str(), all.c_str());
}

void PrintWorker(const v1::WorkerView& worker) {
  std::string progress;
  if (worker.state() == v1::WORKER_STATE_LOADING)
    progress = absl::StrCat(" ", static_cast<int>(worker.load_progress() * 100), " %");
  printf("  %-12s %-10s %s%s, %lld active, %lld pending, heard %lld ms ago, at %s\n", worker.worker().c_str(),
         Roles(worker).c_str(), StateName(worker), progress.c_str(), static_cast<long long>(worker.active_legs()),
         static_cast<long long>(worker.pending_legs()), static_cast<long long>(worker.heartbeat_age_ms()),
         worker.endpoint().c_str());
  PrintLoad("slots", worker.reserved().slots(), worker.capacity().slots(), false);
  PrintLoad("KV blocks", worker.reserved().kv_blocks(), worker.capacity().kv_blocks(), false);
  PrintLoad("patches", worker.reserved().patches(), worker.capacity().patches(), false);
  PrintLoad("embeddings", worker.reserved().embedding_bytes(), worker.capacity().embedding_bytes(), true);
  PrintLoad("host memory", worker.reserved().host_bytes(), worker.capacity().host_bytes(), true);
}

void Print(const v1::GetStatusResponse& status) {
  const v1::ClusterState& cluster = status.cluster();
  printf("gateway      %s, model %s (%.12s), version %s\n", status.ready() ? "ready" : "NOT ready",
         status.model().c_str(), status.fingerprint().sha256().c_str(), status.version().c_str());
  printf("             %lld requests running, images hold %s of %s\n",
         static_cast<long long>(status.requests_running()), FormatBytes(status.host_bytes_used()).c_str(),
         FormatBytes(status.host_bytes_capacity()).c_str());
  printf("scheduler    cluster '%s', epoch %llu, %lld of %lld queued, grants %lld pending and %lld active\n",
         cluster.epoch().cluster_id().c_str(), static_cast<unsigned long long>(cluster.epoch().number()),
         static_cast<long long>(cluster.queue_entries()), static_cast<long long>(cluster.queue_entries_max()),
         static_cast<long long>(cluster.grants_pending()), static_cast<long long>(cluster.grants_active()));
  printf("workers\n");
  if (cluster.workers().empty()) printf("  none has registered\n");
  for (const v1::WorkerView& worker : cluster.workers()) PrintWorker(worker);
  fputs(MemoryTables(cluster).c_str(), stdout);
}

}  // namespace

int Status(const std::vector<std::string>& arguments) {
  std::string gateway = kDefaultGateway;
  Flags flags("headroom status [flags]",
              "Services, memory and load of a running cluster. The exit status is 0 when it is ready.");
  flags.Text("gateway", &gateway, "address of the gateway");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail(kName, std::string(rest.status().message()), 2);
  if (!rest->empty()) return Fail(kName, "unexpected argument '" + rest->front() + "'", 2);
  const auto stub = Connect(gateway);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  v1::GetStatusResponse response;
  const grpc::Status status = stub->GetStatus(&context, v1::GetStatusRequest(), &response);
  if (!status.ok()) return Fail(kName, Explain(status, gateway), 1);
  Print(response);
  return response.ready() ? 0 : 1;
}

}  // namespace headroom::cli
