#include "admission/worker_pools.h"

#include <algorithm>

namespace headroom::admission {
namespace {

const Resources& Free(const Candidate& candidate, Against against) {
  return against == Against::kRoom ? candidate.room : candidate.capacity;
}

bool FitsAlone(const LegChoice& leg, Against against) {
  return std::any_of(leg.candidates.begin(), leg.candidates.end(),
                     [&](const Candidate* candidate) { return Fits(leg.need, Free(*candidate, against)); });
}

// What is lacked, relative to the capacity, so that slots and bytes compare.
double LackedShare(const Shortfall& shortfall) {
  return static_cast<double>(shortfall.needed - shortfall.free) /
         static_cast<double>(std::max<int64_t>(1, shortfall.capacity));
}

std::optional<Shortfall> LeastShortfall(const Resources& need, const std::vector<const Candidate*>& candidates,
                                        Against against) {
  std::optional<Shortfall> least;
  for (const Candidate* candidate : candidates) {
    auto worst = WorstShortfall(need, Free(*candidate, against), candidate->capacity, candidate->worker);
    if (worst && (!least || LackedShare(*worst) < LackedShare(*least))) least = std::move(worst);
  }
  return least;
}

}  // namespace

WorkerPools::WorkerPools(const WorkerTable& table, TimePoint now, uint64_t epoch) {
  for (const auto& [name, worker] : table.workers()) {
    if (!table.Present(worker, now)) continue;
    const Candidate* candidate = &candidates_
                                      .emplace(name, Candidate{.worker = name,
                                                               .endpoint = worker.info.endpoint,
                                                               .capacity = worker.info.capacity,
                                                               .room = ClampedAtZero(worker.Room()),
                                                               .max_patches_per_step = worker.info.max_patches_per_step,
                                                               .max_model_len = worker.info.max_model_len})
                                      .first->second;
    models_.insert(worker.info.model);
    for (Role role : {Role::kVision, Role::kLlm}) {
      if (!worker.Has(role)) continue;
      Pool& pool = pools_[{worker.info.model, role}];
      pool.present.push_back(candidate);
      if (worker.state != WorkerState::kDraining) pool.serving.push_back(candidate);
      if (table.Placeable(worker, now, epoch)) pool.placeable.push_back(candidate);
    }
  }
}

const WorkerPools::Pool& WorkerPools::For(const std::string& model, Role role) const {
  static const Pool kNone;
  const auto found = pools_.find({model, role});
  return found == pools_.end() ? kNone : found->second;
}

std::vector<LegChoice> WorkerPools::Choices(const std::string& model, const Price& price,
                                            const std::vector<std::string>& exclude, Against against) const {
  std::vector<LegChoice> legs;
  for (Role role : {Role::kVision, Role::kLlm}) {
    const std::optional<Resources>& need = price.ForRole(role);
    if (!need) continue;
    const Pool& pool = For(model, role);
    LegChoice leg{role, *need, Without(against == Against::kRoom ? pool.placeable : pool.serving, exclude)};
    std::erase_if(leg.candidates, [&](const Candidate* candidate) { return !WithinLimits(*candidate, role, price); });
    legs.push_back(std::move(leg));
  }
  return legs;
}

void WorkerPools::Take(const std::string& worker, const Resources& need) {
  Candidate& candidate = candidates_.at(worker);
  candidate.room = ClampedAtZero(candidate.room - need);
}

std::vector<const Candidate*> Without(const std::vector<const Candidate*>& list,
                                      const std::vector<std::string>& exclude) {
  std::vector<const Candidate*> result = list;
  if (exclude.empty()) return result;
  std::erase_if(result, [&](const Candidate* candidate) {
    return std::find(exclude.begin(), exclude.end(), candidate->worker) != exclude.end();
  });
  return result;
}

const Candidate* Nearest(const LegChoice& leg, Against against) {
  const Candidate* nearest = nullptr;
  double least = 0;
  for (const Candidate* candidate : leg.candidates) {
    const Resources& free = Free(*candidate, against);
    // Those that fit come before all others.
    const auto worst = WorstShortfall(leg.need, free, candidate->capacity, candidate->worker);
    const double part =
        worst ? LackedShare(*worst) : LoadRatio(candidate->capacity - free + leg.need, candidate->capacity) - 2;
    if (nearest == nullptr || part < least) {
      nearest = candidate;
      least = part;
    }
  }
  return nearest;
}

std::set<Role> ShortRoles(const std::vector<LegChoice>& legs, Against against) {
  std::set<Role> all;
  std::set<Role> alone;
  for (const LegChoice& leg : legs) {
    all.insert(leg.role);
    if (!FitsAlone(leg, against)) alone.insert(leg.role);
  }
  return alone.empty() ? all : alone;
}

std::vector<Shortfall> LeastShortfalls(const std::vector<LegChoice>& legs, Against against) {
  std::vector<Shortfall> result;
  for (const LegChoice& leg : legs) {
    if (FitsAlone(leg, against)) continue;
    if (auto least = LeastShortfall(leg.need, leg.candidates, against)) result.push_back(std::move(*least));
  }
  if (!result.empty() || legs.size() < 2) return result;
  // Each leg fits, their sum on the one worker that both need does not.
  Resources sum;
  for (const LegChoice& leg : legs) sum += leg.need;
  if (auto least = LeastShortfall(sum, legs.front().candidates, against)) result.push_back(std::move(*least));
  return result;
}

}  // namespace headroom::admission
