#include "model/testing/checkpoint_writer.h"

#include <unistd.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "common/check.h"
#include "model/tensor_spec.h"

namespace headroom::model::testing {
namespace {

using nlohmann::json;

std::string RandomData(std::mt19937_64& random, StoredType type, int64_t elements) {
  HEADROOM_CHECK(type == StoredType::kF32 || type == StoredType::kBF16) << StoredTypeName(type);
  std::uniform_real_distribution<float> value(-0.1f, 0.1f);
  std::string data(elements * SizeOf(type), '\0');
  for (int64_t i = 0; i < elements; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(value(random));
    const uint16_t high = static_cast<uint16_t>(bits >> 16);
    if (type == StoredType::kF32) std::memcpy(data.data() + 4 * i, &bits, 4);
    if (type == StoredType::kBF16) std::memcpy(data.data() + 2 * i, &high, 2);
  }
  return data;
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "headroom-model-XXXXXX").string();
  HEADROOM_CHECK(mkdtemp(name.data()) != nullptr) << "no temporary directory";
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TemporaryDirectory::Write(const std::string& name, const std::string& content) const {
  std::ofstream file(path_ + "/" + name, std::ios::binary | std::ios::trunc);
  file << content;
  HEADROOM_CHECK(file.flush().good()) << "cannot write " << name;
}

std::string TemporaryDirectory::Read(const std::string& name) const {
  std::ifstream file(path_ + "/" + name, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

absl::Status ReadTensor(const Checkpoint& checkpoint, const std::string& name, DType type,
                        std::span<std::byte> destination) {
  const TensorInfo* const info = checkpoint.Find(name);
  const int64_t rows = info == nullptr || info->shape.empty() ? 1 : info->shape[0];
  return checkpoint.ReadRowsAs(name, 0, rows, type, destination);
}

std::string SafetensorsFile(const std::string& header, const std::string& data) {
  const uint64_t bytes = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &bytes, 8);
  return file + header + data;
}

std::string SafetensorsFile(const std::vector<StoredTensor>& tensors) {
  json header = json::object();
  std::string data;
  for (const StoredTensor& tensor : tensors) {
    const size_t begin = data.size();
    data += tensor.data;
    header[tensor.name] = {
        {"dtype", StoredTypeName(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  header["__metadata__"] = {{"format", "pt"}};
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return SafetensorsFile(text, data);
}

std::string SmallConfig(const std::string& architecture) {
  json config = {{"hidden_size", 128},       {"intermediate_size", 96},         {"num_hidden_layers", 2},
                 {"num_attention_heads", 4}, {"num_key_value_heads", 2},        {"hidden_act", "silu"},
                 {"rms_norm_eps", 1e-6},     {"max_position_embeddings", 2048}, {"vocab_size", 320},
                 {"eos_token_id", 3},        {"architectures", {architecture}}};
  if (architecture == "MiniCPMV") {
    config["version"] = 2.6;
    config["rope_theta"] = 1e6;
    config["query_num"] = 64;
    config["drop_vision_last_layer"] = false;
    config["slice_config"] = {{"max_slice_nums", 9}, {"patch_size", 14}};
    config["vision_config"] = {{"hidden_size", 144},       {"intermediate_size", 80}, {"num_hidden_layers", 2},
                               {"num_attention_heads", 2}, {"patch_size", 14},        {"image_size", 280}};
  } else if (architecture == "Qwen2ForCausalLM") {
    config["tie_word_embeddings"] = true;
  } else if (architecture == "LlamaForCausalLM") {
    config["head_dim"] = 48;
    config["attention_bias"] = false;
  }
  return config.dump();
}

void WriteRandomModel(const TemporaryDirectory& directory, const std::string& config,
                      const RandomModelOptions& options) {
  const absl::StatusOr<ModelSpec> parsed = ParseModelSpec({.config = config, .preprocessor = {}, .generation = {}});
  HEADROOM_CHECK(parsed.ok()) << parsed.status();
  std::mt19937_64 random(options.seed);
  std::vector<std::vector<StoredTensor>> shards(options.shards);
  size_t next = 0;
  for (const TensorSource& expected : SourcesOf(parsed->tensors)) {
    int64_t elements = 1;
    for (const int64_t dimension : expected.shape) elements *= dimension;
    shards[next++ % shards.size()].push_back(
        {expected.name, options.type, expected.shape, RandomData(random, options.type, elements)});
  }
  directory.Write("config.json", config);
  if (shards.size() == 1) return directory.Write("model.safetensors", SafetensorsFile(shards[0]));
  json weight_map = json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    std::ostringstream name;
    name << "model-0000" << i + 1 << "-of-0000" << shards.size() << ".safetensors";
    directory.Write(name.str(), SafetensorsFile(shards[i]));
    for (const StoredTensor& tensor : shards[i]) weight_map[tensor.name] = name.str();
  }
  directory.Write("model.safetensors.index.json",
                  json{{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}}.dump());
}

}  // namespace headroom::model::testing
