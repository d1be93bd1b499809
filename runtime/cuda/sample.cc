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
              offsetof(HowToSample, choice) == offsetof(SampleRow, choice));

absl::Status CudaBackend::Run(const SampleArgs& args) {
  return lane_.Launched("Sample", LaunchSample(grid_, In(args.logits), PointerTo<const HowToSample>(args.rows.data),
                                               PointerTo(args.seen), PointerTo(args.tokens)));
}

}  // namespace headroom::runtime::cuda
