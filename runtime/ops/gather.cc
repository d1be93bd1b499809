#include "runtime/ops/gather.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {
namespace {

absl::Status Check(const char* op, std::span<const int32_t> index, const ConstMatrix& table, const Matrix& y) {
  HEADROOM_RETURN_IF_ERROR(CheckView(op, "table", table, {DType::kF32, DType::kBF16}));
  HEADROOM_RETURN_IF_ERROR(CheckView(op, "y", y, {DType::kF32}));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "columns of y", y.cols, table.cols));
  HEADROOM_RETURN_IF_ERROR(CheckEqual(op, "rows of y", y.rows, static_cast<int64_t>(index.size())));
  for (const int32_t i : index) {
    if (i < 0 || i >= table.rows) {
      return ArgumentError(op, absl::StrCat("index ", i, " is outside the table of ", table.rows, " rows"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status EmbeddingGather(Device& device, const EmbeddingGatherArgs& args) {
  HEADROOM_RETURN_IF_ERROR(Check("EmbeddingGather", args.ids, args.table, args.y));
  return device.backend().EmbeddingGather(args);
}

absl::Status AddGathered(Device& device, const AddGatheredArgs& args) {
  HEADROOM_RETURN_IF_ERROR(Check("AddGathered", args.index, args.table, args.y));
  return device.backend().AddGathered(args);
}

}  // namespace headroom::runtime
