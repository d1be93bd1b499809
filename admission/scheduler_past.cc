// The part of SchedulerCore that remembers: ledgers as they were reported, and refusals with the numbers of their
// moment.
#include <algorithm>

#include "admission/scheduler_core.h"

namespace headroom::admission {

void SchedulerCore::Report(LinkId link, const LedgerReport& report, TimePoint now) {
  const Worker* worker = table_.Find(link);
  if (worker == nullptr) return;
  history_.Report(worker->info, worker->incarnation, worker->state, report, now);
  device_bytes_[worker->info.worker] = report.total_bytes;
}

SchedulerCore::Refusee SchedulerCore::RefuseeOf(const Waiting& waiting) {
  return {waiting.ticket, waiting.request_id,      waiting.tenant, waiting.model,
          waiting.price,  waiting.exclude_workers, waiting.arrival};
}

void SchedulerCore::Refuse(const Refusee& refusee, Refusal refusal, const WorkerPools& pools, TimePoint now,
                           Actions& actions) {
  refusals_.Add({.at = now,
                 .request_id = refusee.request_id,
                 .tenant = refusee.tenant,
                 .model = refusee.model,
                 .reason = refusal.reason,
                 .message = refusal.message,
                 .shortfall = refusal.shortfall,
                 .price = refusee.price,
                 .legs = NearestLegs(refusee, refusal, pools),
                 .waited = milliseconds(Milliseconds(now - refusee.arrival)),
                 .queue_entries = static_cast<int64_t>(queue_.size()),
                 .retry_delay = refusal.retry_delay});
  actions.push_back(Refused{refusee.ticket, std::move(refusal)});
}

std::vector<RefusedLeg> SchedulerCore::NearestLegs(const Refusee& refusee, const Refusal& refusal,
                                                   const WorkerPools& pools) const {
  std::vector<RefusedLeg> legs;
  const std::string named = refusal.shortfall ? refusal.shortfall->worker : "";
  for (Role role : {Role::kVision, Role::kLlm}) {
    const std::optional<Resources>& need = refusee.price.ForRole(role);
    if (!need) continue;
    // With those whose limits exclude it: their limits are what there is to say.
    const LegChoice leg{role, *need, Without(pools.For(refusee.model, role).serving, refusee.exclude_workers)};
    const Candidate* nearest = Nearest(leg, InfoOf(refusal.reason).retry ? Against::kRoom : Against::kCapacity);
    for (const Candidate* candidate : leg.candidates) {
      if (candidate->worker == named) nearest = candidate;
    }
    if (nearest == nullptr) continue;
    const WorkerInfo& info = table_.workers().at(nearest->worker).info;
    RefusedLeg refused{.role = role,
                       .need = *need,
                       .worker = nearest->worker,
                       .device = info.device,
                       .capacity = nearest->capacity,
                       .room = nearest->room,
                       .max_patches_per_step = nearest->max_patches_per_step,
                       .max_model_len = nearest->max_model_len,
                       .block_size = info.block_size,
                       .block_bytes = info.kv_block_bytes,
                       .row_bytes = info.embedding_row_bytes};
    if (const auto bytes = device_bytes_.find(nearest->worker); bytes != device_bytes_.end()) {
      refused.device_bytes = bytes->second;
    }
    legs.push_back(std::move(refused));
  }
  return legs;
}

}  // namespace headroom::admission
