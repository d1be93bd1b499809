#include "worker/worker_endpoint.h"

#include <algorithm>
#include <limits>
#include <thread>

#include "common/log.h"
#include "common/random.h"

namespace headroom::worker {
namespace {

constexpr std::chrono::milliseconds kDrainPoll(20);
// Grants that were made just before the scheduler heard of the drain may still arrive; they are promises. It says when
// there are none; for so long a worker waits that does not hear from it.
constexpr std::chrono::milliseconds kDrainGrace(1'000);

admission::WorkerGate::Options GateOptions(const WorkerEndpoint::Options& options) {
  admission::WorkerGate::Options gate;
  gate.worker = options.name;
  gate.cluster_id = options.cluster_id;
  gate.model = options.model;
  gate.incarnation = std::max<uint64_t>(1, SystemRandom().Next());
  gate.capacity = options.capacity;
  return gate;
}

int64_t TimesItFits(const admission::Resources& need, const admission::Resources& room) {
  int64_t times = std::numeric_limits<int64_t>::max();
  for (const admission::Dimension& dimension : admission::kDimensions) {
    const int64_t needed = need.*dimension.member;
    if (needed > 0) times = std::min(times, room.*dimension.member / needed);
  }
  return times;
}

}  // namespace

WorkerEndpoint::WorkerEndpoint(Options options, admission::WorkerLink::LedgerSnapshot ledger,
                               rpc::ChannelDirectory& channels, Metrics& metrics, Clock& clock)
    : options_(std::move(options)),
      ledger_(std::move(ledger)),
      channels_(channels),
      clock_(clock),
      gate_(GateOptions(options_), clock),
      host_({.listen = options_.listen,
             .memory_bytes_max = options_.grpc_bytes_max,
             .calls_max = rpc::kTrustedCallsMax,
             .metrics = &metrics}),
      metrics_token_(metrics.AddCollector([this] { return Collect(); })) {}

WorkerEndpoint::~WorkerEndpoint() {
  StopServing(Duration::zero());
  Close();
}

absl::Status WorkerEndpoint::Start(grpc::Service* service) {
  HEADROOM_RETURN_IF_ERROR(host_.Start({service}));
  const std::string in_process = "inproc:" + options_.name;
  channels_.Register(in_process, host_.server());
  endpoint_ = !options_.advertise.empty() ? options_.advertise : options_.listen.empty() ? in_process : host_.address();
  admission::WorkerLink::Options link;
  link.scheduler = options_.scheduler;
  link.endpoint = endpoint_;
  link.device = options_.device;
  link.roles = {options_.role};
  link.max_patches_per_step = options_.max_patches_per_step;
  link.max_model_len = options_.max_model_len;
  link.block_size = options_.block_size;
  link.embedding_row_bytes = options_.embedding_row_bytes;
  link.kv_block_bytes = options_.kv_block_bytes;
  link_ = std::make_unique<admission::WorkerLink>(std::move(link), gate_, ledger_, channels_, clock_);
  link_->Start();
  Log(LogLevel::kInfo, options_.name.c_str(), "serving").With("endpoint", endpoint_);
  return absl::OkStatus();
}

void WorkerEndpoint::Loading(double progress) { gate_.SetState(admission::WorkerState::kLoading, progress); }

void WorkerEndpoint::Ready() {
  gate_.SetState(admission::WorkerState::kReady, 1);
  host_.SetServing(true);
  Log(LogLevel::kInfo, options_.name.c_str(), "ready");
}

void WorkerEndpoint::Drain(Duration deadline) {
  const TimePoint begin = SystemClock().Now();
  host_.SetServing(false);
  gate_.SetState(admission::WorkerState::kDraining, 1);
  if (deadline <= Duration::zero() || link_ == nullptr) return;
  const Duration grace = std::min<Duration>(kDrainGrace, deadline);
  while (SystemClock().Now() - begin < deadline) {
    // In this order: what is activated after the look at the legs was pending, and so there was no release yet.
    const bool released = link_->Released();
    const bool idle = gate_.Snapshot().active.empty();
    if (idle && (released || SystemClock().Now() - begin >= grace)) {
      Log(LogLevel::kInfo, options_.name.c_str(), "drained").With("released", released);
      return;
    }
    std::this_thread::sleep_for(kDrainPoll);
  }
}

void WorkerEndpoint::StopServing(Duration deadline) {
  channels_.Unregister("inproc:" + options_.name);
  host_.Shutdown(deadline);
}

void WorkerEndpoint::Close() {
  if (link_ != nullptr) link_->Stop();
}

std::vector<MetricSample> WorkerEndpoint::Collect() const {
  const admission::GateSnapshot snapshot = gate_.Snapshot();
  std::vector<MetricSample> samples;
  auto add = [&](const std::string& name, double value, MetricLabels labels = {}) {
    labels["worker"] = options_.name;
    labels["role"] = admission::RoleName(options_.role);
    samples.push_back({name, std::move(labels), value});
  };
  for (const admission::Dimension& dimension : admission::kDimensions) {
    const int64_t capacity = options_.capacity.*dimension.member;
    if (capacity == 0) continue;
    add(absl::StrCat("headroom_worker_capacity_", dimension.name), static_cast<double>(capacity));
    add(absl::StrCat("headroom_worker_reserved_", dimension.name),
        static_cast<double>(snapshot.reserved.*dimension.member));
  }
  for (const auto& [name, need] : options_.request_classes) {
    add("headroom_worker_fitting_requests",
        static_cast<double>(TimesItFits(need, options_.capacity - snapshot.reserved)), {{"class", name}});
  }
  add("headroom_worker_active_legs", static_cast<double>(snapshot.active.size()));
  add("headroom_worker_load_progress_ratio", snapshot.load_progress);
  add("headroom_worker_ready", snapshot.state == admission::WorkerState::kReady ? 1 : 0);
  return samples;
}

}  // namespace headroom::worker
