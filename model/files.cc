#include "model/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/status.h"

namespace headroom::model {
namespace {

std::string ErrnoText(int error) {
  return std::string(strerrordesc_np(error) ? strerrordesc_np(error) : "unknown error");
}

}  // namespace

absl::StatusOr<InputFile> InputFile::Open(const std::string& directory, const std::string& name) {
  // O_NONBLOCK: opening a pipe must not wait for a writer.
  const int fd = open((directory + "/" + name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    if (error == ENOENT) return absl::NotFoundError(absl::StrCat(name, ": does not exist"));
    return absl::InvalidArgumentError(absl::StrCat(name, ": cannot be opened: ", ErrnoText(error)));
  }
  InputFile file(fd, 0, name);
  struct stat info;
  if (fstat(fd, &info) != 0) return absl::InvalidArgumentError(absl::StrCat(name, ": ", ErrnoText(errno)));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(name, ": not a regular file"));
  file.bytes_ = info.st_size;
  return file;
}

InputFile::InputFile(InputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), bytes_(other.bytes_), name_(std::move(other.name_)) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  std::swap(name_, other.name_);
  return *this;
}

InputFile::~InputFile() {
  if (fd_ >= 0) close(fd_);
}

absl::Status InputFile::ReadAt(int64_t offset, std::span<std::byte> destination) const {
  struct stat info;
  if (fstat(fd_, &info) != 0) return absl::DataLossError(absl::StrCat(name_, ": ", ErrnoText(errno)));
  if (info.st_size != bytes_) {
    return absl::DataLossError(absl::StrCat(name_, ": changed while in use: ", info.st_size, " bytes, was ", bytes_));
  }
  while (!destination.empty()) {
    const ssize_t got = pread(fd_, destination.data(), destination.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::DataLossError(absl::StrCat(name_, ": read failed: ", ErrnoText(errno)));
    if (got == 0) return absl::DataLossError(absl::StrCat(name_, ": ends at byte ", offset));
    destination = destination.subspan(got);
    offset += got;
  }
  return absl::OkStatus();
}

absl::Status InputFile::ReadOnceAt(int64_t offset, std::span<std::byte> destination) const {
  constexpr int64_t kPieceBytes = 4 << 20;
  while (!destination.empty()) {
    const auto bytes = std::min(kPieceBytes, static_cast<int64_t>(destination.size()));
    HEADROOM_RETURN_IF_ERROR(ReadAt(offset, destination.first(bytes)));
    // The kernel drops only what lies wholly inside the range, and it caches in blocks of up to 2 MiB: those on the
    // border of this piece and the one before go now, those on its end with the next piece.
    posix_fadvise(fd_, std::max<int64_t>(0, offset - kPieceBytes), kPieceBytes + bytes, POSIX_FADV_DONTNEED);
    destination = destination.subspan(bytes);
    offset += bytes;
  }
  return absl::OkStatus();
}

void InputFile::DropCached() const { posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); }

absl::Status CheckDirectory(const std::string& directory) {
  struct stat info;
  if (directory.empty()) return absl::InvalidArgumentError("model directory: no path given");
  if (stat(directory.c_str(), &info) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("model directory ", directory, ": ", ErrnoText(errno)));
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("model directory ", directory, ": is not a directory"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> ReadFileIfPresent(const std::string& directory, const std::string& name,
                                                             int64_t bytes_max) {
  absl::StatusOr<InputFile> file = InputFile::Open(directory, name);
  if (absl::IsNotFound(file.status())) return std::optional<std::string>();
  if (!file.ok()) return file.status();
  if (file->bytes() > bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", file->bytes(), " bytes, the limit is ", bytes_max));
  }
  std::string text(file->bytes(), '\0');
  HEADROOM_RETURN_IF_ERROR(file->ReadAt(0, std::as_writable_bytes(std::span(text))));
  return std::optional<std::string>(std::move(text));
}

}  // namespace headroom::model
