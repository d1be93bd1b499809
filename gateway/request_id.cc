#include "gateway/request_id.h"

#include <algorithm>

#include "common/random.h"

namespace headroom::gateway {
namespace {

constexpr size_t kRequestIdBytesMax = 128;

// Fit for logs and headers.
bool IsRequestId(const std::string& given) {
  return !given.empty() && given.size() <= kRequestIdBytesMax &&
         std::all_of(given.begin(), given.end(), [](unsigned char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

absl::Status CheckRequestId(const std::string& given) {
  if (given.empty() || IsRequestId(given)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("request_id has ", given.size(), " bytes; it must be 1 to ",
                                                 kRequestIdBytesMax, " printable ASCII characters without spaces"));
}

std::string RequestIdFor(const std::string& given) {
  if (IsRequestId(given)) return given;
  return absl::StrCat(absl::Hex(SystemRandom().Next(), absl::kZeroPad16),
                      absl::Hex(SystemRandom().Next(), absl::kZeroPad16));
}

}  // namespace headroom::gateway
