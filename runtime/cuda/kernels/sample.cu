#include "runtime/cuda/kernels/reduce.cuh"
#include "runtime/cuda/kernels/sample.h"
#include "runtime/ops/sample_math.h"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreadsMax = 1024;
constexpr int kDigitBits = 8;
constexpr int kBins = 1 << kDigitBits;
constexpr int32_t kNotFinite = -1;
constexpr int32_t kNoneAllowed = -2;

__device__ uint64_t WarpSumOf(uint64_t value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kWholeWarp, value, step);
  return value;
}
__device__ uint64_t WarpMaxOf(uint64_t value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const uint64_t other = __shfl_xor_sync(kWholeWarp, value, step);
    value = other > value ? other : value;
  }
  return value;
}
// The sum of the lanes below this one.
__device__ uint64_t SumBelow(uint64_t value) {
  const unsigned lane = threadIdx.x % 32;
  uint64_t sum = value;
#pragma unroll
  for (unsigned step = 1; step < 32; step *= 2) {
    const uint64_t other = __shfl_up_sync(kWholeWarp, sum, step);
    if (lane >= step) sum += other;
  }
  return sum - value;
}

struct Shared {
  unsigned long long weights[kBins];
  unsigned counts[kBins];
  uint64_t of_warps[32];
  uint64_t before;  // what the bins above the chosen one hold
  int digit;        // the chosen bin
  bool alone;       // holds one candidate
  unsigned told;    // alternatives found
  uint64_t keys[kAlternativesPerRow];
};

__device__ bool HasBit(const uint32_t* bits, int64_t id) { return (bits[id / 32] >> (id % 32) & 1) != 0; }

// One block, one row. Every pass reads the logits again, from a cache: nothing is kept for each of them.
class Row {
 public:
  __device__ Row(const SampleArrays& all, Shared& shared)
      : logits_(all.logits + blockIdx.x * all.stride),
        vocab_size_(all.vocab_size),
        how_(all.rows[blockIdx.x]),
        seen_(how_.repetition_penalty == 1.0f ? nullptr : all.seen + how_.seen * DivideUp(vocab_size_, 32)),
        allowed_(all.allowed == nullptr ? nullptr : all.allowed + how_.allowed * DivideUp(vocab_size_, 32)),
        shared_(shared),
        unit_bits_(UnitBits(vocab_size_)) {}

  // Of logits as the model gave them, over ids of the vocabulary alone where it tells alternatives: a total of 0 when
  // one is not finite.
  __device__ void Measure(const uint32_t* vocabulary, Measured* measured, IdAndFloat* alternatives) {
    seen_ = nullptr;
    allowed_ = nullptr;
    const uint64_t best = Best();
    largest_ = best == 0 ? 0 : logits_[IdOfKey(best)];
    uint64_t total = 0;
    if (best != 0) {
      for (int64_t id = threadIdx.x; id < vocab_size_; id += blockDim.x) {
        total += Weight(logits_[id], largest_, 1.0f, unit_bits_);
      }
    }
    total = BlockSumOf(total);
    if (threadIdx.x == 0) {
      measured->total = total;
      measured->largest = largest_;
      shared_.told = 0;
    }
    if (best == 0 || how_.alternatives == 0) return;
    allowed_ = vocabulary;
    const auto wanted = static_cast<uint64_t>(Least(how_.alternatives, vocab_size_));
    const uint64_t least = Select(0, wanted, [](float) { return uint64_t{1}; });
    Tell(least, alternatives);
  }

  // What is added to logits of single ids. Ends with a barrier.
  __device__ void Change(IdAndFloat* changes) {
    for (int64_t i = threadIdx.x; i < how_.changes; i += blockDim.x) {
      IdAndFloat& change = changes[how_.first_change + i];
      const float before = logits_[change.id];
      float logit = before;
      if (seen_ != nullptr && HasBit(seen_, change.id)) {
        atomicAnd(&seen_[change.id / 32], ~(1u << (change.id % 32)));
        if (isfinite(logit)) logit = Penalized(logit, how_.repetition_penalty);
      }
      logits_[change.id] = Changed(logit, change.value);
      change.value = before;
    }
    __syncthreads();
  }

  // Written by one thread; nobody has read it before a barrier.
  __device__ void Sample(int32_t* token) {
    const uint64_t best = Best();
    if (best != 0) largest_ = LogitOf(IdOfKey(best));
    const bool none = best != 0 && largest_ == kExcluded;
    if (best == 0 || none || how_.temperature == 0.0f) {
      if (threadIdx.x == 0) *token = best == 0 ? kNotFinite : none ? kNoneAllowed : static_cast<int32_t>(IdOfKey(best));
      return;
    }
    uint64_t least = 0;  // candidates below it are out
    if (how_.top_k > 0 && how_.top_k < vocab_size_) {
      least = Select(least, static_cast<uint64_t>(how_.top_k), [](float) { return uint64_t{1}; });
    }
    if (how_.top_p < 1.0f) {
      const uint64_t total = SumOfWarps(least);
      least = Select(least, WantedWeight(how_.top_p, total), [this](float logit) { return WeightOf(logit); });
    }
    least_weight_ = LeastWeight(how_.min_p, unit_bits_);
    Draw(least, SumOfWarps(least), token);
  }

