#include "model/weight_format.h"

#include "absl/strings/str_cat.h"
#include "common/arith.h"

namespace headroom::model {
namespace {

std::string ScalesName(const WeightFormat& format) {
  if (format.scale_rows == 0 && format.scale_cols == 0) return " with one scale";
  if (format.scale_rows == 1) return format.scale_cols == 0 ? "" : absl::StrCat(" in groups of ", format.scale_cols);
  return absl::StrCat(" in blocks of ", format.scale_rows, " x ", format.scale_cols);
}

}  // namespace

std::string WeightFormatName(const WeightFormat& format, DType compute) {
  const std::string how = ScalesName(format) + (format.zero_points ? " with zero points" : "");
  switch (format.kind) {
    case WeightFormat::Kind::kCompute:
      return DTypeName(compute);
    case WeightFormat::Kind::kF32:
      return "fp32";
    case WeightFormat::Kind::kFp8:
      return "fp8" + how;
    case WeightFormat::Kind::kInt8:
      return "int8" + how;
    case WeightFormat::Kind::kInt4:
      return "int4" + how;
    case WeightFormat::Kind::kUnknown:
      return absl::StrCat("a format that is not known, counted as ", DTypeName(compute));
  }
  return "unknown";
}

int64_t ElementBits(const WeightFormat& format, DType compute) {
  switch (format.kind) {
    case WeightFormat::Kind::kCompute:
    case WeightFormat::Kind::kUnknown:
      return 8 * SizeOf(compute);
    case WeightFormat::Kind::kF32:
      return 32;
    case WeightFormat::Kind::kFp8:
    case WeightFormat::Kind::kInt8:
      return 8;
    case WeightFormat::Kind::kInt4:
      return 4;
  }
  return 0;
}

int64_t ScaleCount(const WeightFormat& format, int64_t rows, int64_t cols) {
  if (!format.quantized()) return 0;
  return (format.scale_rows == 0 ? 1 : CeilDiv(rows, format.scale_rows)) *
         (format.scale_cols == 0 ? 1 : CeilDiv(cols, format.scale_cols));
}

int64_t MatrixBytes(const WeightFormat& format, int64_t rows, int64_t cols, DType compute) {
  const int64_t bits = ElementBits(format, compute), scales = ScaleCount(format, rows, cols);
  const int64_t zero_points = format.zero_points ? CeilDiv(scales * bits, 8) : 0;
  return rows * CeilDiv(cols * bits, 8) + scales * format.scale_bytes + zero_points;
}

}  // namespace headroom::model
