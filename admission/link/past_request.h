// What may be asked about the recent past: the ranges that stand beside the fields in headroom/v1/cluster.proto.
#pragma once

#include <cstdint>

#include "common/status.h"
#include "headroom/v1/cluster.pb.h"

namespace headroom::admission {

inline constexpr int64_t kHistoryLegsDefault = 200;
inline constexpr int64_t kHistoryLegsMax = 5'000;
inline constexpr int64_t kHistoryPointsDefault = 60;
inline constexpr int64_t kHistoryPointsMax = 1'000;
inline constexpr int64_t kRefusalsDefault = 1;
inline constexpr int64_t kRefusalsMax = 100;

// INVALID_ARGUMENT with the field, its value and its range.
absl::Status CheckRequest(const v1::GetHistoryRequest& request);
absl::Status CheckRequest(const v1::GetRefusalsRequest& request);

}  // namespace headroom::admission
