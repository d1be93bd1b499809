// Sampling: all rows of a step at once. It keeps nothing for a logit, so the operation's scratch is not used.
#include "runtime/cuda/kernels/sample.h"

#include <cstddef>

#include "runtime/cuda/cuda_backend.h"
#include "runtime/cuda/views.h"

namespace headroom::runtime::cuda {

static_assert(sizeof(HowToSample) == sizeof(SampleRow) &&
              offsetof(HowToSample, position) == offsetof(SampleRow, position) &&
              offsetof(HowToSample, seed) == offsetof(SampleRow, sampling) + offsetof(Sampling, seed) &&
              offsetof(HowToSample, top_k) == offsetof(Sampling, top_k) &&
              offsetof(HowToSample, min_p) == offsetof(Sampling, min_p) &&
              offsetof(HowToSample, choice) == offsetof(SampleRow, choice) &&
              offsetof(HowToSample, seen) == offsetof(SampleRow, seen) &&
              offsetof(HowToSample, allowed) == offsetof(SampleRow, allowed) &&
              offsetof(HowToSample, first_change) == offsetof(SampleRow, first_change) &&
              offsetof(HowToSample, changes) == offsetof(SampleRow, changes) &&
              offsetof(HowToSample, token) == offsetof(SampleRow, token) &&
              offsetof(HowToSample, alternatives) == offsetof(SampleRow, alternatives));
static_assert(sizeof(IdAndFloat) == sizeof(LogitChange) && offsetof(IdAndFloat, value) == offsetof(LogitChange, delta));
static_assert(sizeof(IdAndFloat) == sizeof(Alternative) && offsetof(IdAndFloat, value) == offsetof(Alternative, logit));
static_assert(sizeof(Measured) == sizeof(LogitMeasure) &&
              offsetof(Measured, largest) == offsetof(LogitMeasure, largest) &&
              offsetof(Measured, logit) == offsetof(LogitMeasure, logit));
static_assert(kAlternativesPerRow == kAlternativesMax);

absl::Status CudaBackend::Run(const SampleArgs& args) {
  const SampleArrays arrays = {.logits = PointerTo<float>(args.logits.data),
                               .stride = args.logits.row_stride,
                               .vocab_size = args.logits.cols,
                               .rows = PointerTo<const HowToSample>(args.rows.data),
                               .seen = PointerTo<uint32_t>(args.seen.data),
                               .changes = PointerTo<IdAndFloat>(args.changes.data),
                               .allowed = PointerTo<const uint32_t>(args.allowed.data),
                               .tokens = PointerTo<int32_t>(args.tokens.data),
                               .measured = PointerTo<Measured>(args.measured.data),
                               .alternatives = PointerTo<IdAndFloat>(args.alternatives.data)};
  return lane_.Launched("Sample", LaunchSample(grid_, args.logits.rows, arrays));
}

}  // namespace headroom::runtime::cuda
