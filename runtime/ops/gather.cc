#include "runtime/ops/gather.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {
namespace {

absl::Status Check(const char* op, const DeviceArray<const int32_t>& index, const ConstMatrix& table, const Matrix& y) {
  HEADROOM_RETURN_IF_ERROR(CheckView(op, "table", table, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckView(op, "y", y, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "columns of y", y.cols, table.cols));
  return CheckArray(op, "index", index, y.rows);
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
  HEADROOM_RETURN_IF_ERROR(Check("AddGathered", args.index, args.table, args.y));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
