#include "model/reading/quantization.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace headroom::model::reading {
namespace {

constexpr int kGroupsMax = 8;
constexpr int64_t kGroupMax = 1 << 26;  // elements that share a scale: at most a row
constexpr const char* kField = "quantization_config";

// `format` with the kind that `bits` ask for.
WeightFormat OfBits(WeightFormat format, int64_t bits, bool is_float) {
  using Kind = WeightFormat::Kind;
  format.kind = bits == 8                ? (is_float ? Kind::kFp8 : Kind::kInt8)
                : bits == 4 && !is_float ? Kind::kInt4
                                         : Kind::kUnknown;
  return format.quantized() ? format : WeightFormat{.kind = Kind::kUnknown};
}

std::vector<std::string> List(FieldReader& reader, const std::string& name) {
  absl::StatusOr<std::vector<std::string>> list = reader.fields().Strings(name);
  if (list.ok()) return *std::move(list);
  reader.Fail(name, "must be a list of strings");
  return {};
}

// [rows, columns] of a block that shares a scale.
void ReadBlock(FieldReader& reader, const char* name, WeightFormat& format) {
  const std::vector<int64_t> sides = reader.Ints(name, 1, kGroupMax, 2);
  if (sides.size() != 2) return reader.Fail(name, "must have two entries");
  format.scale_rows = sides[0];
  format.scale_cols = sides[1];
}

WeightFormat ReadScales(FieldReader& weights) {
  WeightFormat format;
  const int64_t group = weights.Has("group_size") ? weights.Int("group_size", -1, kGroupMax) : 0;
  const std::string strategy = weights.String("strategy", group > 0 ? "group" : "channel");
  if (strategy == "tensor") {
    format.scale_rows = 0;
  } else if (strategy == "group") {
    format.scale_cols = std::max<int64_t>(group, 0);
  } else if (strategy == "block") {
    ReadBlock(weights, "block_structure", format);
  } else if (strategy != "channel") {
    weights.Note("strategy", weights.fields().Print("strategy") + ": one scale a row was counted");
  }
  format.zero_points = !weights.Bool("symmetric", true);
  return format;
}

// The packing that `format` of compressed-tensors names.
Packing PackingOf(FieldReader& reader, const WeightFormat& format) {
  const std::string name = reader.String("format", format.kind == WeightFormat::Kind::kInt4 ? "pack-quantized" : "");
  return name == "pack-quantized" ? Packing::kPackedRows : Packing::kTyped;
}

}  // namespace

void Quantization::AddGroup(StoredFormat stored) {
  if (!stored.format.quantized()) stored.packing = Packing::kPlain;
  groups_.emplace_back().stored = stored;
}

// What is not known to be quantized counts in the compute type, which is more.
void Quantization::ReadIgnored(FieldReader& reader, const char* name) {
  for (const std::string& entry : List(reader, name)) {
    const std::string problem = ignored_.Add(entry);
    if (problem.empty()) continue;
    reader.Note(name, absl::StrCat(problem, " was not understood: all matrices were counted in the compute type"));
    ignored_.Add("Linear");
  }
}

void Quantization::ReadCompressedTensors(FieldReader& reader) {
  ReadIgnored(reader, "ignore");
  FieldReader groups = FieldReader::Object(reader, "config_groups");
  for (int i = 0; i < kGroupsMax; ++i) {
    const std::string name = absl::StrCat("group_", i);
    if (!groups.Has(name)) continue;
    FieldReader group = FieldReader::Object(groups, name);
    FieldReader weights = FieldReader::Object(group, "weights");
    const int64_t bits = weights.Int("num_bits", 1, 64);
    const bool is_float = weights.String("type", "int") == "float";
    const WeightFormat format = OfBits(ReadScales(weights), bits, is_float);
    AddGroup({format, PackingOf(group.Has("format") ? group : reader, format)});
    for (const std::string& entry : List(group, "targets")) {
      const std::string problem = groups_.back().targets.Add(entry);
      if (!problem.empty()) group.Note("targets", problem + " was not understood and left out");
    }
    reader.Adopt(group.status());
    reader.Adopt(weights.status());
  }
  reader.Adopt(groups.status());
}

void Quantization::ReadGrouped(FieldReader& reader, Packing packing, bool zero_points) {
  const int64_t bits = reader.Int(reader.Has("bits") ? "bits" : "w_bit", 1, 64);
  const char* size_name = reader.Has("group_size") ? "group_size" : "q_group_size";
  const int64_t size = reader.Has(size_name) ? reader.Int(size_name, -1, kGroupMax) : 0;
  const WeightFormat grouped{.scale_cols = std::max<int64_t>(size, 0), .zero_points = zero_points};
  AddGroup({OfBits(grouped, bits, false), packing});
  ReadIgnored(reader, "modules_to_not_convert");
  if (reader.Has("dynamic")) {
    reader.Note("dynamic", "formats of single modules are not known: all were counted in the compute type");
    ignored_.Add("Linear");
  }
}

void Quantization::ReadFp8(FieldReader& reader) {
  WeightFormat format{.kind = WeightFormat::Kind::kFp8, .scale_rows = 0, .scale_bytes = 4};
  if (reader.Has("weight_block_size")) ReadBlock(reader, "weight_block_size", format);
  AddGroup({format, Packing::kScaleInv});
  ReadIgnored(reader, reader.Has("ignored_layers") ? "ignored_layers" : "modules_to_not_convert");
}

Quantization Quantization::Read(FieldReader& config, FieldReader& text) {
  Quantization quantization;
  FieldReader& holder = config.Has(kField) || !text.Has(kField) ? config : text;
  if (!holder.Has(kField)) return quantization;
  FieldReader reader = FieldReader::Object(holder, kField);
  const std::string method = reader.String("quant_method", "");
  if (method == "compressed-tensors") quantization.ReadCompressedTensors(reader);
  if (method == "fp8") quantization.ReadFp8(reader);
  if (method == "gptq") quantization.ReadGrouped(reader, Packing::kGptq, !reader.Bool("sym", true));
  if (method == "awq") quantization.ReadGrouped(reader, Packing::kAwq, reader.Bool("zero_point", true));
  holder.Adopt(reader.status());
  const bool known = std::any_of(quantization.groups_.begin(), quantization.groups_.end(),
                                 [](const Group& group) { return group.stored.format.quantized(); });
  if (!known) {
    holder.Note(kField, absl::StrCat("scheme not known (quant_method ", reader.fields().Print("quant_method"),
                                     "): weights were counted in the compute type"));
    quantization = {};
    quantization.AddGroup({.format = {.kind = WeightFormat::Kind::kUnknown}});
  }
  // Of methods that quantize whatever they do not name.
  if (method != "compressed-tensors" || !known) quantization.groups_.back().targets.Add("Linear");
  return quantization;
}

StoredFormat Quantization::FormatOf(const std::string& module) const {
  if (ignored_.Names(module)) return {};
  for (const Group& group : groups_) {
    if (group.targets.Names(module)) return group.stored;
  }
  return {};
}

}  // namespace headroom::model::reading
