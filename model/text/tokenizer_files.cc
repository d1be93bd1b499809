// Tokenizer::FromFile and FromDirectory.
#include <filesystem>
#include <fstream>
#include <optional>

#include "common/status.h"
#include "model/text/tokenizer.h"

namespace headroom::model {
namespace {

constexpr const char* kJsonFile = "tokenizer.json";
// Names that published models give to files of ranks; tokenizer.model is also the name of SentencePiece's own files.
constexpr const char* kRankFiles[] = {"tiktoken.model", "qwen.tiktoken", "tokenizer.model"};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  const std::streamoff size = file.tellg();
  if (size < 0 || static_cast<uint64_t>(size) > Tokenizer::kFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", size, " bytes, the limit is ", Tokenizer::kFileBytesMax));
  }
  std::string content(static_cast<size_t>(size), '\0');
  file.seekg(0);
  if (!file.read(content.data(), size)) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return content;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Parse(const std::string& path, const std::string& config) {
  HEADROOM_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer;
  if (path.ends_with(".json")) {
    tokenizer = Tokenizer::FromJson(content, config);
  } else if (content.find('\0') != std::string::npos) {
    tokenizer = absl::InvalidArgumentError(
        "tokenizer: this is a SentencePiece file, which is not supported: save the tokenizer as tokenizer.json "
        "(transformers: AutoTokenizer.from_pretrained(DIRECTORY).save_pretrained(DIRECTORY))");
  } else {
    tokenizer = Tokenizer::FromTiktoken(content, config);
  }
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(), absl::StrCat(path, ": ", std::string(tokenizer.status().message())));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromFile(const std::string& path) { return Parse(path, ""); }

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromDirectory(const std::string& directory) {
  const std::filesystem::path folder(directory);
  std::string config;
  std::error_code error;
  if (const auto path = folder / "tokenizer_config.json"; std::filesystem::exists(path, error)) {
    HEADROOM_ASSIGN_OR_RETURN(config, ReadFile(path.string()));
  }
  if (std::filesystem::exists(folder / kJsonFile, error)) return Parse((folder / kJsonFile).string(), config);
  for (const char* name : kRankFiles) {
    if (std::filesystem::exists(folder / name, error)) return Parse((folder / name).string(), config);
  }
  return absl::NotFoundError(absl::StrCat(directory, ": there is no tokenizer.json and no tiktoken.model"));
}

}  // namespace headroom::model
