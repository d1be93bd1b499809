// The workers that one request has met: which failed it, and whether it may go to another one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "admission/grant.h"
#include "common/refusal_reason.h"
#include "common/status.h"

namespace headroom::gateway {

class Attempts {
 public:
  // With a new grant: no worker has failed yet.
  void Begin() { failed_worker_.clear(); }
  // Notes which worker failed, and whether it had begun: a refusal of its own carries a reason. Returns `status`.
  absl::Status Failed(const admission::Leg& leg, absl::Status status, bool accepted);
  // Whether the request may ask for a new grant after `status`: it moves away from workers that had not begun with it,
  // and once from a worker that was lost while `decoding`. One lost before that may have been killed by this very
  // request, which must not meet a second worker.
  bool Move(const absl::Status& status, bool decoding);

  bool moved() const { return refusals_ + losses_ > 0; }
  const std::string& failed_worker() const { return failed_worker_; }
  // Workers that the next grant must not name.
  const std::vector<std::string>& excluded() const { return excluded_; }

 private:
  std::vector<std::string> excluded_;
  std::string failed_worker_;                    // set when a worker ended this round
  std::optional<RefusalReason> failure_reason_;  // what it gave
  bool touched_ = false;                         // it had begun with the request
  int refusals_ = 0;
  int losses_ = 0;
};

}  // namespace headroom::gateway
