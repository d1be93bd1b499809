#include "runtime/ops/positions.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"

namespace headroom::runtime {

absl::Status SineTable(Device& device, const SineTableArgs& args) {
  constexpr char kOp[] = "SineTable";
  HEADROOM_RETURN_IF_ERROR(CheckView(kOp, "table", args.table, {DType::kF32}));
  if (args.table.cols % 2 != 0)
    return ArgumentError(kOp, absl::StrCat(args.table.cols, " columns: want an even number"));
  return device.backend().Run(args);
}

}  // namespace headroom::runtime
