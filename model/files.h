// Reading files of a model directory that the operator configured. Messages name the file, not the directory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace headroom::model {

// An open regular file (symbolic links are followed: download caches use them). Movable; closes itself.
class InputFile {
 public:
  // NOT_FOUND when it does not exist; INVALID_ARGUMENT when it is no regular file. `name` is for messages.
  static absl::StatusOr<InputFile> Open(const std::string& directory, const std::string& name);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  // When it was opened.
  int64_t bytes() const { return bytes_; }
  const std::string& name() const { return name_; }

  // Fills all of `destination`; DATA_LOSS when the file ends before or its size is not what it was at Open.
  // Thread-safe.
  absl::Status ReadAt(int64_t offset, std::span<std::byte> destination) const;
  // The same for data that is wanted once: what the kernel keeps of it in its page cache, which counts as memory of
  // this process's control group, is dropped as reading goes on, and is never more than a few MiB.
  absl::Status ReadOnceAt(int64_t offset, std::span<std::byte> destination) const;
  // Drops what the page cache holds of the whole file.
  void DropCached() const;

 private:
  InputFile(int fd, int64_t bytes, std::string name) : fd_(fd), bytes_(bytes), name_(std::move(name)) {}

  int fd_ = -1;
  int64_t bytes_ = 0;
  std::string name_;
};

// INVALID_ARGUMENT: missing, or not a directory.
absl::Status CheckDirectory(const std::string& directory);

// The whole file, or nothing when it does not exist. INVALID_ARGUMENT when larger than bytes_max.
absl::StatusOr<std::optional<std::string>> ReadFileIfPresent(const std::string& directory, const std::string& name,
                                                             int64_t bytes_max);

}  // namespace headroom::model
