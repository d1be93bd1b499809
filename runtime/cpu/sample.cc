// Sampling, row by row on the calling thread: a row takes far less than a step.
#include <algorithm>
#include <cmath>
#include <functional>
#include <span>

#include "runtime/cpu/cpu_backend.h"
#include "runtime/ops/sample_math.h"

namespace headroom::runtime::cpu {
namespace {

// Candidates are keys (CandidateKey); the penalized logit of an id is computed where it is needed.
static_assert(sizeof(uint64_t) == SampleScratchBytes(1));

bool HasBit(const uint32_t* bits, int64_t id) { return (bits[id / 32] >> (id % 32) & 1) != 0; }

// What the logits of one row go through.
struct RowInputs {
  std::span<float> logits;
  const SampleRow& how;
  uint32_t* seen;  // null: no penalty
  std::span<LogitChange> changes;
  const uint32_t* allowed;     // null: all
  const uint32_t* vocabulary;  // likewise
};

class Row {
 public:
  explicit Row(const RowInputs& in)
      : in_(in), how_(in.how), vocab_size_(static_cast<int64_t>(in.logits.size())), unit_bits_(UnitBits(vocab_size_)) {}

  // The logits must be as the model gave them. False when one is not finite.
  bool Measure(std::span<uint64_t> keys, LogitMeasure& measure, std::span<Alternative> alternatives) const {
    measure.largest = *std::max_element(in_.logits.begin(), in_.logits.end());
    measure.total = 0;
    for (const float logit : in_.logits) {
      if (!std::isfinite(logit)) return false;
      measure.total += Weight(logit, measure.largest, 1.0f, unit_bits_);
    }
    size_t count = 0;
    for (int64_t id = 0; id < vocab_size_; ++id) {
      if (in_.vocabulary != nullptr && !HasBit(in_.vocabulary, id)) continue;
      keys[count++] = CandidateKey(in_.logits[static_cast<size_t>(id)], id);
    }
    const auto likeliest = keys.begin() + static_cast<std::ptrdiff_t>(std::min(count, alternatives.size()));
    std::partial_sort(keys.begin(), likeliest, keys.begin() + static_cast<std::ptrdiff_t>(count), std::greater<>());
    std::ranges::fill(alternatives, Alternative());
    for (auto key = keys.begin(); key != likeliest; ++key) {
      const auto id = static_cast<int32_t>(IdOfKey(*key));
      alternatives[static_cast<size_t>(key - keys.begin())] = {id, in_.logits[static_cast<size_t>(id)]};
    }
    return true;
  }

  int32_t Sample(std::span<uint64_t> keys) {
    Change();
    for (int64_t id = 0; id < vocab_size_; ++id) {
      if (!std::isfinite(in_.logits[static_cast<size_t>(id)])) return kNotFinite;
      keys[static_cast<size_t>(id)] = CandidateKey(Logit(id), id);
    }
    const uint64_t best = *std::max_element(keys.begin(), keys.end());
    largest_ = Logit(IdOfKey(best));
    if (largest_ == kExcluded) return kNoneAllowed;
    if (how_.sampling.temperature == 0.0f) return static_cast<int32_t>(IdOfKey(best));
    const int32_t top_k = how_.sampling.top_k;
    if (top_k > 0 && top_k < vocab_size_) {
      std::nth_element(keys.begin(), keys.begin() + top_k - 1, keys.end(), std::greater<>());
      keys = keys.first(static_cast<size_t>(top_k));
    }
    uint64_t total = Sum(keys);
    if (how_.sampling.top_p < 1.0f) total = KeepTopP(WantedWeight(how_.sampling.top_p, total), keys);
    if (how_.sampling.min_p > 0.0f) {
      least_weight_ = LeastWeight(how_.sampling.min_p, unit_bits_);
      total = Sum(keys);
    }
    return Draw(DrawnWeight(Noise(how_.sampling.seed, how_.choice, how_.position), total),
                *std::min_element(keys.begin(), keys.end()));
  }

  // As the model gave it, also after Sample().
  float LogitBefore(int32_t id) const {
    const auto change = std::ranges::find(in_.changes, id, &LogitChange::id);
    return change == in_.changes.end() ? in_.logits[static_cast<size_t>(id)] : change->delta;
  }