  // After Change(): the logit of `token` as the model gave it.
  __device__ void TellLogit(int32_t token, const IdAndFloat* changes, Measured* measured) const {
    bool changed = false;
    for (int64_t i = threadIdx.x; i < how_.changes; i += blockDim.x) {
      const IdAndFloat& change = changes[how_.first_change + i];
      if (change.id != token) continue;
      measured->logit = change.value;
      changed = true;
    }
    if (__syncthreads_or(changed) == 0 && threadIdx.x == 0) measured->logit = logits_[token];
  }

 private:
  __device__ float LogitOf(int64_t id) const {
    if (allowed_ != nullptr && !HasBit(allowed_, id)) return kExcluded;
    const float logit = logits_[id];
    return seen_ != nullptr && HasBit(seen_, id) ? Penalized(logit, how_.repetition_penalty) : logit;
  }
  __device__ uint64_t WeightOf(float logit) const {
    const uint64_t weight = Weight(logit, largest_, how_.temperature, unit_bits_);
    return weight < least_weight_ ? 0 : weight;
  }

  __device__ uint64_t BlockSumOf(uint64_t value) {
    value = WarpSumOf(value);
    __syncthreads();
    if (threadIdx.x % 32 == 0) shared_.of_warps[threadIdx.x / 32] = value;
    __syncthreads();
    return WarpSumOf(threadIdx.x % 32 < blockDim.x / 32 ? shared_.of_warps[threadIdx.x % 32] : 0);
  }

  // The ids of the vocabulary that are not below `least`, in order; the rest of `alternatives` is told as none.
  __device__ void Tell(uint64_t least, IdAndFloat* alternatives) {
    for (int64_t id = threadIdx.x; id < vocab_size_; id += blockDim.x) {
      if (allowed_ != nullptr && !HasBit(allowed_, id)) continue;
      const uint64_t key = CandidateKey(logits_[id], id);
      if (key < least) continue;
      const unsigned place = atomicAdd(&shared_.told, 1u);
      if (place < kAlternativesPerRow) shared_.keys[place] = key;
    }
    __syncthreads();
    const int told = static_cast<int>(shared_.told), own = static_cast<int>(threadIdx.x);
    if (own >= how_.alternatives) return;
    if (own >= told) {
      alternatives[own] = {-1, 0.0f};
      return;
    }
    int rank = 0;  // keys differ
    for (int i = 0; i < told; ++i) rank += shared_.keys[i] > shared_.keys[own] ? 1 : 0;
    const int64_t id = IdOfKey(shared_.keys[own]);
    alternatives[rank] = {static_cast<int32_t>(id), logits_[id]};
  }

  // The largest key, or 0 when a logit is not finite; no key is 0.
  __device__ uint64_t Best() {
    uint64_t best = 0;
    bool broken = false;
    for (int64_t id = threadIdx.x; id < vocab_size_; id += blockDim.x) {
      broken |= !isfinite(logits_[id]);
      const uint64_t key = CandidateKey(LogitOf(id), id);
      best = key > best ? key : best;
    }
    best = WarpMaxOf(best);
    if (threadIdx.x % 32 == 0) shared_.of_warps[threadIdx.x / 32] = best;
    if (__syncthreads_or(broken) != 0) return 0;
    best = WarpMaxOf(threadIdx.x % 32 < blockDim.x / 32 ? shared_.of_warps[threadIdx.x % 32] : 0);
    __syncthreads();
    return best;
  }

  // The key of the candidate with which those from the largest key down measure `wanted` together, or any key between
  // it and the next one below: by radix, digit after digit. Keys below `floor` do not take part.
  template <typename Amount>
  __device__ uint64_t Select(uint64_t floor, uint64_t wanted, const Amount& amount) {
    uint64_t prefix = 0;
    int shift = 64;
    do {
      shift -= kDigitBits;
      for (unsigned bin = threadIdx.x; bin < kBins; bin += blockDim.x) shared_.weights[bin] = shared_.counts[bin] = 0;
      __syncthreads();
      for (int64_t id = threadIdx.x; id < vocab_size_; id += blockDim.x) {
        const float logit = LogitOf(id);
        const uint64_t key = CandidateKey(logit, id);
        if (key < floor || (shift < 64 - kDigitBits && key >> (shift + kDigitBits) != prefix)) continue;
        const auto digit = static_cast<unsigned>(key >> shift) % kBins;
        atomicAdd(&shared_.weights[digit], static_cast<unsigned long long>(amount(logit)));
        atomicAdd(&shared_.counts[digit], 1u);
      }
      __syncthreads();
      if (threadIdx.x < 32) ChooseBin(wanted);
      __syncthreads();
      prefix = prefix << kDigitBits | static_cast<uint64_t>(shared_.digit);
      wanted -= shared_.before;
    } while (shift > 0 && !shared_.alone);
    const uint64_t least = prefix << shift;
    return least > floor ? least : floor;
  }

