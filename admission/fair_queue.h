// The waiting requests of the scheduler, in serving order: higher priority classes first; inside a class fair between
// tenants by a virtual token counter (Sheng et al., OSDI 2024): the backlogged tenant that was served least goes first,
// a grant charges its cost, and a tenant that comes back after a pause starts at the counter of the last one served, so
// that idling saves up nothing. Inside a tenant in order of arrival.
//
// Models share its places evenly: requests for one that is full must not take those of another. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "admission/grant.h"
#include "common/clock.h"

namespace headroom::admission {

// Names one Reserve call inside a scheduler process.
using Ticket = uint64_t;

struct Waiting {
  Ticket ticket = 0;
  std::string request_id = {};
  std::string tenant;
  int32_t priority = 0;  // kPriorityMin … kPriorityMax
  int64_t cost = 1;      // charged to the tenant when served: tokens; 0 for a request that was charged before
  TimePoint arrival;     // moved back by the time that it had waited elsewhere
  TimePoint give_up_at;
  std::string model;
  Price price;
  std::vector<std::string> exclude_workers;
  GrantId grant = {};  // as in Reserve

  // The scheduler's notes.
  int64_t overtaken = 0;         // later ones that were served first
  bool protects_vision = false;  // nobody behind may take room of this role of this model
  bool protects_llm = false;
};

class FairQueue {
 public:
  struct Options {
    size_t entries_max = 1024;
    size_t bytes_max = size_t{16} << 20;  // what the entries hold, estimated
    // Counters of tenants that wait for nothing are kept up to so many per class; beyond, the least served are
    // forgotten.
    size_t idle_tenants_max = 1024;
  };
  explicit FairQueue(Options options) : options_(options) {}

  // False when entries or bytes would go over their bound, or those of its model over a part of it, 1 / `models`;
  // nothing changes then. The ticket must be new.
  bool Push(Waiting waiting, size_t models = 1);
  // All entries, next to be served first. Pointers are good until that entry leaves.
  std::vector<Waiting*> Order();
  // Null when the ticket is not waiting.
  Waiting* Find(Ticket ticket);
  // The one that wants this id for its grant, or null.
  const Waiting* FindGrant(const GrantId& id) const;
  // Takes it out; Serve also charges its tenant.
  void Serve(Ticket ticket);
  void Remove(Ticket ticket);

  size_t size() const { return index_.size(); }
  size_t bytes() const { return bytes_; }
  size_t SizeOf(const std::string& model) const;
  const Options& options() const { return options_; }

 private:
  struct Tenant {
    int64_t served = 0;
    std::list<Waiting> waiting;  // by arrival
  };
  struct Class {
    std::map<std::string, Tenant> tenants;
    int64_t served_floor = 0;  // counter of the tenant served last, before that charge
  };
  using Position = std::list<Waiting>::iterator;
  struct Sum {
    size_t entries = 0;
    size_t bytes = 0;
  };

  static size_t BytesOf(const Waiting& waiting);
  void AppendOrder(Class& priority_class, std::vector<Waiting*>& order);
  void ForgetIdle(Class& priority_class);

  Options options_;
  std::map<int32_t, Class, std::greater<>> classes_;
  std::unordered_map<Ticket, Position> index_;
  std::map<GrantId, Ticket> grants_;   // of those that chose one
  std::map<std::string, Sum> models_;  // of those that wait
  size_t bytes_ = 0;
};

}  // namespace headroom::admission
