// Requests that were refused lately, with the numbers of that moment, and what would have made them fit. Pure; not
// thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "admission/grant.h"
#include "common/clock.h"
#include "common/refusal_reason.h"
#include "common/status.h"

namespace headroom::admission {

// One leg of the price, and the worker that came nearest to taking it.
struct RefusedLeg {
  Role role = Role::kLlm;
  Resources need = {};
  std::string worker = {};
  std::string device = {};
  Resources capacity = {};
  Resources room = {};  // free at that moment
  int64_t max_patches_per_step = 0;
  int64_t max_model_len = 0;
  int64_t block_size = 0;
  int64_t block_bytes = 0;   // of a KV block; 0: it has none
  int64_t row_bytes = 0;     // of a row of embeddings; 0: it takes no images
  int64_t device_bytes = 0;  // that the worker's device promises; 0: not known
};

struct RefusalRecord {
  TimePoint at = {};
  std::string request_id = {};
  std::string tenant = {};
  std::string model = {};  // fingerprint
  RefusalReason reason = RefusalReason::kInvalidReserve;
  std::string message = {};
  std::optional<Shortfall> shortfall = {};
  Price price = {};
  std::vector<RefusedLeg> legs = {};
  milliseconds waited{0};
  int64_t queue_entries = 0;
  milliseconds retry_delay{0};

  // Refused for what workers can do at all, not for what they hold now.
  bool IsForEver() const { return !InfoOf(reason).retry; }
  // The leg whose worker the shortfall names; null when there is none.
  const RefusedLeg* ShortLeg() const;
  // Bytes of one unit of the short budget: of a KV block, 1 where it counts bytes, 0 where it has none.
  int64_t UnitBytes() const;
};

// One change that alone would have made the request fit.
struct Remedy {
  std::string what = {};  // max_tokens, images, pieces; or a key of the configuration, such as knobs.max_num_seqs
  int64_t now = 0;        // its value at that moment; 0: not known
  int64_t fits = 0;       // largest (of the request) or smallest (of the configuration) value that would have done
  bool bytes = false;
  bool request = false;  // the client can change it; else the operator
  std::string note = {};
};

// Empty when no budget was short. The note says of keys of the configuration that help only together.
std::vector<Remedy> Remedies(const RefusalRecord& refusal);

// The last ones, in a fixed number of bytes.
class RefusalLog {
 public:
  explicit RefusalLog(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Text is cut at kTextBytesMax bytes.
  void Add(RefusalRecord record);
  // Newest first, at most `count`; of one request when `request_id` is not empty.
  std::vector<RefusalRecord> Last(const std::string& request_id, size_t count) const;
  size_t size() const { return records_.size(); }
  size_t bytes() const { return bytes_; }

  static constexpr size_t kTextBytesMax = 512;

 private:
  const size_t bytes_max_;
  std::deque<std::pair<RefusalRecord, size_t>> records_;  // oldest first
  size_t bytes_ = 0;
};

}  // namespace headroom::admission
