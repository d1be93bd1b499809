#include "model/families/quantization.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace headroom::model::families {
namespace {

constexpr int kGroupsMax = 8;
constexpr int64_t kGroupMax = 1 << 26;  // elements that share a scale: at most a row
constexpr const char* kField = "quantization_config";
constexpr const char* kSiteNames[kSites] = {"attention", "dense MLP", "shared experts", "routed experts"};

bool Contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// Whether a module name or pattern of a list ("re:…") speaks of a site. Patterns are read by the words in them, not run
// as regular expressions: the few forms in use are told apart by these words.
bool Names(const std::string& entry, Site site) {
  const bool expert = Contains(entry, "expert");
  switch (site) {
    case Site::kAttention:
      return Contains(entry, "attn") || Contains(entry, "attention");
    case Site::kMlp:
      return Contains(entry, "mlp") && Contains(entry, "_proj") && !expert;
    case Site::kSharedExpert:
      return Contains(entry, "shared_expert");
    case Site::kExpert:
      return expert && !Contains(entry, "shared_expert");
  }
  return false;
}

// The number behind "layers." of a plain module name; -1 for patterns and names without one.
int64_t LayerOf(const std::string& entry) {
  const size_t at = entry.find("layers.");
  if (entry.compare(0, 3, "re:") == 0 || at == std::string::npos) return -1;
  int64_t layer = -1;
  for (size_t i = at + 7; i < entry.size() && std::isdigit(static_cast<unsigned char>(entry[i])); ++i) {
    layer = std::max<int64_t>(layer, 0) * 10 + (entry[i] - '0');
    if (layer > 1'000'000) return -1;
  }
  return layer;
}

// The list leaves the site alone: a pattern does, or it names every layer of it. A part of the layers is noted.
bool LeavesAlone(FieldReader& reader, const std::vector<std::string>& list, Site site, int64_t site_layers) {
  std::set<int64_t> named;
  for (const std::string& entry : list) {
    if (!Names(entry, site)) continue;
    const int64_t layer = LayerOf(entry);
    if (layer < 0) return true;
    named.insert(layer);
  }
  const auto count = static_cast<int64_t>(named.size());
  if (count > 0 && count < site_layers) {
    reader.Note(kField, absl::StrCat("leaves alone ", kSiteNames[static_cast<int>(site)], " of ", count, " of ",
                                     site_layers, " layers; all were counted as quantized"));
  }
  return count > 0 && count >= site_layers;
}

struct Scheme {
  WeightFormat format = {.kind = WeightFormat::Kind::kUnknown};
  std::vector<std::string> targets;
  std::vector<std::string> ignored;
};

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

Scheme ReadCompressedTensors(FieldReader& reader) {
  Scheme scheme;
  scheme.ignored = List(reader, "ignore");
  FieldReader groups = FieldReader::Object(reader, "config_groups");
  bool found = false;
  for (int i = 0; i < kGroupsMax; ++i) {
    const std::string name = absl::StrCat("group_", i);
    if (!groups.Has(name)) continue;
    if (found) {
      groups.Note(name, "further groups were counted like the first");
      break;
    }
    found = true;
    FieldReader group = FieldReader::Object(groups, name);
    FieldReader weights = FieldReader::Object(group, "weights");
    scheme.targets = List(group, "targets");
    const int64_t bits = weights.Int("num_bits", 1, 64);
    const bool is_float = weights.String("type", "int") == "float";
    scheme.format = OfBits(ReadScales(weights), bits, is_float);
    reader.Adopt(group.status());
    reader.Adopt(weights.status());
  }
  reader.Adopt(groups.status());
  return scheme;
}

Scheme ReadGrouped(FieldReader& reader, bool zero_points) {
  Scheme scheme;
  const int64_t bits = reader.Int(reader.Has("bits") ? "bits" : "w_bit", 1, 64);
  const char* size_name = reader.Has("group_size") ? "group_size" : "q_group_size";
  const int64_t size = reader.Has(size_name) ? reader.Int(size_name, -1, kGroupMax) : 0;
  scheme.format = OfBits({.scale_cols = std::max<int64_t>(size, 0), .zero_points = zero_points}, bits, false);
  scheme.ignored = List(reader, "modules_to_not_convert");
  return scheme;
}

Scheme ReadFp8(FieldReader& reader) {
  Scheme scheme;
  WeightFormat format{.kind = WeightFormat::Kind::kFp8, .scale_rows = 0};
  if (reader.Has("weight_block_size")) ReadBlock(reader, "weight_block_size", format);
  scheme.format = format;
  scheme.ignored = List(reader, reader.Has("ignored_layers") ? "ignored_layers" : "modules_to_not_convert");
  return scheme;
}

}  // namespace

SiteFormats ReadQuantization(FieldReader& config, FieldReader& text, const SiteLayers& layers) {
  SiteFormats formats;
  FieldReader& holder = config.Has(kField) || !text.Has(kField) ? config : text;
  if (!holder.Has(kField)) return formats;
  FieldReader reader = FieldReader::Object(holder, kField);
  const std::string method = reader.String("quant_method", "");
  Scheme scheme;
  if (method == "compressed-tensors") scheme = ReadCompressedTensors(reader);
  if (method == "fp8") scheme = ReadFp8(reader);
  if (method == "gptq") scheme = ReadGrouped(reader, !reader.Bool("sym", true));
  if (method == "awq") scheme = ReadGrouped(reader, reader.Bool("zero_point", true));
  holder.Adopt(reader.status());
  if (scheme.format.kind == WeightFormat::Kind::kUnknown) {
    holder.Note(kField, absl::StrCat("scheme not known (quant_method ", reader.fields().Print("quant_method"),
                                     "): weights were counted in the compute type"));
    formats.fill(scheme.format);
    return formats;
  }
  std::string sites;
  const bool all_linear = scheme.targets.empty() ||
                          std::find(scheme.targets.begin(), scheme.targets.end(), "Linear") != scheme.targets.end();
  for (int i = 0; i < kSites; ++i) {
    const Site site = static_cast<Site>(i);
    if (layers[i] == 0) continue;
    const bool targeted = all_linear || std::any_of(scheme.targets.begin(), scheme.targets.end(),
                                                    [&](const std::string& entry) { return Names(entry, site); });
    if (!targeted || LeavesAlone(holder, scheme.ignored, site, layers[i])) continue;
    formats[i] = scheme.format;
    absl::StrAppend(&sites, sites.empty() ? "" : ", ", kSiteNames[i]);
  }
  holder.Note(kField, absl::StrCat("read as ", WeightFormatName(scheme.format, DType::kBF16), " for ",
                                   sites.empty() ? "nothing" : sites, "; all else in the compute type"));
  return formats;
}

}  // namespace headroom::model::families
