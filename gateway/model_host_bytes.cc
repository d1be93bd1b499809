#include "gateway/model_host_bytes.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "model/chat_template_names.h"
#include "model/text/tokenizer.h"

namespace headroom::gateway {
namespace {

namespace fs = std::filesystem;

// What a visible byte of a file becomes at most: published files of one vocabulary differ threefold in white space.
// Measured on ten published vocabularies of 32,000 to 256,000 tokens (from the package llama-cpp-python), and on made
// ones whose tokens all have two characters, than which a large one cannot be denser (model_host_bytes_test):
//            as JSON     loading 16.0, held  7.3      made: 19.9,  9.4
//            as ranks    loading 23.4, held 14.2      made: 37.8, 23.3
struct Growth {
  int64_t loading;  // JSON as a tree beside the tables that are made from it
  int64_t held;
};
constexpr Growth kJson = {24, 11};
constexpr Growth kRanks = {44, 27};
// For files so small that tables of a fixed size are most of it.
constexpr int64_t kModelBytes = int64_t{2} << 20;

// One of these is read, in this order; beside it what follows, where it is there.
constexpr std::array<std::pair<const char*, Growth>, 4> kVocabularies = {
    {{"tokenizer.json", kJson}, {"tiktoken.model", kRanks}, {"qwen.tiktoken", kRanks}, {"tokenizer.model", kRanks}}};
constexpr std::array kOthers = {"tokenizer_config.json", model::kChatTemplateFile, model::kToolUseTemplateFile};

ModelHostBytes Of(const fs::path& path, Growth growth) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return {};
  std::ifstream file(path, std::ios::binary);
  std::array<char, 64 << 10> chunk;
  int64_t bytes = 0, visible = 0;
  // What is larger is not loaded.
  while (file && bytes <= static_cast<int64_t>(model::Tokenizer::kFileBytesMax)) {
    file.read(chunk.data(), chunk.size());
    const auto end = chunk.begin() + file.gcount();
    bytes += file.gcount();
    visible += std::count_if(chunk.begin(), end, [](char c) { return static_cast<unsigned char>(c) > ' '; });
  }
  return {.loading = bytes + growth.loading * visible, .held = growth.held * visible};
}

}  // namespace

ModelHostBytes HostBytesOf(const ModelSection& model) {
  ModelHostBytes all;
  const auto add = [&all](const fs::path& path, Growth growth) {
    const ModelHostBytes bytes = Of(path, growth);
    all.loading += bytes.loading;
    all.held += bytes.held;
    return bytes.loading > 0;
  };
  for (const auto& [name, growth] : kVocabularies) {
    if (add(fs::path(model.path) / name, growth)) break;
  }
  for (const char* name : kOthers) add(fs::path(model.path) / name, kJson);
  if (!model.chat_template.empty()) add(model.chat_template, kJson);
  if (all.loading == 0) return {};
  return {.loading = kModelBytes + all.loading, .held = kModelBytes + all.held};
}

int64_t ModelsHostBytes(const ClusterConfig& config) {
  int64_t most = 0, held = 0;
  for (const ModelSection& model : config.Models()) {
    const ModelHostBytes bytes = HostBytesOf(model);
    most = std::max(most, held + bytes.loading);
    held += bytes.held;
  }
  return most;
}

}  // namespace headroom::gateway
