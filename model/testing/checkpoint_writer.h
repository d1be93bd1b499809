// For tests: temporary model directories with small random or deliberately broken checkpoints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/spec.h"

namespace headroom::model::testing {

// A fresh directory, removed with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  void Write(const std::string& name, const std::string& content) const;
  std::string Read(const std::string& name) const;

 private:
  std::string path_;
};

// The whole tensor, as Checkpoint::ReadRowsAs reads it.
absl::Status ReadTensor(const Checkpoint& checkpoint, const std::string& name, DType type,
                        std::span<std::byte> destination);

struct StoredTensor {
  std::string name;
  StoredType type = StoredType::kF32;
  std::vector<int64_t> shape;
  std::string data;  // elements × size bytes
};

// A well-formed safetensors file, the tensors in the order given.
std::string SafetensorsFile(const std::vector<StoredTensor>& tensors);
// The same around a header (JSON text) and data of the caller's, right or wrong.
std::string SafetensorsFile(const std::string& header, const std::string& data);

// config.json of small models by architecture: MiniCPMV with a tower of 2 layers and heads of 72, Qwen2ForCausalLM with
// a tied head, LlamaForCausalLM with a head_dim of its own.
std::string SmallConfig(const std::string& architecture);

struct RandomModelOptions {
  uint64_t seed = 1;
  int shards = 1;  // above 1: with an index
  StoredType type = StoredType::kBF16;
};
// Writes `config` as config.json and a checkpoint of the tensors that it needs, small random values. Aborts on a config
// that does not load.
void WriteRandomModel(const TemporaryDirectory& directory, const std::string& config,
                      const RandomModelOptions& options = {});

}  // namespace headroom::model::testing
