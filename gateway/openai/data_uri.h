// Images as data URIs (RFC 2397): what clients of OpenAI's API send in place of files.
#pragma once

#include <string>
#include <string_view>

#include "common/status.h"

namespace headroom::gateway::openai {

// Bytes that `base64` (RFC 4648, standard alphabet; white space and missing padding are forgiven) stands for, written
// once, into `*bytes`. INVALID_ARGUMENT when it is none.
absl::Status DecodeBase64(std::string_view base64, std::string* bytes);
std::string EncodeBase64(std::string_view bytes);

// Whether it begins as one.
bool IsDataUri(std::string_view text);
// The bytes of `data:[type][;parameter…];base64,…`, whose type is a hint that nothing reads. `uri` is UTF-8, as all
// strings of a body that was read are. INVALID_ARGUMENT says what is wrong: another scheme, no base64, nothing in it.
absl::Status DecodeDataUri(std::string_view uri, std::string* bytes);

}  // namespace headroom::gateway::openai
