#include "admission/placement.h"

#include <algorithm>
#include <string_view>
#include <tuple>

#include "common/check.h"

namespace headroom::admission {
namespace {

// Loads that differ by less than 1/16 count as equal, so that nearness has a say.
constexpr double kLoadSteps = 16;

// Smaller is better, compared from the left: load, nearness, exact load, names (so that ties do not depend on chance).
using Score = std::tuple<int, int, double, std::string_view, std::string_view>;

const Resources& Free(const Candidate& candidate, Against against) {
  return against == Against::kRoom ? candidate.room : candidate.capacity;
}

double LoadAfter(const Candidate& candidate, const Resources& need, Against against) {
  return LoadRatio(candidate.capacity - Free(candidate, against) + need, candidate.capacity);
}

std::optional<std::vector<size_t>> PlaceOne(const LegChoice& leg, Against against) {
  std::optional<std::pair<Score, size_t>> best;
  for (size_t i = 0; i < leg.candidates.size(); ++i) {
    const Candidate& candidate = *leg.candidates[i];
    if (!Fits(leg.need, Free(candidate, against))) continue;
    const Score score(0, 0, LoadAfter(candidate, leg.need, against), candidate.worker, "");
    if (!best || score < best->first) best = {score, i};
  }
  if (!best) return std::nullopt;
  return std::vector<size_t>{best->second};
}

std::optional<std::vector<size_t>> PlaceTwo(const LegChoice& first, const LegChoice& second, Against against) {
  std::optional<std::tuple<Score, size_t, size_t>> best;
  for (size_t i = 0; i < first.candidates.size(); ++i) {
    const Candidate& a = *first.candidates[i];
    if (!Fits(first.need, Free(a, against))) continue;
    for (size_t j = 0; j < second.candidates.size(); ++j) {
      const Candidate& b = *second.candidates[j];
      const Resources need = a.worker == b.worker ? first.need + second.need : second.need;
      if (!Fits(need, Free(b, against))) continue;
      const double load = std::max(LoadAfter(a, first.need, against), LoadAfter(b, need, against));
      const Score score(static_cast<int>(load * kLoadSteps), -Nearness(a.endpoint, b.endpoint), load, a.worker,
                        b.worker);
      if (!best || score < std::get<Score>(*best)) best = {score, i, j};
    }
  }
  if (!best) return std::nullopt;
  return std::vector<size_t>{std::get<1>(*best), std::get<2>(*best)};
}

}  // namespace

bool WithinLimits(const Candidate& candidate, Role role, const Price& price) {
  if (role == Role::kVision) return price.largest_piece_patches <= candidate.max_patches_per_step;
  return price.sequence_tokens <= candidate.max_model_len;
}

std::optional<std::vector<size_t>> Place(const std::vector<LegChoice>& legs, Against against) {
  HEADROOM_CHECK(legs.size() <= 2);
  if (legs.empty()) return std::vector<size_t>{};
  return legs.size() == 1 ? PlaceOne(legs[0], against) : PlaceTwo(legs[0], legs[1], against);
}

int Nearness(const std::string& endpoint_a, const std::string& endpoint_b) {
  if (endpoint_a == endpoint_b) return 2;
  const std::string host_a = endpoint_a.substr(0, endpoint_a.rfind(':'));
  if (host_a != endpoint_b.substr(0, endpoint_b.rfind(':'))) return 0;
  // inproc:NAME: the part before the colon says that both are in this process.
  return host_a == "inproc" ? 2 : 1;
}

}  // namespace headroom::admission
