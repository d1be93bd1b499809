#include "runtime/cuda/kernels/reduce.cuh"
#include "runtime/cuda/kernels/sample.h"
#include "runtime/ops/sample_math.h"

namespace headroom::runtime::cuda {
namespace {

constexpr int kThreadsMax = 1024;
constexpr int kDigitBits = 8;
constexpr int kBins = 1 << kDigitBits;
constexpr int32_t kNotFinite = -1;

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
};

// One block, one row. Every pass reads the logits again, from a cache: nothing is kept for each of them.
class Row {
 public:
  __device__ Row(const float* logits, int64_t vocab_size, const HowToSample& how, const uint32_t* seen, Shared& shared)
      : logits_(logits),
        vocab_size_(vocab_size),
        how_(how),
        seen_(seen),
        shared_(shared),
        unit_bits_(UnitBits(vocab_size)) {}

  // For thread 0.
  __device__ void Sample(int32_t* token) {
    const uint64_t best = Best();
    if (best == 0 || how_.temperature == 0.0f) {
      if (threadIdx.x == 0) *token = best == 0 ? kNotFinite : static_cast<int32_t>(IdOfKey(best));
      return;
    }
    largest_ = LogitOf(IdOfKey(best));
    uint64_t least = 0;  // candidates below it are out
    if (how_.top_k > 0 && how_.top_k < vocab_size_) {
      least = Select(least, static_cast<uint64_t>(how_.top_k), [](float) { return uint64_t{1}; });
    }
    if (how_.top_p < 1.0f) {
      const uint64_t total = SumOfWarps(least);
      least = Select(least, WantedWeight(how_.top_p, total), [this](float logit) { return WeightOf(logit); });
    }
    Draw(least, SumOfWarps(least), token);
  }

 private:
  __device__ float LogitOf(int64_t id) const {
    const float logit = logits_[id];
    if (how_.repetition_penalty == 1.0f || (seen_[id / 32] >> (id % 32) & 1) == 0) return logit;
    return Penalized(logit, how_.repetition_penalty);
  }
  __device__ uint64_t WeightOf(float logit) const { return Weight(logit, largest_, how_.temperature, unit_bits_); }

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
  template <typename Measure>
  __device__ uint64_t Select(uint64_t floor, uint64_t wanted, const Measure& measure) {
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
        atomicAdd(&shared_.weights[digit], static_cast<unsigned long long>(measure(logit)));
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

  const float* logits_;
  int64_t vocab_size_;
  const HowToSample& how_;
  const uint32_t* seen_;
  Shared& shared_;
  int unit_bits_;
  float largest_ = 0;
};

__global__ void __launch_bounds__(kThreadsMax) Sample(const float* logits, int64_t stride, int64_t vocab_size,
                                                      const HowToSample* how, const uint32_t* seen, int32_t* tokens) {
  __shared__ Shared shared;
  Row row(logits + blockIdx.x * stride, vocab_size, how[blockIdx.x], seen + blockIdx.x * DivideUp(vocab_size, 32),
          shared);
  row.Sample(&tokens[blockIdx.x]);
}

}  // namespace

cudaError_t LaunchSample(const Grid& grid, const RowsIn& logits, const HowToSample* how, const uint32_t* seen,
                         int32_t* tokens) {
  if (logits.rows == 0) return cudaSuccess;
  const auto threads = static_cast<unsigned>(Least(DivideUp(logits.cols, 32) * 32, kThreadsMax));
  Sample<<<static_cast<unsigned>(logits.rows), threads, 0, grid.stream>>>(
      static_cast<const float*>(logits.data), logits.stride, logits.cols, how, seen, tokens);
  return cudaGetLastError();
}

}  // namespace headroom::runtime::cuda
