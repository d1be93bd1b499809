// Sampling, row by row on the calling thread: a row takes far less than a step.
#include <algorithm>
#include <cmath>
#include <span>

#include "runtime/cpu/cpu_backend.h"
#include "runtime/ops/sample_math.h"

namespace headroom::runtime::cpu {
namespace {

// Candidates are keys (CandidateKey); the penalized logit of an id is computed where it is needed.
static_assert(sizeof(uint64_t) == SampleScratchBytes(1));

class Row {
 public:
  Row(const float* logits, int64_t vocab_size, const SampleRow& how, const uint32_t* seen)
      : logits_(logits),
        vocab_size_(vocab_size),
        how_(how),
        seen_(seen),
        penalty_(how.sampling.repetition_penalty),
        unit_bits_(UnitBits(vocab_size)) {}

  int32_t Sample(std::span<uint64_t> keys) {
    for (int64_t id = 0; id < vocab_size_; ++id) {
      if (!std::isfinite(logits_[id])) return kNotFinite;
      keys[static_cast<size_t>(id)] = CandidateKey(Logit(id), id);
    }
    const uint64_t best = *std::max_element(keys.begin(), keys.end());
    if (how_.sampling.temperature == 0.0f) return static_cast<int32_t>(IdOfKey(best));
    largest_ = Logit(IdOfKey(best));
    const int32_t top_k = how_.sampling.top_k;
    if (top_k > 0 && top_k < vocab_size_) {
      std::nth_element(keys.begin(), keys.begin() + top_k - 1, keys.end(), std::greater<>());
      keys = keys.first(static_cast<size_t>(top_k));
    }
    uint64_t total = 0;
    for (const uint64_t key : keys) total += WeightOf(key);
    if (how_.sampling.top_p < 1.0f) total = KeepTopP(WantedWeight(how_.sampling.top_p, total), keys);
    return Draw(DrawnWeight(Noise(how_.sampling.seed, how_.choice, how_.position), total),
                *std::min_element(keys.begin(), keys.end()));
  }

 private:
  float Logit(int64_t id) const {
    const float logit = logits_[id];
    if (penalty_ == 1.0f || (seen_[id / 32] >> (id % 32) & 1) == 0) return logit;
    return Penalized(logit, penalty_);
  }
  uint64_t WeightOf(uint64_t key) const {
    return Weight(Logit(IdOfKey(key)), largest_, how_.sampling.temperature, unit_bits_);
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

  const float* logits_;
  int64_t vocab_size_;
  const SampleRow& how_;
  const uint32_t* seen_;
  float penalty_;
  int unit_bits_;
  float largest_ = 0;
};

}  // namespace

absl::Status CpuBackend::Run(const SampleArgs& args) {
  const ConstView logits = context_.host(args.logits);
  const SampleRow* rows = context_.host.Array(args.rows);
  const uint32_t* seen = context_.host.Array(args.seen);
  int32_t* tokens = context_.host.Array(args.tokens);
  const std::span<uint64_t> keys(reinterpret_cast<uint64_t*>(context_.host.Bytes(args.scratch.data)),
                                 static_cast<size_t>(logits.cols));
  for (int64_t i = 0; i < logits.rows; ++i) {
    Row row(logits.F32() + i * logits.row_stride, logits.cols, rows[i], seen + i * SeenWords(logits.cols));
    tokens[i] = row.Sample(keys);
  }
  return absl::OkStatus();
}

}  // namespace headroom::runtime::cpu
