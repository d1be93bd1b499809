#include "llm-worker/logit_changes.h"

#include <algorithm>
#include <limits>
#include <set>

#include "model/request_limits.h"

namespace headroom::llm_worker {
namespace {

constexpr float kPenaltyMax = 2;
constexpr float kBiasMax = 100;

absl::Status CheckWithin(const char* what, float value, float limit) {
  if (value >= -limit && value <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " ", value, " is not between ", -limit, " and ", limit));
}

}  // namespace

absl::Status CheckLogitRules(const LogitRules& rules, int64_t vocab_size) {
  HEADROOM_RETURN_IF_ERROR(CheckWithin("presence_penalty", rules.presence_penalty, kPenaltyMax));
  HEADROOM_RETURN_IF_ERROR(CheckWithin("frequency_penalty", rules.frequency_penalty, kPenaltyMax));
  if (static_cast<int64_t>(rules.bias.size()) > model::kLogitBiasMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("logit_bias of ", rules.bias.size(), " ids: at most ", model::kLogitBiasMax));
  }
  std::set<int32_t> ids;
  for (const auto& [id, bias] : rules.bias) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias: id ", id, " is outside the vocabulary of ", vocab_size));
    }
    if (!ids.insert(id).second) return absl::InvalidArgumentError(absl::StrCat("logit_bias: id ", id, " stands twice"));
    HEADROOM_RETURN_IF_ERROR(CheckWithin("logit_bias", bias, kBiasMax));
  }
  return absl::OkStatus();
}

LogitChanges::LogitChanges(const LogitRules& rules, std::span<const int32_t> stop_ids, int64_t tokens_max)
    : presence_penalty_(rules.presence_penalty),
      frequency_penalty_(rules.frequency_penalty),
      min_tokens_(rules.min_tokens) {
  const size_t stops = min_tokens_ > 0 ? stop_ids.size() : 0;
  const size_t most = rules.bias.size() + stops + (rules.penalizes() ? static_cast<size_t>(tokens_max) : 0);
  changes_.reserve(most);
  known_.reserve(most);
  for (const auto& [id, bias] : rules.bias) known_[Place(id)].bias = bias;
  for (size_t i = 0; i < stops; ++i) known_[Place(stop_ids[i])].stops = true;
  for (size_t place = 0; place < known_.size(); ++place) Update(place);
}

void LogitChanges::Add(int32_t id) {
  ++tokens_;
  if (presence_penalty_ != 0 || frequency_penalty_ != 0) {
    const size_t place = Place(id);
    ++known_[place].count;
    Update(place);
  }
  if (tokens_ != min_tokens_) return;
  for (size_t place = 0; place < known_.size(); ++place) Update(place);
}

size_t LogitChanges::Place(int32_t id) {
  const auto found = std::ranges::lower_bound(changes_, id, {}, &runtime::LogitChange::id);
  const auto place = found - changes_.begin();
  if (found == changes_.end() || found->id != id) {
    changes_.insert(found, {.id = id, .delta = 0});
    known_.insert(known_.begin() + place, Known());
  }
  return static_cast<size_t>(place);
}

// From its parts anew, rounded once: the order in which they came leaves no trace.
void LogitChanges::Update(size_t place) {
  const Known& known = known_[place];
  double delta = known.bias;
  if (known.count > 0) delta -= double{presence_penalty_} + double{frequency_penalty_} * known.count;
  const bool out = known.stops && tokens_ < min_tokens_;
  changes_[place].delta = out ? -std::numeric_limits<float>::infinity() : static_cast<float>(delta);
}

}  // namespace headroom::llm_worker
