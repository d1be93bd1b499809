// Sampling, row by row on the calling thread: a row takes far less than a step.
#include <algorithm>
#include <cmath>
#include <span>

#include "runtime/cpu/cpu_backend.h"

namespace headroom::runtime::cpu {
namespace {

struct Candidate {
  float logit;
  int32_t id;
};
static_assert(sizeof(Candidate) == SampleScratchBytes(1));

bool Less(const Candidate& a, const Candidate& b) { return a.logit < b.logit || (a.logit == b.logit && a.id > b.id); }

// Fills `candidates` with every id and its penalized logit; false when one is not finite.
bool Collect(const float* logits, float penalty, const uint32_t* seen, std::span<Candidate> candidates) {
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!std::isfinite(logits[i])) return false;
    candidates[i] = {logits[i], static_cast<int32_t>(i)};
  }
  if (penalty == 1.0f) return true;
  for (Candidate& candidate : candidates) {
    if ((seen[candidate.id / 32] >> (candidate.id % 32) & 1) == 0) continue;
    // The limit on the penalty keeps finite logits of any sane model finite; the clamp keeps the others so.
    const float logit = candidate.logit;
    candidate.logit = std::clamp(logit > 0 ? logit / penalty : logit * penalty, -3e38f, 3e38f);
  }
  return true;
}

std::span<Candidate> KeepTopK(std::span<Candidate> candidates, int32_t top_k) {
  if (top_k == 0 || top_k >= static_cast<int64_t>(candidates.size())) return candidates;
  const auto greater = [](const Candidate& a, const Candidate& b) { return Less(b, a); };
  std::nth_element(candidates.begin(), candidates.begin() + top_k, candidates.end(), greater);
  candidates = candidates.first(static_cast<size_t>(top_k));
  // nth_element leaves an order that the standard does not fix; the sums below must not depend on it.
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  return candidates;
}

int32_t Draw(std::span<Candidate> candidates, float temperature, float top_p, double noise) {
  const double largest = std::max_element(candidates.begin(), candidates.end(), Less)->logit;
  const auto weight = [&](const Candidate& c) { return std::exp((c.logit - largest) / temperature); };
  double total = 0;
  for (const Candidate& c : candidates) total += weight(c);

  auto begin = candidates.begin(), end = candidates.end();
  if (top_p < 1.0f) {
    // A heap gives the most likely first without sorting the tail, which is most of the vocabulary.
    std::make_heap(begin, end, Less);
    const double wanted = top_p * total;
    double kept = 0;
    auto heap_end = end;
    do {
      std::pop_heap(begin, heap_end, Less);
      kept += weight(*--heap_end);
    } while (kept < wanted && heap_end != begin);
    begin = heap_end;
    total = kept;
  }

  double left = noise * total;
  for (auto c = begin; c != end; ++c) {
    left -= weight(*c);
    if (left < 0) return c->id;
  }
  // Rounding of the running sum may leave a crumb: it belongs to the most likely token.
  return std::max_element(begin, end, Less)->id;
}

int32_t SampleOne(const float* logits, const SampleRow& row, const uint32_t* seen, std::span<Candidate> candidates) {
  const Sampling& sampling = row.sampling;
  if (!Collect(logits, sampling.repetition_penalty, seen, candidates)) return kNotFinite;
  if (sampling.temperature == 0.0f) return std::max_element(candidates.begin(), candidates.end(), Less)->id;
  return Draw(KeepTopK(candidates, sampling.top_k), sampling.temperature, sampling.top_p,
              Noise(sampling.seed, row.choice, row.position));
}

}  // namespace

absl::Status CpuBackend::Run(const SampleArgs& args) {
  const ConstView logits = context_.host(args.logits);
  const SampleRow* rows = context_.host.Array(args.rows);
  const uint32_t* seen = context_.host.Array(args.seen);
  int32_t* tokens = context_.host.Array(args.tokens);
  const std::span<Candidate> candidates(reinterpret_cast<Candidate*>(context_.host.Bytes(args.scratch.data)),
                                        static_cast<size_t>(logits.cols));
  for (int64_t i = 0; i < logits.rows; ++i) {
    tokens[i] = SampleOne(logits.F32() + i * logits.row_stride, rows[i], seen + i * SeenWords(logits.cols), candidates);
  }
  return absl::OkStatus();
}

}  // namespace headroom::runtime::cpu
