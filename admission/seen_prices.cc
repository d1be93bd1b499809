#include "admission/seen_prices.h"

#include <algorithm>

namespace headroom::admission {
namespace {

bool IsWithin(const std::optional<Resources>& a, const std::optional<Resources>& b) {
  return a.has_value() == b.has_value() && (!a || Fits(*a, *b));
}

bool AskTheSameWorkers(const Waiting& a, const Waiting& b) {
  return a.model == b.model && a.exclude_workers == b.exclude_workers;
}

}  // namespace

bool IsWithin(const Price& a, const Price& b) {
  return a.largest_piece_patches <= b.largest_piece_patches && a.sequence_tokens <= b.sequence_tokens &&
         IsWithin(a.llm, b.llm) && IsWithin(a.vision, b.vision);
}

void SeenPrices::Note(const Waiting& waiting) {
  if (seen_.size() < kSeenMax) {
    seen_.push_back(&waiting);
  } else {
    seen_[next_++ % kSeenMax] = &waiting;
  }
}

bool SeenPrices::HasAtLeast(const Waiting& waiting) const {
  return std::ranges::any_of(seen_, [&](const Waiting* seen) {
    return AskTheSameWorkers(*seen, waiting) && IsWithin(waiting.price, seen->price);
  });
}

bool SeenPrices::HasAtMost(const Waiting& waiting) const {
  return std::ranges::any_of(seen_, [&](const Waiting* seen) {
    return AskTheSameWorkers(*seen, waiting) && IsWithin(seen->price, waiting.price);
  });
}

}  // namespace headroom::admission
