// Descriptions against what published code writes: tests/checkpoints holds the headers of its files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>

#include "common/testing/folders.h"
#include "common/testing/paths.h"
#include "model/spec.h"
#include "model/testing/checkpoint_writer.h"

namespace headroom::model::reading {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using Role = StoredPart::Role;

// By the names that safetensors files use.
StoredType TypeOf(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(StoredType::kBool); ++i) {
    const auto type = static_cast<StoredType>(i);
    if (StoredTypeName(type) == name) return type;
  }
  ADD_FAILURE() << name;
  return StoredType::kF32;
}

int64_t Elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

// A checkpoint of zeros.
Checkpoint OpenZeros(const json& tensors, const testing::TemporaryDirectory& directory) {
  std::vector<testing::StoredTensor> stored;
  for (const auto& [name, tensor] : tensors.items()) {
    const StoredType type = TypeOf(tensor[0]);
    const auto shape = tensor[1].get<std::vector<int64_t>>();
    stored.push_back({name, type, shape, std::string(Elements(shape) * SizeOf(type), '\0')});
  }
  directory.Write("model.safetensors", testing::SafetensorsFile(stored));
  auto checkpoint = Checkpoint::Open(directory.path());
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return *std::move(checkpoint);
}

class CheckpointsTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::string Directory() const { return SourceDir() + "/tests/checkpoints/" + GetParam(); }
  json Tensors() const { return json::parse(std::ifstream(Directory() + "/tensors.json")); }

  testing::TemporaryDirectory directory_;
};

TEST_P(CheckpointsTest, EveryTensorIsNamedAndEveryByteCounted) {
  const auto spec = LoadModelSpec(Directory());
  ASSERT_TRUE(spec.ok()) << spec.status();
  const Checkpoint checkpoint = OpenZeros(Tensors(), directory_);
  const auto unused = CheckTensors(spec->tensors, checkpoint);
  ASSERT_TRUE(unused.ok()) << unused.status();
  EXPECT_EQ(*unused, 0);
  int64_t total = 0;
  for (const TensorSpec& tensor : spec->tensors) {
    int64_t bytes = 0, elements = 0;  // of what memory holds as well
    DType compute = DType::kBF16;
    for (const StoredPart& part : StoredPartsOf(tensor)) {
      const TensorInfo* const found = checkpoint.Find(part.name);
      if (found == nullptr) continue;
      total += found->bytes;
      if (part.role == Role::kOther) continue;
      bytes += found->bytes;
      elements += found->elements;
      if (found->type == StoredType::kF32 && part.role == Role::kValues) compute = DType::kF32;
    }
    if (tensor.computed()) continue;
    if (tensor.format.kind == WeightFormat::Kind::kF32) {
      EXPECT_EQ(elements, tensor.count * tensor.rows * tensor.cols) << tensor.name;
    } else {
      const int64_t held = MatrixBytes(tensor.format, tensor.rows, tensor.cols, compute);
      EXPECT_EQ(bytes, tensor.count * held) << tensor.name;
    }
  }
  EXPECT_EQ(total, checkpoint.total_bytes());
}

// A tensor that another shape of model would have is missed by name.
TEST_P(CheckpointsTest, OneMissingTensorIsNamed) {
  const auto spec = LoadModelSpec(Directory());
  ASSERT_TRUE(spec.ok()) << spec.status();
  const json tensors = Tensors();
  const std::string gone = std::next(tensors.begin(), static_cast<int64_t>(tensors.size()) / 2).key();
  json fewer = tensors;
  fewer.erase(gone);
  const auto missed = CheckTensors(spec->tensors, OpenZeros(fewer, directory_));
  EXPECT_THAT(missed.status().message(), HasSubstr(gone + ": missing"));
}

INSTANTIATE_TEST_SUITE_P(Folders, CheckpointsTest, ::testing::ValuesIn(FoldersWith("config.json", "tests/checkpoints")),
                         [](const auto& folder) {
                           std::string name = folder.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace headroom::model::reading