 private:
  // Into the logits; each delta becomes the logit before.
  void Change() {
    for (LogitChange& change : in_.changes) {
      float& logit = in_.logits[static_cast<size_t>(change.id)];
      const float delta = std::exchange(change.delta, logit);
      if (in_.seen != nullptr && HasBit(in_.seen, change.id)) {
        in_.seen[change.id / 32] &= ~(uint32_t{1} << (change.id % 32));
        if (std::isfinite(logit)) logit = Penalized(logit, how_.sampling.repetition_penalty);
      }
      logit = Changed(logit, delta);
    }
  }

  float Logit(int64_t id) const {
    if (in_.allowed != nullptr && !HasBit(in_.allowed, id)) return kExcluded;
    const float logit = in_.logits[static_cast<size_t>(id)];
    return in_.seen != nullptr && HasBit(in_.seen, id) ? Penalized(logit, how_.sampling.repetition_penalty) : logit;
  }
  uint64_t WeightOf(uint64_t key) const {
    const uint64_t weight = Weight(Logit(IdOfKey(key)), largest_, how_.sampling.temperature, unit_bits_);
    return weight < least_weight_ ? 0 : weight;
  }
  uint64_t Sum(std::span<const uint64_t> keys) const {
    uint64_t total = 0;
    for (const uint64_t key : keys) total += WeightOf(key);
    return total;
  }

  // Leaves the fewest keys that weigh `wanted`; what they weigh. A heap gives the most likely first without sorting the
  // tail, which is most of the vocabulary.
  uint64_t KeepTopP(uint64_t wanted, std::span<uint64_t>& keys) const {
    std::make_heap(keys.begin(), keys.end());
    auto end = keys.end();
    uint64_t kept = 0;
    do {
      std::pop_heap(keys.begin(), end);
      kept += WeightOf(*--end);
    } while (kept < wanted && end != keys.begin());
    keys = keys.last(static_cast<size_t>(keys.end() - end));
    return kept;
  }

  // By id, over the candidates that are not below `least`.
  int32_t Draw(uint64_t target, uint64_t least) const {
    uint64_t sum = 0;
    for (int64_t id = 0; id < vocab_size_; ++id) {
      const uint64_t key = CandidateKey(Logit(id), id);
      if (key < least) continue;
      sum += WeightOf(key);
      if (sum > target) return static_cast<int32_t>(id);
    }
    return kNotFinite;  // not reached: the target is below the sum
  }

  const RowInputs& in_;
  const SampleRow& how_;
  int64_t vocab_size_;
  int unit_bits_;
  uint64_t least_weight_ = 0;
  float largest_ = 0;
};

}  // namespace

absl::Status CpuBackend::Run(const SampleArgs& args) {
  const View logits = context_.host(args.logits);
  const int64_t words = SeenWords(logits.cols);
  const SampleRow* rows = context_.host.Array(args.rows);
  uint32_t* seen = context_.host.Array(args.seen);
  LogitChange* changes = context_.host.Array(args.changes);
  const uint32_t* allowed = args.allowed.size == 0 ? nullptr : context_.host.Array(args.allowed);
  LogitMeasure* measured = context_.host.Array(args.measured);
  Alternative* alternatives = context_.host.Array(args.alternatives);
  int32_t* tokens = context_.host.Array(args.tokens);
  const std::span<uint64_t> keys(reinterpret_cast<uint64_t*>(context_.host.Bytes(args.scratch.data)),
                                 static_cast<size_t>(logits.cols));
  for (int64_t i = 0; i < logits.rows; ++i) {
    const SampleRow& how = rows[i];
    const RowInputs in = {.logits = {logits.F32() + i * logits.row_stride, static_cast<size_t>(logits.cols)},
                          .how = how,
                          .seen = how.sampling.repetition_penalty == 1.0f ? nullptr : seen + how.seen * words,
                          .changes = {changes + how.first_change, static_cast<size_t>(how.changes)},
                          .allowed = allowed == nullptr ? nullptr : allowed + how.allowed * words,
                          .vocabulary = allowed};
    Row row(in);
    const bool measures = how.alternatives >= 0;
    const auto told = static_cast<size_t>(std::max(how.alternatives, 0));
    if (measures && !row.Measure(keys, measured[i], {alternatives + i * kAlternativesMax, told})) {
      tokens[i] = kNotFinite;
      continue;
    }
    tokens[i] = how.token >= 0 ? how.token : row.Sample(keys);
    if (measures && tokens[i] >= 0) measured[i].logit = row.LogitBefore(tokens[i]);
  }
  return absl::OkStatus();
}

}  // namespace headroom::runtime::cpu
