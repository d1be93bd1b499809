// Headers of checkpoint files, then the whole file around them; and the index of a checkpoint in shards.
#include <algorithm>

#include "common/check.h"
#include "model/checkpoint.h"
#include "model/safetensors_header.h"
#include "model/testing/checkpoint_writer.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

constexpr int64_t kDataBytesMax = 1 << 16;
constexpr model::CheckpointLimits kLimits = {.header_bytes_max = 1 << 20, .tensors_max = 100, .rank_max = 4};

void CheckTensors(const model::Checkpoint& checkpoint, int64_t data_bytes) {
  HEADROOM_CHECK(checkpoint.total_bytes() == data_bytes);
  for (const auto& [name, info] : checkpoint.tensors()) {
    HEADROOM_CHECK(info.elements > 0 && info.bytes == info.elements * model::SizeOf(info.type));
    std::vector<std::byte> stored(static_cast<size_t>(info.bytes));
    HEADROOM_CHECK(checkpoint.Read(name, 0, stored).ok());
    const bool is_float = info.type == model::StoredType::kF32 || info.type == model::StoredType::kF16 ||
                          info.type == model::StoredType::kBF16;
    std::vector<std::byte> read(static_cast<size_t>(info.elements) * 4);
    const int64_t rows = info.shape.empty() ? 1 : info.shape[0];
    HEADROOM_CHECK(checkpoint.ReadRowsAs(name, 0, rows, DType::kF32, read).ok() == is_float) << name;
  }
}

void Run(const std::string& input) {
  const auto index = model::ParseSafetensorsIndex("index", input, kLimits);
  if (index.ok()) {
    HEADROOM_CHECK(!index->empty() && static_cast<int64_t>(index->size()) <= kLimits.tensors_max);
    for (const auto& [name, file] : *index) HEADROOM_CHECK(file.find('/') == std::string::npos && file[0] != '.');
  }
  const auto header = model::ParseSafetensorsHeader("file", input, kLimits);
  if (!header.ok()) return;
  HEADROOM_CHECK(static_cast<int64_t>(header->size()) <= kLimits.tensors_max);
  int64_t data_bytes = 0;
  for (const model::HeaderEntry& entry : *header) {
    HEADROOM_CHECK(static_cast<int64_t>(entry.shape.size()) <= kLimits.rank_max);
    HEADROOM_CHECK(static_cast<int64_t>(entry.name.size()) <= kLimits.name_bytes_max);
    data_bytes = std::max(data_bytes, entry.end);
  }
  static const auto* const directory = new model::testing::TemporaryDirectory();
  data_bytes = std::min(data_bytes, kDataBytesMax);
  directory->Write("model.safetensors",
                   model::testing::SafetensorsFile(input, std::string(static_cast<size_t>(data_bytes), '\x3c')));
  const auto checkpoint = model::Checkpoint::Open(directory->path(), kLimits);
  if (checkpoint.ok()) CheckTensors(*checkpoint, data_bytes);
}

std::vector<std::string> Seeds() {
  using model::StoredType;
  std::vector<std::string> seeds = {
      R"({"metadata":{"total_size":12},"weight_map":{"a":"model-1.safetensors","b.c":"model-2.safetensors"}})"};
  const std::string file = model::testing::SafetensorsFile({{"a", StoredType::kF32, {2, 3}, std::string(24, '\0')},
                                                            {"b.c", StoredType::kBF16, {5}, std::string(10, '\0')},
                                                            {"scalar", StoredType::kI64, {}, std::string(8, '\0')}});
  seeds.push_back(file.substr(8, file.rfind('}') - 7));
  seeds.emplace_back(R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F16","shape":[1,1,2],"data_offsets":[0,4]}})");
  return seeds;
}

const Registration registration({"safetensors", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
