// The workers at one moment, sorted by what they can be asked for. Made once per decision pass; grants of the pass
// lower the room here as they do in the table. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "admission/placement.h"
#include "admission/worker_table.h"

namespace headroom::admission {

class WorkerPools {
 public:
  // The workers of one model and role that are present.
  struct Pool {
    std::vector<const Candidate*> present;
    std::vector<const Candidate*> serving;    // present and not draining: worth waiting for
    std::vector<const Candidate*> placeable;  // may get a grant now
  };

  WorkerPools(const WorkerTable& table, TimePoint now, uint64_t epoch);

  // Models with a worker that is present.
  size_t models() const { return models_.size(); }
  // Empty lists when there is none.
  const Pool& For(const std::string& model, Role role) const;

  // One entry per role of the price, with the candidates that are within their limits and not excluded: the placeable
  // ones for kRoom, the serving ones for kCapacity.
  std::vector<LegChoice> Choices(const std::string& model, const Price& price, const std::vector<std::string>& exclude,
                                 Against against) const;

  void Take(const std::string& worker, const Resources& need);

 private:
  std::map<std::string, Candidate> candidates_;
  std::map<std::pair<std::string, Role>, Pool> pools_;
  std::set<std::string> models_;
};

// `list` without the excluded workers.
std::vector<const Candidate*> Without(const std::vector<const Candidate*>& list,
                                      const std::vector<std::string>& exclude);

// Roles that no candidate of theirs has room for; all roles when each fits alone but not together. Only for choices
// that Place refused.
std::set<Role> ShortRoles(const std::vector<LegChoice>& legs, Against against);

// The candidate that is short of the least part of its capacity, or that has the most room when some fit; null without
// candidates.
const Candidate* Nearest(const LegChoice& leg, Against against);

// What each short leg is short of, at the candidate that is short of the least. Only for choices that Place refused; no
// entry for a leg without candidates.
std::vector<Shortfall> LeastShortfalls(const std::vector<LegChoice>& legs, Against against);

}  // namespace headroom::admission
