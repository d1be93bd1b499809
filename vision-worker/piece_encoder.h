// What every encoder is: pieces in, rows of the language model's width out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/status.h"
#include "memory/arena.h"
#include "memory/plan.h"
#include "model/checkpoint.h"
#include "model/image/pieces.h"
#include "model/spec.h"
#include "runtime/device.h"
#include "runtime/host_matrix.h"
#include "runtime/kernel_sizes.h"
#include "runtime/matrix.h"
#include "runtime/ops/linear.h"
#include "runtime/step.h"

namespace headroom::vision_worker {

struct PieceInput {
  model::PatchGrid grid;
  runtime::HostMatrix patches;  // f32 [rows · cols, values of a patch], see WritePatchMatrix(), WriteGridMatrix()
};

// Where the results of a step go, besides the workspace. Everything may be left out.
struct EncodeOutputs {
  // Of each piece the runs of device memory, in order, that take its rows in the compute type of the plan: whole rows,
  // in all just as many as RowsOf() its grid.
  std::span<const std::vector<memory::DeviceSpan>> store = {};
  // For tools, in host memory that no plan knows: embeddings f32 [rows of all pieces, E], and the output of the tower
  // after its last norm, f32 [patches of all pieces, D].
  std::span<float> embeddings = {};
  std::span<float> tower = {};
};

class PieceEncoder {
 public:
  virtual ~PieceEncoder() = default;

  // Streams the weights in. `progress` counts over both parts; may be empty.
  virtual absl::Status Load(const model::Checkpoint& checkpoint, const memory::LoadProgress& progress) = 0;
  absl::Status Load(const model::Checkpoint& checkpoint) { return Load(checkpoint, {}); }

  // Runs every product once at every number of rows that it will be asked for, where a device loads what it needs for
  // them late (runtime::Device::LoadsLate). After Load(), before the first Encode().
  virtual absl::Status WarmUp() = 0;

  // One step; takes the device's lane itself, so the caller must not hold it. Says for each piece whether all its
  // embeddings are finite numbers. INVALID_ARGUMENT when the pieces do not fit the limits of the plan, or a matrix or
  // an output its grid.
  virtual absl::StatusOr<std::vector<bool>> Encode(std::span<const PieceInput> pieces,
                                                   const EncodeOutputs& outputs) = 0;

  virtual int64_t max_patches() const = 0;
  virtual int64_t max_pieces() const = 0;
  virtual int64_t RowsOf(const model::PatchGrid& grid) const = 0;  // of a piece's result
  virtual int64_t tower_width() const = 0;
  virtual int64_t embedding_width() const = 0;
};

// The encoder of a model. Takes weights and workspace from the arena as the plan says, and builds every product.
// `device` and `arena` must outlive it. INVALID_ARGUMENT when the plan has no vision role or the model no tower.
absl::StatusOr<std::unique_ptr<PieceEncoder>> CreateEncoder(runtime::Device& device, const model::ModelSpec& config,
                                                            const memory::Plan& plan, memory::Arena& arena);

// What the encoder's products need in a step of at most so many patches and pieces: the largest scratch, and what
// libraries keep for all of them. Builds nothing.
absl::StatusOr<runtime::LinearNeeds> EncoderLinearNeeds(runtime::KernelSizes& sizes, const model::ModelSpec& config,
                                                        DType compute, int64_t patches, int64_t pieces);

// Fills in what MakePlan must know about the encoder (needs.vision_…, needs.rows); nothing for a model without a tower.
// `sizes` must outlive the needs.
void AddEncoderNeeds(runtime::KernelSizes& sizes, const model::ModelSpec& config, DType compute,
                     memory::KernelNeeds& needs);

// For encoders. The patches of all pieces, one below another, to `matrix`; by way of `pixels`, f32, where `matrix` has
// another type, else that is `matrix` itself.
void UploadPatches(runtime::Step& step, std::span<const PieceInput> pieces, const runtime::Matrix& matrix,
                   const runtime::Matrix& pixels);

// For encoders. INVALID_ARGUMENT when the runs of outputs.store are not whole rows, or not those of the pieces.
absl::Status CheckStore(const PieceEncoder& encoder, std::span<const PieceInput> pieces, const EncodeOutputs& outputs,
                        DType compute);
// Writes the rows of all pieces, f32 [rows, E], to the runs that CheckStore() has looked at.
void WriteStore(runtime::Step& step, const runtime::Matrix& embeddings, const EncodeOutputs& outputs, DType compute);

}  // namespace headroom::vision_worker
