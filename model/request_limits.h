// Bounds of one request that both its check and the memory plan count with.
#pragma once

#include <cstdint>

namespace headroom::model {

inline constexpr int64_t kLogitBiasMax = 1024;  // ids
inline constexpr int64_t kStopIdsMax = 128;     // the model's own and the request's
inline constexpr int64_t kChoicesMax = 16;
inline constexpr int64_t kAlternativesMax = 20;  // beside the token itself

}  // namespace headroom::model
