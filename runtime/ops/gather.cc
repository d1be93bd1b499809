#include "runtime/ops/gather.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {
namespace {

absl::Status Check(const char* op, const DeviceArray<const int32_t>& index, const ConstMatrix& table, const Matrix& y,
                   int64_t taps = 1) {
  HEADROOM_RETURN_IF_ERROR(CheckView(op, "table", table, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckView(op, "y", y, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "columns of y", y.cols, table.cols));
  return CheckArray(op, "index", index, y.rows * taps);
}

}  // namespace

absl::Status CheckIndices(std::span<const int32_t> indices, int64_t rows) {
  for (const int32_t i : indices) {
    if (i >= 0 && i < rows) continue;
    return absl::InvalidArgumentError(absl::StrCat("index ", i, " is outside the table of ", rows, " rows"));
  }
  return absl::OkStatus();
}

absl::Status EmbeddingGather(Device& device, const EmbeddingGatherArgs& args) {
  HEADROOM_RETURN_IF_ERROR(Check("EmbeddingGather", args.ids, args.table, args.y));
  return device.backend().Run(args);
}

absl::Status AddGathered(Device& device, const AddGatheredArgs& args) {
  constexpr char kOp[] = "AddGathered";
  constexpr int64_t kTapsMax = 64;
  const bool weighted = args.weights.size > 0 || args.taps != 1;
  if (args.taps < 1 || args.taps > kTapsMax) return ArgumentError(kOp, absl::StrCat(args.taps, " taps"));
  HEADROOM_RETURN_IF_ERROR(Check(kOp, args.index, args.table, args.y, args.taps));
  if (weighted) HEADROOM_RETURN_IF_ERROR(CheckArray(kOp, "weights", args.weights, args.y.rows * args.taps));
  return device.backend().Run(args);
}

absl::Status JoinRows(Device& device, const JoinRowsArgs& args) {
  constexpr char kOp[] = "JoinRows";
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "x", args.x, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "y", args.y, {DType::kF32, DType::kBF16}));
  if (args.y.cols % args.x.cols != 0) {
    return ArgumentError(kOp, absl::StrCat("columns of y: ", args.y.cols, ", want a multiple of ", args.x.cols));
  }
  HEADROOM_RETURN_IF_ERROR(CheckEqual(kOp, "rows of x", args.x.rows, args.y.rows * (args.y.cols / args.x.cols)));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