  // By one warp: the bin, from the largest digit down, with which the sum reaches `wanted`.
  __device__ void ChooseBin(uint64_t wanted) {
    constexpr int kOwn = kBins / 32;
    const int first = kBins - 1 - static_cast<int>(threadIdx.x) * kOwn;
    uint64_t own = 0;
    for (int i = 0; i < kOwn; ++i) own += shared_.weights[first - i];
    uint64_t before = SumBelow(own);
    if (before >= wanted || before + own < wanted) return;
    int digit = first;
    while (before + shared_.weights[digit] < wanted) before += shared_.weights[digit--];
    shared_.before = before;
    shared_.digit = digit;
    shared_.alone = shared_.counts[digit] == 1;
  }

  // Each warp draws from neighbouring ids, so that the order of the warps is that of the ids.
  __device__ int64_t IdsOfWarp() const { return DivideUp(DivideUp(vocab_size_, blockDim.x / 32), 32) * 32; }
  __device__ uint64_t WeightAt(int64_t id, uint64_t least) const {
    if (id >= vocab_size_) return 0;
    const float logit = LogitOf(id);
    return CandidateKey(logit, id) < least ? 0 : WeightOf(logit);
  }

  // The weight of all that are not below `least`; of_warps holds that of each warp's ids.
  __device__ uint64_t SumOfWarps(uint64_t least) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    uint64_t sum = 0;
    for (int64_t i = lane; i < IdsOfWarp(); i += 32) sum += WeightAt(warp * IdsOfWarp() + i, least);
    sum = WarpSumOf(sum);
    __syncthreads();
    if (lane == 0) shared_.of_warps[warp] = sum;
    __syncthreads();
    return WarpSumOf(lane < blockDim.x / 32 ? shared_.of_warps[lane] : 0);
  }

  // After SumOfWarps().
  __device__ void Draw(uint64_t least, uint64_t total, int32_t* token) {
    const uint64_t target = DrawnWeight(Noise(how_.seed, how_.choice, how_.position), total);
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    uint64_t sum = 0;
    for (unsigned w = 0; w < warp; ++w) sum += shared_.of_warps[w];
    if (target < sum || target - sum >= shared_.of_warps[warp]) return;
    for (int64_t id = warp * IdsOfWarp() + lane;; id += 32) {
      const uint64_t own = WeightAt(id, least);
      const uint64_t before = sum + SumBelow(own);
      const bool drawn = before <= target && target < before + own;
      if (drawn) *token = static_cast<int32_t>(id);
      if (__any_sync(kWholeWarp, drawn)) return;
      sum += WarpSumOf(own);
    }
  }

  float* logits_;
  int64_t vocab_size_;
  const HowToSample& how_;
  uint32_t* seen_;           // null: no penalty
  const uint32_t* allowed_;  // null: all
  Shared& shared_;
  int unit_bits_;
  uint64_t least_weight_ = 0;
  float largest_ = 0;
};

__global__ void __launch_bounds__(kThreadsMax) Measure(SampleArrays all) {
  __shared__ Shared shared;
  if (all.rows[blockIdx.x].alternatives < 0) return;
  Row row(all, shared);
  row.Measure(all.allowed, &all.measured[blockIdx.x], all.alternatives + blockIdx.x * kAlternativesPerRow);
}

__global__ void __launch_bounds__(kThreadsMax) Sample(SampleArrays all) {
  __shared__ Shared shared;
  const HowToSample& how = all.rows[blockIdx.x];
  int32_t* const token = &all.tokens[blockIdx.x];
  const bool measures = how.alternatives >= 0;
  if (measures && all.measured[blockIdx.x].total == 0) {
    if (threadIdx.x == 0) *token = kNotFinite;
    return;
  }
  Row row(all, shared);
  row.Change(all.changes);
  if (how.token < 0) {
    row.Sample(token);
  } else if (threadIdx.x == 0) {
    *token = how.token;
  }
  if (!measures) return;
  __syncthreads();
  if (*token >= 0) row.TellLogit(*token, all.changes, &all.measured[blockIdx.x]);
}

}  // namespace

cudaError_t LaunchSample(const Grid& grid, int64_t rows, const SampleArrays& arrays) {
  if (rows == 0) return cudaSuccess;
  const auto threads = static_cast<unsigned>(Least(DivideUp(arrays.vocab_size, 32) * 32, kThreadsMax));
  const auto blocks = static_cast<unsigned>(rows);
  if (arrays.measured != nullptr) Measure<<<blocks, threads, 0, grid.stream>>>(arrays);
  Sample<<<blocks, threads, 0, grid.stream>>>(arrays);
  return cudaGetLastError();
}

}  // namespace headroom::runtime::cuda
