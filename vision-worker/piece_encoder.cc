#include "vision-worker/piece_encoder.h"

#include <algorithm>

#include "vision-worker/encoder.h"
#include "vision-worker/merging_encoder.h"

namespace headroom::vision_worker {

absl::StatusOr<std::unique_ptr<PieceEncoder>> CreateEncoder(runtime::Device& device, const model::ModelSpec& config,
                                                            const memory::Plan& plan, memory::Arena& arena) {
  if (config.merging) return MergingEncoder::Create(device, config, plan, arena);
  return Encoder::Create(device, config, plan, arena);
}

absl::StatusOr<runtime::LinearNeeds> EncoderLinearNeeds(runtime::KernelSizes& sizes, const model::ModelSpec& config,
                                                        DType compute, int64_t patches, int64_t pieces) {
  runtime::LinearNeeds needs;
  const std::vector<runtime::LinearSpec> products = config.merging
                                                        ? MergingEncoder::LinearSpecs(config, compute, patches)
                                                        : Encoder::LinearSpecs(config, compute, patches, pieces);
  for (const runtime::LinearSpec& product : products) {
    HEADROOM_ASSIGN_OR_RETURN(const runtime::LinearNeeds own, runtime::DescribeLinear(sizes, product));
    needs.scratch_bytes = std::max(needs.scratch_bytes, own.scratch_bytes);
    needs.library_bytes += own.library_bytes;
  }
  return needs;
}

void AddEncoderNeeds(runtime::KernelSizes& sizes, const model::ModelSpec& config, DType compute,
                     memory::KernelNeeds& needs) {
  needs.rows = [&sizes](int64_t rows) { return sizes.LinearRows(rows); };
  if (!config.Sees()) return;
  needs.vision_linear_scratch = [&sizes, config, compute](int64_t patches, int64_t pieces) -> absl::StatusOr<int64_t> {
    HEADROOM_ASSIGN_OR_RETURN(const auto products, EncoderLinearNeeds(sizes, config, compute, patches, pieces));
    return products.scratch_bytes;
  };
  needs.vision_library = [&sizes, config, compute](int64_t patches, int64_t pieces) -> absl::StatusOr<int64_t> {
    HEADROOM_ASSIGN_OR_RETURN(const auto products, EncoderLinearNeeds(sizes, config, compute, patches, pieces));
    return products.library_bytes;
  };
  const int64_t head_dim = config.merging
                               ? config.merging->head_dim()
                               : std::max(config.vision->head_dim(), config.llm.hidden_size / config.resampler.heads);
  needs.vision_attention_scratch = [&sizes, head_dim](int64_t, int64_t) -> absl::StatusOr<int64_t> {
    return sizes.AttentionScratchBytes(head_dim);
  };
}

void UploadPatches(runtime::Step& step, std::span<const PieceInput> pieces, const runtime::Matrix& matrix,
                   const runtime::Matrix& pixels) {
  int64_t begin = 0;
  for (const PieceInput& piece : pieces) {
    step.Upload(piece.patches.bytes(), pixels.RowRange(begin, piece.grid.patches()).data);
    begin += piece.grid.patches();
  }
  if (matrix.dtype != pixels.dtype) step.Convert({.x = pixels, .y = matrix});
}

absl::Status CheckStore(const PieceEncoder& encoder, std::span<const PieceInput> pieces, const EncodeOutputs& outputs,
                        DType compute) {
  if (outputs.store.empty()) return absl::OkStatus();
  if (outputs.store.size() != pieces.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory for ", outputs.store.size(), " of ", pieces.size(), " pieces"));
  }
  const int64_t row_bytes = encoder.embedding_width() * SizeOf(compute);
  for (size_t i = 0; i < pieces.size(); ++i) {
    int64_t bytes = 0;
    for (const memory::DeviceSpan& run : outputs.store[i]) {
      if (run.bytes < 0 || run.bytes % row_bytes != 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("memory of ", run.bytes, " bytes: rows have ", row_bytes, " bytes"));
      }
      bytes += run.bytes;
    }
    if (const int64_t wanted = encoder.RowsOf(pieces[i].grid); bytes / row_bytes != wanted) {
      return absl::InvalidArgumentError(
          absl::StrCat("memory for ", bytes / row_bytes, " rows of piece ", i + 1, ", which has ", wanted));
    }
  }
  return absl::OkStatus();
}

void WriteStore(runtime::Step& step, const runtime::Matrix& embeddings, const EncodeOutputs& outputs, DType compute) {
  int64_t row = 0;  // the pieces follow each other, as do the runs of each
  for (const std::vector<memory::DeviceSpan>& runs : outputs.store) {
    for (const memory::DeviceSpan& run : runs) {
      const runtime::Matrix rows = embeddings.RowRange(row, run.bytes / (embeddings.cols * SizeOf(compute)));
      step.Convert({.x = rows, .y = runtime::Matrix{run.data, compute, rows.rows, rows.cols, rows.cols}});
      row += rows.rows;
    }
  }
}

}  // namespace headroom::vision_worker
