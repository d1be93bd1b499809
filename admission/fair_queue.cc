#include "admission/fair_queue.h"

#include <algorithm>
#include <queue>

#include "common/check.h"

namespace headroom::admission {

size_t FairQueue::BytesOf(const Waiting& waiting) {
  size_t bytes =
      sizeof(Waiting) + sizeof(GrantId) + waiting.request_id.size() + 2 * waiting.tenant.size() + waiting.model.size();
  for (const std::string& name : waiting.exclude_workers) bytes += sizeof(std::string) + name.size();
  return bytes;
}

size_t FairQueue::SizeOf(const std::string& model) const {
  const auto found = models_.find(model);
  return found == models_.end() ? 0 : found->second.entries;
}

bool FairQueue::Push(Waiting waiting, size_t models) {
  const size_t bytes = BytesOf(waiting);
  if (index_.size() >= options_.entries_max || bytes > options_.bytes_max - bytes_) return false;
  const auto found = models_.find(waiting.model);
  const Sum of_model = found == models_.end() ? Sum() : found->second;
  // Rounded up, so that each may wait at all.
  if (of_model.entries >= (options_.entries_max + models - 1) / models) return false;
  if (of_model.entries > 0 && of_model.bytes + bytes > options_.bytes_max / models) return false;
  HEADROOM_CHECK(!index_.contains(waiting.ticket)) << "ticket " << waiting.ticket << " waits twice";
  HEADROOM_CHECK(waiting.priority >= kPriorityMin && waiting.priority <= kPriorityMax) << waiting.priority;
  Class& priority_class = classes_[waiting.priority];
  Tenant& tenant = priority_class.tenants[waiting.tenant];
  if (tenant.waiting.empty()) tenant.served = std::max(tenant.served, priority_class.served_floor);
  // Nearly always at the end: only moved requests bring an earlier arrival.
  auto position = tenant.waiting.end();
  while (position != tenant.waiting.begin() && std::prev(position)->arrival > waiting.arrival) --position;
  const Ticket ticket = waiting.ticket;
  models_[waiting.model] = {of_model.entries + 1, of_model.bytes + bytes};
  if (waiting.grant != GrantId{}) grants_[waiting.grant] = ticket;
  index_[ticket] = tenant.waiting.insert(position, std::move(waiting));
  bytes_ += bytes;
  ForgetIdle(priority_class);
  return true;
}

std::vector<Waiting*> FairQueue::Order() {
  std::vector<Waiting*> order;
  order.reserve(index_.size());
  for (auto& [priority, priority_class] : classes_) AppendOrder(priority_class, order);
  return order;
}

// Plays the service of the whole class forward: least served first, each charged in turn.
void FairQueue::AppendOrder(Class& priority_class, std::vector<Waiting*>& order) {
  struct Turn {
    int64_t served;
    Position next;
    Position end;
    // For a min-heap; equal counters go by arrival.
    bool operator<(const Turn& other) const {
      if (served != other.served) return served > other.served;
      if (next->arrival != other.next->arrival) return next->arrival > other.next->arrival;
      return next->ticket > other.next->ticket;
    }
  };
  std::priority_queue<Turn> turns;
  for (auto& [name, tenant] : priority_class.tenants) {
    if (!tenant.waiting.empty()) turns.push({tenant.served, tenant.waiting.begin(), tenant.waiting.end()});
  }
  while (!turns.empty()) {
    Turn turn = turns.top();
    turns.pop();
    order.push_back(&*turn.next);
    turn.served += turn.next->cost;
    if (++turn.next != turn.end) turns.push(turn);
  }
}

Waiting* FairQueue::Find(Ticket ticket) {
  auto found = index_.find(ticket);
  return found == index_.end() ? nullptr : &*found->second;
}

const Waiting* FairQueue::FindGrant(const GrantId& id) const {
  const auto found = grants_.find(id);
  return found == grants_.end() ? nullptr : &*index_.at(found->second);
}

void FairQueue::Serve(Ticket ticket) {
  const Waiting* waiting = Find(ticket);
  HEADROOM_CHECK(waiting != nullptr);
  Class& priority_class = classes_[waiting->priority];
  Tenant& tenant = priority_class.tenants[waiting->tenant];
  priority_class.served_floor = std::max(priority_class.served_floor, tenant.served);
  tenant.served += waiting->cost;
  Remove(ticket);
}

void FairQueue::Remove(Ticket ticket) {
  auto found = index_.find(ticket);
  if (found == index_.end()) return;
  const Position position = found->second;
  const size_t bytes = BytesOf(*position);
  bytes_ -= bytes;
  const auto of_model = models_.find(position->model);
  of_model->second.bytes -= bytes;
  if (--of_model->second.entries == 0) models_.erase(of_model);
  Class& priority_class = classes_[position->priority];
  index_.erase(found);
  grants_.erase(position->grant);
  priority_class.tenants[position->tenant].waiting.erase(position);
}

void FairQueue::ForgetIdle(Class& priority_class) {
  const size_t limit = options_.idle_tenants_max + index_.size();
  if (priority_class.tenants.size() <= limit) return;
  // A counter at or below the floor says nothing that the floor does not.
  std::erase_if(priority_class.tenants, [&](const auto& entry) {
    return entry.second.waiting.empty() && entry.second.served <= priority_class.served_floor;
  });
  while (priority_class.tenants.size() > limit) {
    auto least = priority_class.tenants.end();
    for (auto it = priority_class.tenants.begin(); it != priority_class.tenants.end(); ++it) {
      if (!it->second.waiting.empty()) continue;
      if (least == priority_class.tenants.end() || it->second.served < least->second.served) least = it;
    }
    priority_class.tenants.erase(least);
  }
}

}  // namespace headroom::admission
