#include "gateway/openai/data_uri.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "common/utf8.h"

namespace headroom::gateway::openai {
namespace {

constexpr size_t kHeadBytesMax = 256;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

absl::Status DecodeBase64(std::string_view base64, std::string* bytes) {
  if (absl::Base64Unescape(View(base64), bytes)) return absl::OkStatus();
  return absl::InvalidArgumentError("is no base64");
}

std::string EncodeBase64(std::string_view bytes) { return absl::Base64Escape(View(bytes)); }

bool IsDataUri(std::string_view text) { return absl::StartsWithIgnoreCase(View(text.substr(0, 5)), "data:"); }

absl::Status DecodeDataUri(std::string_view uri, std::string* bytes) {
  constexpr std::string_view kEncoding = ";base64";
  if (!IsDataUri(uri)) {
    return absl::InvalidArgumentError("is no data URI (data:image/png;base64,…): pictures are not fetched from '" +
                                      CutText(std::string(uri.substr(0, kHeadBytesMax)), 16) + "…'");
  }
  const size_t comma = uri.substr(0, kHeadBytesMax).find(',');
  if (comma == std::string_view::npos) return absl::InvalidArgumentError("is a data URI without a comma");
  if (!absl::EndsWithIgnoreCase(View(uri.substr(0, comma)), View(kEncoding))) {
    return absl::InvalidArgumentError("is a data URI without ;base64");
  }
  HEADROOM_RETURN_IF_ERROR(DecodeBase64(uri.substr(comma + 1), bytes));
  return bytes->empty() ? absl::InvalidArgumentError("is a data URI without data") : absl::OkStatus();
}

}  // namespace headroom::gateway::openai
