// Requests that this gateway refused itself, before it asked the scheduler: for `headroom explain`. The scheduler keeps
// its own.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "admission/refusals.h"
#include "headroom/v1/cluster.pb.h"

namespace headroom::gateway {

// A refusal marked as the gateway's own. Where a budget was short, its numbers go into the ErrorInfo. `prompt_tokens`:
// 0 where it is not known.
absl::Status OwnRefusal(RefusalReason reason, const std::string& message,
                        const std::optional<admission::Shortfall>& shortfall = {},
                        std::optional<std::chrono::milliseconds> retry_delay = {}, int64_t prompt_tokens = 0);

// Thread-safe.
class OwnRefusals {
 public:
  // Remembers it when it is an OwnRefusal.
  void Note(const absl::Status& status, const std::string& request_id, TimePoint now);
  // As messages, newest first.
  std::vector<v1::RefusalView> Last(const std::string& request_id, size_t count, TimePoint now) const;

 private:
  mutable std::mutex mutex_;
  admission::RefusalLog log_{size_t{256} << 10};
};

}  // namespace headroom::gateway
