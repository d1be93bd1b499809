// Limits of the fields of a model's config: wider than any model, narrow enough that a product of two, and the
// rows and columns of every matrix, stay inside the bounds that CheckTensorSizes() holds a model to.
#pragma once

#include <cstdint>

namespace headroom::model::reading {

inline constexpr int64_t kWidthMax = 1 << 20;
inline constexpr int64_t kMlpWidthMax = 1 << 22;
inline constexpr int64_t kLayersMax = 1024;
inline constexpr int64_t kHeadsMax = 4096;
inline constexpr int64_t kHeadDimMax = 4096;
inline constexpr int64_t kVocabularyMax = 1 << 24;
inline constexpr int64_t kPositionsMax = 1 << 24;
inline constexpr int64_t kExpertsMax = 1 << 14;
inline constexpr int64_t kSideMax = 1 << 14;  // pixels of a picture, frames of a piece of audio

}  // namespace headroom::model::reading
