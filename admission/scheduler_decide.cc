// The half of SchedulerCore that decides who goes, who waits and who never can.
#include <algorithm>

#include "admission/scheduler_core.h"
#include "admission/seen_prices.h"
#include "common/check.h"

namespace headroom::admission {
namespace {

constexpr milliseconds kRetryMin{100};
constexpr milliseconds kRetryMax{30'000};
constexpr milliseconds kRetryNoWorker{1'000};
// Weight of the newest interval between grants.
constexpr double kSmoothing = 0.2;

bool SharesRole(const Waiting& a, const Waiting& b) {
  return a.model == b.model && ((a.price.vision && b.price.vision) || (a.price.llm && b.price.llm));
}

Refusal AboveModelLimit(Role role, const Price& price, const std::vector<const Candidate*>& serving) {
  Shortfall shortfall;
  for (const Candidate* candidate : serving) {
    const int64_t limit = role == Role::kVision ? candidate->max_patches_per_step : candidate->max_model_len;
    shortfall.capacity = std::max(shortfall.capacity, limit);
  }
  shortfall.free = shortfall.capacity;
  shortfall.budget = role == Role::kVision ? "max_patches_per_step" : "model_len";
  shortfall.needed = role == Role::kVision ? price.largest_piece_patches : price.sequence_tokens;
  const std::string text =
      role == Role::kVision
          ? absl::StrCat("a piece has ", shortfall.needed, " patches, at most ", shortfall.capacity, " are allowed")
          : absl::StrCat("prompt and max_tokens are ", shortfall.needed, " tokens, at most ", shortfall.capacity,
                         " are allowed");
  return {RefusalReason::kModelLimit, text, shortfall};
}

}  // namespace

std::optional<Refusal> SchedulerCore::WhyNever(const std::string& model, const Price& price,
                                               const std::vector<std::string>& exclude, const WorkerPools& pools,
                                               TimePoint now) const {
  for (Role role : {Role::kVision, Role::kLlm}) {
    if (!price.ForRole(role)) continue;
    const WorkerPools::Pool& pool = pools.For(model, role);
    if (Without(pool.present, exclude).empty()) {
      if (now - started_at_ < options_.startup_grace) return std::nullopt;
      return Refusal{RefusalReason::kNoWorker,
                     absl::StrCat("no ", RoleName(role), " worker serves this model now"),
                     {},
                     kRetryNoWorker};
    }
    if (Without(pool.serving, exclude).empty()) {
      return Refusal{RefusalReason::kDraining,
                     absl::StrCat("every ", RoleName(role), " worker of this model is draining"),
                     {},
                     kRetryNoWorker};
    }
  }
  const std::vector<LegChoice> legs = pools.Choices(model, price, exclude, Against::kCapacity);
  for (const LegChoice& leg : legs) {
    if (leg.candidates.empty()) {
      return AboveModelLimit(leg.role, price, Without(pools.For(model, leg.role).serving, exclude));
    }
  }
  if (Place(legs, Against::kCapacity)) return std::nullopt;
  return NeverFits(legs);
}

Refusal SchedulerCore::NeverFits(const std::vector<LegChoice>& legs) const {
  const std::vector<Shortfall> shortfalls = LeastShortfalls(legs, Against::kCapacity);
  HEADROOM_CHECK(!shortfalls.empty());
  return {RefusalReason::kNeverFits, "the request is larger than any worker: " + Describe(shortfalls.front()),
          shortfalls.front()};
}

Refusal SchedulerCore::WaitedTooLong(const Waiting& waiting, const WorkerPools& pools) const {
  const std::vector<LegChoice> legs =
      pools.Choices(waiting.model, waiting.price, waiting.exclude_workers, Against::kRoom);
  const std::vector<Shortfall> shortfalls = LeastShortfalls(legs, Against::kRoom);
  Refusal refusal{
      RefusalReason::kWaitTooLong, "no room within the time that the request may wait", {}, RetryDelay(waiting.model)};
  if (!shortfalls.empty()) {
    refusal.shortfall = shortfalls.front();
    refusal.message += ": " + Describe(shortfalls.front());
  }
  return refusal;
}

void SchedulerCore::Schedule(TimePoint now, Actions& actions) {
  held_.clear();
  if (queue_.size() == 0) return;
  WorkerPools pools(table_, now, epoch_);
  std::vector<Waiting*> passed;
  SeenPrices no_room;  // room does not grow in a pass
  for (Waiting* waiting : queue_.Order()) {
    // Refused at the next tick; room must not go to a caller that is not there any more.
    if (waiting->give_up_at <= now) continue;
    std::optional<std::vector<size_t>> chosen;
    const bool held = Held(waiting->model, waiting->price);
    std::vector<LegChoice> legs;
    const bool known = held || no_room.HasAtMost(*waiting);
    if (!known) {
      legs = pools.Choices(waiting->model, waiting->price, waiting->exclude_workers, Against::kRoom);
      chosen = Place(legs, Against::kRoom);
    }
    if (!chosen) {
      if (!known) no_room.Note(*waiting);
      passed.push_back(waiting);
      if (waiting->overtaken >= options_.overtakes_max) Protect(*waiting, pools);
      continue;
    }
    for (Waiting* other : passed) {
      if (!SharesRole(*other, *waiting)) continue;
      ++other->overtaken;
      if (other->overtaken == options_.overtakes_max) Protect(*other, pools);
    }
    GrantTo(*waiting, legs, *chosen, pools, now, actions);
  }
}

void SchedulerCore::GrantTo(const Waiting& waiting, const std::vector<LegChoice>& legs,
                            const std::vector<size_t>& chosen, WorkerPools& pools, TimePoint now, Actions& actions) {
  Grant grant{.id = waiting.grant == GrantId{} ? GrantId{random_.Next(), random_.Next()} : waiting.grant,
              .cluster_id = options_.workers.cluster_id,
              .epoch = epoch_,
              .legs = {},
              .ttl = options_.grant_ttl,
              .model = waiting.model};
  for (size_t i = 0; i < legs.size(); ++i) {
    const Candidate& candidate = *legs[i].candidates[chosen[i]];
    grant.legs.push_back({.role = legs[i].role,
                          .worker = candidate.worker,
                          .endpoint = candidate.endpoint,
                          .incarnation = table_.workers().at(candidate.worker).incarnation,
                          .rank = 0,
                          .resources = legs[i].need});
    pools.Take(candidate.worker, legs[i].need);
  }
  table_.AddGrant(grant, ReclaimAt(now));
  history_.Granted(grant, waiting.request_id, waiting.tenant, now);
  Pace& pace = paces_[waiting.model];
  if (pace.last_grant_at) {
    const double interval =
        std::min<double>(static_cast<double>(Milliseconds(now - *pace.last_grant_at)), kRetryMax.count());
    pace.interval_ms += kSmoothing * (interval - pace.interval_ms);
  }
  pace.last_grant_at = now;
  actions.push_back(Granted{waiting.ticket, std::move(grant), milliseconds(Milliseconds(now - waiting.arrival))});
  queue_.Serve(waiting.ticket);
}

void SchedulerCore::Protect(Waiting& waiting, const WorkerPools& pools) {
  const std::vector<LegChoice> legs =
      pools.Choices(waiting.model, waiting.price, waiting.exclude_workers, Against::kRoom);
  // Waiting alone will not help where no worker that is ready could ever take it (a larger one may be loading): then it
  // must not keep others from those that are.
  if (!Place(legs, Against::kCapacity)) return;
  if (!Place(legs, Against::kRoom)) {
    for (Role role : ShortRoles(legs, Against::kRoom)) {
      (role == Role::kVision ? waiting.protects_vision : waiting.protects_llm) = true;
    }
  }
  if (waiting.protects_vision) held_.emplace(waiting.model, Role::kVision);
  if (waiting.protects_llm) held_.emplace(waiting.model, Role::kLlm);
}

bool SchedulerCore::Held(const std::string& model, const Price& price) const {
  if (held_.empty()) return false;
  return (price.vision && held_.contains({model, Role::kVision})) || (price.llm && held_.contains({model, Role::kLlm}));
}

void SchedulerCore::RefuseHopeless(TimePoint now, Actions& actions) {
  if (queue_.size() == 0) return;
  const WorkerPools pools(table_, now, epoch_);
  SeenPrices possible;
  for (const Waiting* waiting : queue_.Order()) {
    std::optional<Refusal> refusal;
    if (waiting->give_up_at <= now) {
      refusal = WaitedTooLong(*waiting, pools);
    } else if (!possible.HasAtLeast(*waiting)) {
      refusal = WhyNever(waiting->model, waiting->price, waiting->exclude_workers, pools, now);
      if (!refusal) possible.Note(*waiting);
    }
    if (!refusal) continue;
    const Ticket ticket = waiting->ticket;
    Refuse(RefuseeOf(*waiting), std::move(*refusal), pools, now, actions);
    queue_.Remove(ticket);
  }
}

// A model's share of the queue is told in places of the whole: so many more would give it one.
Refusal SchedulerCore::QueueFull(const std::string& model, size_t models) const {
  const size_t of_model = queue_.SizeOf(model);
  const std::string text =
      models == 1 ? absl::StrCat("the queue is full: ", queue_.size(), " requests wait")
                  : absl::StrCat("the queue is full: ", of_model, " requests for this model wait, ", queue_.size(),
                                 " in all, and ", models, " models share ", options_.queue.entries_max, " places");
  return {RefusalReason::kQueueFull, text,
          Shortfall{"queue", "", static_cast<int64_t>(models), 0, static_cast<int64_t>(options_.queue.entries_max)},
          RetryDelay(model)};
}

milliseconds SchedulerCore::RetryDelay(const std::string& model) const {
  const auto pace = paces_.find(model);
  const double interval = pace == paces_.end() ? 0 : pace->second.interval_ms;
  const double wait = interval * static_cast<double>(queue_.SizeOf(model) + 1);
  return milliseconds(std::clamp(static_cast<int64_t>(wait), kRetryMin.count(), kRetryMax.count()));
}

TimePoint SchedulerCore::ReclaimAt(TimePoint now) const {
  return now + options_.grant_ttl * 11 / 10 + options_.round_trip;
}

}  // namespace headroom::admission
