#include "model/fingerprint.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include "common/status.h"
#include "model/chat_template_names.h"
#include "model/files.h"
#include "model/sha256.h"

namespace headroom::model {
namespace {

constexpr int64_t kChunkBytes = 256 << 10;
constexpr int64_t kFileBytesMax = 256 << 20;
constexpr const char* kFiles[] = {"config.json", "preprocessor_config.json", "generation_config.json", "tokenizer.json",
                                  "tokenizer_config.json"};
// Of these only those that are there.
constexpr const char* kRareFiles[] = {"tiktoken.model", "qwen.tiktoken", "tokenizer.model"};

constexpr const char* kTemplateFiles[] = {kChatTemplateFile, kToolUseTemplateFile};

// A file that is absent hashes differently from one that is empty.
absl::Status HashFile(const std::string& directory, const std::string& name, Sha256& hash) {
  hash.UpdateField(name);
  const absl::StatusOr<InputFile> file = InputFile::Open(directory, name);
  if (absl::IsNotFound(file.status())) {
    hash.UpdateField("absent");
    return absl::OkStatus();
  }
  if (!file.ok()) return file.status();
  if (file->bytes() > kFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", file->bytes(), " bytes, the limit is ", kFileBytesMax));
  }
  hash.UpdateField(std::to_string(file->bytes()));
  std::vector<std::byte> chunk(kChunkBytes);
  for (int64_t offset = 0; offset < file->bytes(); offset += kChunkBytes) {
    const std::span<std::byte> part(chunk.data(), std::min(kChunkBytes, file->bytes() - offset));
    HEADROOM_RETURN_IF_ERROR(file->ReadAt(offset, part));
    hash.Update(part.data(), part.size());
  }
  return absl::OkStatus();
}

// The files that a directory may have since templates moved out of tokenizer_config.json: those without one keep the
// fingerprint that they had before.
absl::Status HashTemplates(const std::string& directory, const std::string& chat_template, Sha256& hash) {
  for (const char* name : kTemplateFiles) {
    const absl::Status present = InputFile::Open(directory, name).status();
    if (absl::IsNotFound(present)) continue;
    HEADROOM_RETURN_IF_ERROR(HashFile(directory, name, hash));
  }
  if (chat_template.empty()) return absl::OkStatus();
  const std::filesystem::path path(chat_template);
  const std::string folder = path.parent_path().empty() ? "." : path.parent_path().string();
  hash.UpdateField("model.chat_template");
  HEADROOM_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                            ReadFileIfPresent(folder, path.filename().string(), kChatTemplateBytesMax));
  if (!text.has_value()) return absl::NotFoundError("model.chat_template: there is no file " + chat_template);
  hash.UpdateField(*text);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ModelFingerprint(const std::string& directory, const Checkpoint& checkpoint,
                                             const std::string& chat_template) {
  Sha256 hash;
  for (const char* name : kFiles) HEADROOM_RETURN_IF_ERROR(HashFile(directory, name, hash));
  for (const char* name : kRareFiles) {
    if (absl::IsNotFound(InputFile::Open(directory, name).status())) continue;
    HEADROOM_RETURN_IF_ERROR(HashFile(directory, name, hash));
  }
  hash.UpdateField(checkpoint.header_digest());
  HEADROOM_RETURN_IF_ERROR(HashTemplates(directory, chat_template, hash));
  std::string hex;
  for (const unsigned char byte : hash.Finish()) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

}  // namespace headroom::model
