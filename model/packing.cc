#include "model/packing.h"

#include "common/arith.h"

namespace headroom::model {
namespace {

using Role = StoredPart::Role;
using Types = std::vector<StoredType>;

const Types kFloats = {StoredType::kF32, StoredType::kF16, StoredType::kBF16};
const Types kWords = {StoredType::kI32};

// A matrix that is being written down part by part.
class Parts {
 public:
  Parts(const WeightFormat& of, const std::string& name, const std::vector<int64_t>& shape)
      : format(of),
        rows(shape[0]),
        cols(shape[1]),
        bits(ElementBits(of, DType::kBF16)),
        scale_rows(of.scale_rows == 0 ? 1 : CeilDiv(rows, of.scale_rows)),
        scale_cols(of.scale_cols == 0 ? 1 : CeilDiv(cols, of.scale_cols)),
        module_(name.substr(0, name.rfind('.') + 1)) {}

  void Add(const char* name, std::vector<int64_t> shape, Types types, Role role) {
    list_.push_back({module_ + name, std::move(shape), std::move(types), role});
  }
  void MayHave(const char* name, std::vector<int64_t> shape, Types types) {
    Add(name, std::move(shape), std::move(types), Role::kOther);
    list_.back().optional = true;
  }
  int64_t Packed(int64_t elements) const { return CeilDiv(elements * bits, 32); }
  std::vector<StoredPart> Take() { return std::move(list_); }

  const WeightFormat& format;
  const int64_t rows, cols, bits, scale_rows, scale_cols;

 private:
  std::string module_;
  std::vector<StoredPart> list_;
};

void AddPackedRows(Parts& parts) {
  parts.Add("weight_packed", {parts.rows, parts.Packed(parts.cols)}, kWords, Role::kValues);
  parts.Add("weight_scale", {parts.scale_rows, parts.scale_cols}, kFloats, Role::kScales);
  if (parts.format.zero_points) {
    parts.Add("weight_zero_point", {parts.Packed(parts.scale_rows), parts.scale_cols}, kWords, Role::kZeroPoints);
  }
  parts.MayHave("weight_shape", {2}, {StoredType::kI64, StoredType::kI32});
  parts.MayHave("weight_g_idx", {parts.cols}, kWords);
}

void AddTyped(Parts& parts) {
  const StoredType type = parts.format.kind == WeightFormat::Kind::kFp8 ? StoredType::kF8E4M3 : StoredType::kI8;
  parts.Add("weight", {parts.rows, parts.cols}, {type}, Role::kValues);
  parts.Add("weight_scale", {parts.scale_rows, parts.scale_cols}, kFloats, Role::kScales);
  if (parts.format.zero_points) {
    parts.Add("weight_zero_point", {parts.scale_rows, parts.scale_cols}, {type}, Role::kZeroPoints);
  }
  parts.MayHave("input_scale", {1}, kFloats);
}

void AddScaleInv(Parts& parts) {
  const bool blocks = parts.format.scale_rows > 0;
  parts.Add("weight", {parts.rows, parts.cols}, {StoredType::kF8E4M3}, Role::kValues);
  parts.Add(blocks ? "weight_scale_inv" : "weight_scale", {parts.scale_rows, parts.scale_cols}, kFloats, Role::kScales);
  parts.MayHave("input_scale", {1}, kFloats);
}

void AddColumnsFirst(Parts& parts, bool gptq) {
  const int64_t rows_packed = parts.Packed(parts.rows);
  parts.Add(
      "qweight",
      gptq ? std::vector<int64_t>{parts.Packed(parts.cols), parts.rows} : std::vector<int64_t>{parts.cols, rows_packed},
      kWords, Role::kValues);
  parts.Add("qzeros", {parts.scale_cols, rows_packed}, kWords,
            parts.format.zero_points ? Role::kZeroPoints : Role::kOther);
  parts.Add("scales", {parts.scale_cols, parts.rows}, kFloats, Role::kScales);
  if (gptq) parts.MayHave("g_idx", {parts.cols}, kWords);
}

}  // namespace

std::vector<StoredPart> StoredParts(Packing packing, const WeightFormat& format, const std::string& name,
                                    const std::vector<int64_t>& shape) {
  if (packing == Packing::kPlain) return {{name, shape, kFloats}};
  Parts parts(format, name, shape);
  switch (packing) {
    case Packing::kPlain:
      break;
    case Packing::kPackedRows:
      AddPackedRows(parts);
      break;
    case Packing::kTyped:
      AddTyped(parts);
      break;
    case Packing::kScaleInv:
      AddScaleInv(parts);
      break;
    case Packing::kGptq:
    case Packing::kAwq:
      AddColumnsFirst(parts, packing == Packing::kGptq);
      break;
  }
  return parts.Take();
}

}  // namespace headroom::model
