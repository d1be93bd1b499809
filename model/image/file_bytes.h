// Bounds-checked view of an image file, for readers of headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace headroom::model {

// Reads past the end give 0; callers check Has() first where it matters.
class FileBytes {
 public:
  explicit FileBytes(std::string_view bytes) : data_(bytes) {}

  bool Has(size_t offset, size_t count) const { return offset <= data_.size() && count <= data_.size() - offset; }
  uint32_t U8(size_t offset) const { return Has(offset, 1) ? static_cast<unsigned char>(data_[offset]) : 0; }
  uint32_t Be16(size_t offset) const { return U8(offset) << 8 | U8(offset + 1); }
  uint32_t Be32(size_t offset) const { return Be16(offset) << 16 | Be16(offset + 2); }
  uint32_t Le16(size_t offset) const { return U8(offset) | U8(offset + 1) << 8; }
  uint32_t Le24(size_t offset) const { return Le16(offset) | U8(offset + 2) << 16; }
  uint32_t Le32(size_t offset) const { return Le16(offset) | Le16(offset + 2) << 16; }
  bool Is(size_t offset, std::string_view text) const {
    return Has(offset, text.size()) && data_.substr(offset, text.size()) == text;
  }
  template <size_t n>
  bool Is(size_t offset, const char (&text)[n]) const {  // text may hold zeros
    return Is(offset, std::string_view(text, n - 1));
  }
  // True when the file is a proper prefix of `text`: cut off inside the signature.
  template <size_t n>
  bool CutInside(const char (&text)[n]) const {
    return data_.size() < n - 1 && std::memcmp(data_.data(), text, data_.size()) == 0;
  }
  // As much of [offset, offset + count) as exists.
  std::string_view Part(size_t offset, size_t count) const {
    return offset < data_.size() ? data_.substr(offset, count) : std::string_view();
  }
  size_t size() const { return data_.size(); }

 private:
  std::string_view data_;
};

inline absl::Status TruncatedHeader(const char* format) {
  return absl::InvalidArgumentError(absl::StrCat("truncated ", format, " header"));
}

inline absl::Status MalformedHeader(const char* format, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed ", format, " header: ", what));
}

}  // namespace headroom::model
