#include "model/reading/stop_ids.h"

#include <algorithm>

#include "common/log.h"
#include "model/reading/limits.h"

namespace headroom::model::reading {
namespace {

constexpr size_t kStopIdsMax = 64;

}  // namespace

void AddStopIds(FieldReader& reader, int64_t vocab_size, std::vector<int64_t>& ids) {
  for (const int64_t id : reader.Ints("eos_token_id", 0, kVocabularyMax, kStopIdsMax)) {
    if (id >= vocab_size) {
      Log(LogLevel::kWarning, "model", "eos_token_id beyond the vocabulary ignored")
          .With("id", id)
          .With("vocabulary", vocab_size);
    } else if (std::find(ids.begin(), ids.end(), id) == ids.end()) {
      ids.push_back(id);
    }
  }
}

}  // namespace headroom::model::reading
