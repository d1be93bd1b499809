#include "tools/golden_check/golden_check.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/testing/paths.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace headroom::tools {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void WriteFile(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

// A safetensors file taken apart: name → (dtype, shape, bytes).
struct StoredTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

std::map<std::string, StoredTensor> ReadTensors(const fs::path& path) {
  const std::string file = ReadFile(path);
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  std::map<std::string, StoredTensor> tensors;
  const json header = json::parse(file.substr(8, length));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    tensors[name] = {entry["dtype"], entry["shape"], file.substr(8 + length + begin, end - begin)};
  }
  return tensors;
}

void WriteTensors(const fs::path& path, const std::map<std::string, StoredTensor>& tensors) {
  json header;
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  WriteFile(path, std::string(reinterpret_cast<const char*>(&length), 8) + text + data);
}

StoredTensor Widened(const StoredTensor& tensor) {
  StoredTensor wide = {"F32", tensor.shape, std::string(tensor.bytes.size() * 2, '\0')};
  for (size_t i = 0; i < tensor.bytes.size() / 2; ++i) std::memcpy(&wide.bytes[4 * i + 2], &tensor.bytes[2 * i], 2);
  return wide;
}

// A copy of a golden directory that a test may change.
class GoldenCheckTest : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    directory_ = fs::path(testing::TempDir()) / (std::string("golden_check_") + test->name());
    fs::remove_all(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  void Copy(const std::string& name) {
    fs::copy(fs::path(SourceDir()) / "tests/golden" / name, directory_, fs::copy_options::recursive);
    for (const auto& file : fs::recursive_directory_iterator(directory_)) {
      fs::permissions(file, fs::perms::owner_write, fs::perm_options::add);
    }
  }

  absl::StatusOr<CheckSummary> Check(const std::vector<std::string>& cases, DType compute = DType::kF32) {
    CheckOptions options;
    options.directory = directory_.string();
    options.cases = cases;
    options.compute = compute;
    options.block_size = block_size_;
    options.max_num_batched_tokens = max_num_batched_tokens_;
    report_.clear();
    return RunGoldenCheck(options, [this](const std::string& text) { report_ += text; });
  }

  void EditJson(const std::string& file, const std::function<void(json&)>& edit) {
    json value = json::parse(ReadFile(directory_ / file));
    edit(value);
    WriteFile(directory_ / file, value.dump());
  }

  fs::path directory_;
  int64_t block_size_ = 16, max_num_batched_tokens_ = 512;
  std::string report_;
};

// Weights in three shards with an index, one of them widened to fp32; merges as strings.
TEST_F(GoldenCheckTest, ShardsWithIndexAndStringMergesGiveTheSameNumbers) {
  Copy("minicpmv");
  std::map<std::string, std::map<std::string, StoredTensor>> shards;
  json index = {{"metadata", {{"total_size", 0}}}};
  size_t count = 0;
  for (const auto& [name, tensor] : ReadTensors(directory_ / "model.safetensors")) {
    const size_t shard = count++ % 3;
    const std::string file = absl::StrCat("model-0000", shard + 1, "-of-00003.safetensors");
    shards[file][name] = shard == 1 ? Widened(tensor) : tensor;
    index["weight_map"][name] = file;
  }
  for (const auto& [file, tensors] : shards) WriteTensors(directory_ / file, tensors);
  WriteFile(directory_ / "model.safetensors.index.json", index.dump());
  fs::remove(directory_ / "model.safetensors");
  EditJson("tokenizer.json", [](json& tokenizer) {
    for (json& merge : tokenizer["model"]["merges"]) {
      if (merge.is_array()) merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    }
  });
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto summary = Check({"small", "text"}, compute);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_TRUE(summary->passed()) << report_;
    EXPECT_EQ(summary->within, 2);
  }
}

// Blocks of a narrow model are smaller than what a plan keeps back to pad the arena to whole pages.
TEST_F(GoldenCheckTest, SmallKvBlocksFitTheSmallestPlan) {
  Copy("llama");
  EditJson("config.json", [](json& config) { config["num_hidden_layers"] = 1; });
  for (block_size_ = 8; block_size_ <= 16; block_size_ *= 2) {
    for (max_num_batched_tokens_ = 1; max_num_batched_tokens_ <= 64; max_num_batched_tokens_ += 9) {
      const auto summary = Check({"short"}, DType::kBF16);
      ASSERT_TRUE(summary.ok()) << block_size_ << ", " << max_num_batched_tokens_ << ": " << summary.status();
      EXPECT_EQ(summary->broken, 0) << report_;
    }
  }
}

