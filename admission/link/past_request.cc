#include "admission/link/past_request.h"

#include <limits>

#include "common/range.h"

namespace headroom::admission {
namespace {

constexpr int64_t kAny = std::numeric_limits<int64_t>::max();

}  // namespace

absl::Status CheckRequest(const v1::GetHistoryRequest& request) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("age_ms", request.age_ms(), 0, kAny));
  HEADROOM_RETURN_IF_ERROR(CheckRange("span_ms", request.span_ms(), 0, kAny));
  HEADROOM_RETURN_IF_ERROR(CheckRange("since_begin_ms", request.since_begin_ms(), 0, kAny));
  HEADROOM_RETURN_IF_ERROR(CheckRange("legs_max", request.legs_max(), 0, kHistoryLegsMax));
  return CheckRange("points_max", request.points_max(), 0, kHistoryPointsMax);
}

absl::Status CheckRequest(const v1::GetRefusalsRequest& request) {
  return CheckRange("count", request.count(), 0, kRefusalsMax);
}

}  // namespace headroom::admission
