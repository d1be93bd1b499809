#include "gateway/cluster_view.h"

#include <algorithm>

#include "gateway/own_refusals.h"

namespace headroom::gateway {
namespace {

constexpr std::chrono::milliseconds kRefreshReady(500);
constexpr std::chrono::milliseconds kRefreshWaiting(50);
constexpr std::chrono::milliseconds kCallTimeout(2'000);
constexpr std::chrono::milliseconds kRetryDelay(1'000);

bool Has(const v1::WorkerView& worker, v1::Role role) {
  return std::find(worker.roles().begin(), worker.roles().end(), role) != worker.roles().end();
}

absl::Status NoScheduler() {
  return OwnRefusal(RefusalReason::kNoScheduler, "the scheduler cannot be reached", {}, kRetryDelay);
}

absl::Status NoWorker(const std::string& message) {
  return OwnRefusal(RefusalReason::kNoWorker, message, {}, kRetryDelay);
}

}  // namespace

ClusterView::ClusterView(SchedulerClient& scheduler, const ServedModels& models)
    : scheduler_(scheduler), models_(models) {
  for (const auto& model : models_.all()) limits_.emplace(model.get(), OfModel{NoScheduler(), {}});
  thread_ = std::thread([this] { Run(); });
}

ClusterView::~ClusterView() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ClusterView::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    auto state = scheduler_.GetClusterState(kCallTimeout);
    lock.lock();
    const bool reached = state.ok();
    if (reached) state_ = *std::move(state);
    for (auto& [model, limits] : limits_) {
      limits.now = reached ? ReadLimits(*model) : NoScheduler();
      if (limits.now.ok()) limits.known = *limits.now;
    }
    changed_.notify_all();
    changed_.wait_for(lock, AllReadyLocked() ? kRefreshReady : kRefreshWaiting, [this] { return stopping_; });
  }
}

absl::StatusOr<ClusterLimits> ClusterView::ReadLimits(const ServedModel& model) const {
  ClusterLimits limits;
  bool vision = false;
  bool unknown_model = false;
  for (const v1::WorkerView& worker : state_.workers()) {
    if (!worker.placeable()) continue;
    if (worker.model().sha256() != model.fingerprint) {
      unknown_model = unknown_model || !IsServed(worker.model().sha256());
      continue;
    }
    limits.embedding_row_bytes = std::max(limits.embedding_row_bytes, worker.embedding_row_bytes());
    if (Has(worker, v1::ROLE_LLM)) {
      limits.block_size = worker.block_size();
      limits.max_model_len = std::max(limits.max_model_len, worker.max_model_len());
    }
    if (Has(worker, v1::ROLE_VISION)) {
      vision = true;
      limits.max_patches_per_step = std::max(limits.max_patches_per_step, worker.max_patches_per_step());
    }
  }
  const bool llm = limits.block_size > 0;
  if (llm && (vision || !model.config.Sees())) return limits;
  const std::string hint = unknown_model ? " (ready workers serve another model)" : "";
  return NoWorker(
      absl::StrCat("no ", llm ? "vision" : "llm", "-worker is ready for the model '", model.name, "'", hint));
}

bool ClusterView::IsServed(const std::string& fingerprint) const {
  return std::any_of(models_.all().begin(), models_.all().end(),
                     [&](const auto& model) { return model->fingerprint == fingerprint; });
}

absl::Status ClusterView::ReadyLocked() const {
  for (const auto& model : models_.all()) {
    if (limits_.at(model.get()).now.ok()) return absl::OkStatus();
  }
  return limits_.at(models_.all().front().get()).now.status();
}

bool ClusterView::AllReadyLocked() const {
  return std::all_of(limits_.begin(), limits_.end(), [](const auto& entry) { return entry.second.now.ok(); });
}

absl::Status ClusterView::Ready() const {
  std::lock_guard lock(mutex_);
  return ReadyLocked();
}

absl::StatusOr<ClusterLimits> ClusterView::Limits(const ServedModel& model) const {
  std::lock_guard lock(mutex_);
  const OfModel& limits = limits_.at(&model);
  if (limits.known.has_value()) return *limits.known;
  return limits.now;
}

absl::StatusOr<ClusterLimits> ClusterView::LimitsNow(const ServedModel& model) const {
  std::lock_guard lock(mutex_);
  return limits_.at(&model).now;
}

std::vector<v1::ModelStatus> ClusterView::Models() const {
  std::vector<v1::ModelStatus> views;
  std::lock_guard lock(mutex_);
  for (const auto& model : models_.all()) {
    v1::ModelStatus& view = views.emplace_back();
    view.set_name(model->name);
    view.mutable_aliases()->Assign(model->aliases.begin(), model->aliases.end());
    view.mutable_fingerprint()->set_sha256(model->fingerprint);
    view.set_images(model->config.Sees());
    view.set_host_bytes(model->host_bytes);
    const absl::StatusOr<ClusterLimits>& limits = limits_.at(model.get()).now;
    view.set_ready(limits.ok());
    if (limits.ok()) view.set_max_model_len(limits->max_model_len);
    if (!limits.ok()) view.set_not_ready(std::string(limits.status().message()));
  }
  for (const ServedModels::Missing& model : models_.missing()) {
    v1::ModelStatus& view = views.emplace_back();
    view.set_name(model.name);
    view.mutable_aliases()->Assign(model.aliases.begin(), model.aliases.end());
    view.set_not_ready("the gateway could not load it");
  }
  return views;
}

v1::ClusterState ClusterView::State() const {
  std::lock_guard lock(mutex_);
  return state_;
}

bool ClusterView::WaitReady(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return AllReadyLocked(); });
}

}  // namespace headroom::gateway
