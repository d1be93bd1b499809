// headroom status: services, memory and load of a running cluster.
#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/memory_table.h"
#include "common/flags.h"
#include "common/units.h"

namespace headroom::cli {
namespace {

constexpr char kName[] = "headroom status";
constexpr int64_t kPatienceSecondsMax = 24 * 3600;

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

// By the name that the gateway knows it by; a worker may serve one that this gateway was not told of.
std::string ModelOf(const v1::WorkerView& worker, const v1::GetStatusResponse& status) {
  for (const v1::ModelStatus& model : status.models()) {
    if (!worker.model().sha256().empty() && model.fingerprint().sha256() == worker.model().sha256())
      return model.name();
  }
  return "a model unknown to the gateway (" + worker.model().sha256().substr(0, 12) + ")";
}

void PrintModel(const v1::ModelStatus& model) {
  std::string aliases;
  for (const std::string& alias : model.aliases()) aliases += (aliases.empty() ? " = " : ", ") + alias;
  const std::string known = model.fingerprint().sha256().substr(0, 12);
  printf("  %s%s (%s)  %s", model.name().c_str(), aliases.c_str(), known.empty() ? "not loaded" : known.c_str(),
         model.ready() ? "ready" : model.not_ready().c_str());
  if (model.ready()) {
    printf(", %s, %lld tokens at most", model.images() ? "text and images" : "text",
           static_cast<long long>(model.max_model_len()));
  }
  if (model.host_bytes() > 0) printf(", files take %s of the gateway", FormatBytes(model.host_bytes()).c_str());
  printf("\n");
}

void PrintWorker(const v1::WorkerView& worker, const v1::GetStatusResponse& status) {
  std::string progress;
  if (worker.state() == v1::WORKER_STATE_LOADING)
    progress = absl::StrCat(" ", static_cast<int>(worker.load_progress() * 100), " %");
  const std::string model = status.models_size() > 1 ? " of " + ModelOf(worker, status) : "";
  printf("  %-12s %-10s %s%s%s, %lld active, %lld pending, heard %lld ms ago, at %s\n", worker.worker().c_str(),
         Roles(worker).c_str(), StateName(worker), progress.c_str(), model.c_str(),
         static_cast<long long>(worker.active_legs()), static_cast<long long>(worker.pending_legs()),
         static_cast<long long>(worker.heartbeat_age_ms()), worker.endpoint().c_str());
  PrintLoad("slots", worker.reserved().slots(), worker.capacity().slots(), false);
  PrintLoad("KV blocks", worker.reserved().kv_blocks(), worker.capacity().kv_blocks(), false);
  PrintLoad("patches", worker.reserved().patches(), worker.capacity().patches(), false);
  PrintLoad("embeddings", worker.reserved().embedding_bytes(), worker.capacity().embedding_bytes(), true);
  PrintLoad("host memory", worker.reserved().host_bytes(), worker.capacity().host_bytes(), true);
}

void Print(const v1::GetStatusResponse& status) {
  const v1::ClusterState& cluster = status.cluster();
  printf("gateway      %s, version %s\n", status.ready() ? "ready" : "NOT ready", status.version().c_str());
  printf("             %lld requests running, their messages hold %s of %s\n",
         static_cast<long long>(status.requests_running()), FormatBytes(status.host_bytes_used()).c_str(),
         FormatBytes(status.host_bytes_capacity()).c_str());
  printf("scheduler    cluster '%s', epoch %llu, %lld of %lld queued, grants %lld pending and %lld active\n",
         cluster.epoch().cluster_id().c_str(), static_cast<unsigned long long>(cluster.epoch().number()),
         static_cast<long long>(cluster.queue_entries()), static_cast<long long>(cluster.queue_entries_max()),
         static_cast<long long>(cluster.grants_pending()), static_cast<long long>(cluster.grants_active()));
  printf("models\n");
  for (const v1::ModelStatus& model : status.models()) PrintModel(model);
  printf("workers\n");
  if (cluster.workers().empty()) printf("  none has registered\n");
  for (const v1::WorkerView& worker : cluster.workers()) PrintWorker(worker, status);
  fputs(MemoryTables(cluster).c_str(), stdout);
}

// No request, grant, leg or host byte is left anywhere.
bool Idle(const v1::GetStatusResponse& status) {
  const v1::ClusterState& cluster = status.cluster();
  if (!status.ready() || status.requests_running() != 0 || status.host_bytes_used() != 0) return false;
  if (cluster.queue_entries() != 0 || cluster.grants_pending() != 0 || cluster.grants_active() != 0) return false;
  return std::all_of(cluster.workers().begin(), cluster.workers().end(), [](const v1::WorkerView& worker) {
    return worker.active_legs() == 0 && worker.pending_legs() == 0 && worker.reserved().ByteSizeLong() == 0;
  });
}

grpc::Status Request(v1::Gateway::Stub& stub, v1::GetStatusResponse* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  return stub.GetStatus(&context, v1::GetStatusRequest(), response);
}

// The last answer, whether it is idle or the time is over.
grpc::Status WaitIdle(v1::Gateway::Stub& stub, std::chrono::seconds patience, v1::GetStatusResponse* response) {
  constexpr std::chrono::milliseconds kPeriod(200);
  const auto end = std::chrono::steady_clock::now() + patience;
  while (true) {
    grpc::Status status = Request(stub, response);
    if ((status.ok() && Idle(*response)) || std::chrono::steady_clock::now() >= end) return status;
    std::this_thread::sleep_for(kPeriod);
  }
}

}  // namespace

int Status(const std::vector<std::string>& arguments) {
  std::string gateway = kDefaultGateway;
  std::optional<int64_t> idle_within_seconds;
  Flags flags("headroom status [flags]",
              "Services, memory and load of a running cluster. The exit status is 0 when it is ready.");
  flags.Address("gateway", &gateway, "address of the gateway");
  flags.OptionalInteger("idle-within-seconds", &idle_within_seconds,
                        "wait so long until nothing is running or promised anywhere; the exit status says whether");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) {
    fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (!rest.ok()) return Fail(kName, std::string(rest.status().message()), 2);
  if (!rest->empty()) return Fail(kName, "unexpected argument '" + rest->front() + "'", 2);
  if (idle_within_seconds && (*idle_within_seconds < 0 || *idle_within_seconds > kPatienceSecondsMax)) {
    return Fail(kName, absl::StrCat("--idle-within-seconds ", *idle_within_seconds, " is out of range"), 2);
  }
  const auto stub = Connect(gateway);
  v1::GetStatusResponse response;
  const grpc::Status status = idle_within_seconds
                                  ? WaitIdle(*stub, std::chrono::seconds(*idle_within_seconds), &response)
                                  : Request(*stub, &response);
  if (!status.ok()) return Fail(kName, Explain(status, gateway), 1);
  Print(response);
  if (idle_within_seconds && !Idle(response)) return Fail(kName, "not idle", 1);
  return response.ready() ? 0 : 1;
}

}  // namespace headroom::cli