TEST_F(GoldenCheckTest, AWrongExpectationFailsTheCaseAndSaysWhichNumber) {
  Copy("qwen2");
  const fs::path file = directory_ / "expected/short.safetensors";
  std::map<std::string, StoredTensor> tensors = ReadTensors(file);
  float logit = 0;
  std::memcpy(&logit, tensors["logits_steps"].bytes.data(), 4);
  logit += 10;
  std::memcpy(tensors["logits_steps"].bytes.data(), &logit, 4);
  WriteTensors(file, tensors);
  const auto summary = Check({"short"});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->past, 1);
  EXPECT_FALSE(summary->passed());
  EXPECT_THAT(report_, HasSubstr("logits_steps: relative error"));
  EXPECT_THAT(report_, testing::Not(HasSubstr("prompt_logprobs: relative error")));
}

TEST_F(GoldenCheckTest, AWrongWeightFailsTheCase) {
  Copy("llama");
  const fs::path file = directory_ / "model.safetensors";
  std::map<std::string, StoredTensor> tensors = ReadTensors(file);
  std::string& norm = tensors["model.layers.1.input_layernorm.weight"].bytes;
  norm[1] = static_cast<char>(norm[1] ^ 0x01);
  WriteTensors(file, tensors);
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto summary = Check({"short"}, compute);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(summary->past, 1) << report_;
  }
}

TEST_F(GoldenCheckTest, OtherPromptIdsOrGreedyIdsAreSeen) {
  Copy("qwen2");
  EditJson("expected/short.json", [](json& golden) { golden["text"] = golden["text"].get<std::string>() + " more"; });
  auto summary = Check({"short"});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->past, 1);
  EXPECT_THAT(report_, HasSubstr("the first difference is at position"));

  fs::remove_all(directory_);
  Copy("qwen2");
  EditJson("expected/short.json", [](json& golden) { golden["greedy_ids"][23] = 5; });
  summary = Check({"short"});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_THAT(report_, HasSubstr("own greedy ids leave the reference at step 23"));
  // From the first small gap on, ids are not judged.
  EditJson("expected/short.json", [](json& golden) { golden["step_gaps"][20] = 0.005; });
  summary = Check({"short"});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_TRUE(summary->passed()) << report_;
  EXPECT_THAT(report_, HasSubstr("(20 judged)"));
}

TEST_F(GoldenCheckTest, OtherPixelsAreSeen) {
  Copy("minicpmv");
  EditJson("expected/small.json", [](json& golden) { golden["piece_sha256"][0] = std::string(64, '0'); });
  auto summary = Check({"small"});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->past, 1);
  EXPECT_THAT(report_, HasSubstr("the pixels of piece 0 differ"));
  EditJson("expected/small.json",
           [](json& golden) { golden["tgt_sizes"][0][0] = 2 * golden["tgt_sizes"][0][0].get<int>(); });
  summary = Check({"small"});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->past, 1);
  EXPECT_THAT(report_, HasSubstr("cut into other pieces"));
}

TEST_F(GoldenCheckTest, ACaseThatCannotRunDoesNotStopTheOthers) {
  Copy("minicpmv");
  EditJson("expected/small.json",
           [](json& golden) { golden["messages"][0]["content"][0]["image"] = "images/absent.png"; });
  WriteFile(directory_ / "expected/n25.safetensors", "short");
  const auto summary = Check({"n25", "small", "text"});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->broken, 2);
  EXPECT_EQ(summary->within, 1);
  EXPECT_THAT(report_, HasSubstr("images/absent.png"));
  EXPECT_THAT(report_, HasSubstr("n25.safetensors"));
}

TEST_F(GoldenCheckTest, WithoutAChatTemplateOnlyRawTextsRun) {
  Copy("qwen2");
  EditJson("tokenizer_config.json", [](json& config) { config.erase("chat_template"); });
  auto summary = Check({"short"});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_TRUE(summary->passed()) << report_;
  fs::remove_all(directory_);
  Copy("minicpmv");
  EditJson("tokenizer_config.json", [](json& config) { config.erase("chat_template"); });
  summary = Check({"text"});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->broken, 1);
  EXPECT_THAT(report_, HasSubstr("chat_template"));
}

TEST_F(GoldenCheckTest, WhatIsNoGoldenDirectoryIsAnError) {
  const auto message = [this](const std::vector<std::string>& cases) {
    const auto summary = Check(cases);
    EXPECT_FALSE(summary.ok());
    return std::string(summary.status().message());
  };
  EXPECT_FALSE(message({}).empty());  // does not exist
  Copy("llama");
  EXPECT_THAT(message({"nothing"}), HasSubstr("no case 'nothing'"));
  fs::rename(directory_ / "model.safetensors", directory_ / "model.away");
  EXPECT_THAT(message({"short"}), HasSubstr("model.safetensors"));
  fs::rename(directory_ / "model.away", directory_ / "model.safetensors");
  WriteFile(directory_ / "expected/short.json", "{");
  EXPECT_THAT(message({}), HasSubstr("short.json"));
  fs::remove_all(directory_ / "expected");
  EXPECT_THAT(message({}), HasSubstr("expected"));
}

}  // namespace
}  // namespace headroom::tools
