// Errors as OpenAI's clients read them: {"error": {message, type, param, code, headroom}}, an HTTP status and headers
// that say whether and when to come again.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/status.h"

namespace headroom::gateway::openai {

using Headers = std::vector<std::pair<std::string, std::string>>;

// INVALID_ARGUMENT about a part of a request: `code` is the word that programs compare, `param` the path of the field
// ("messages[0].content[1].image_url.url"), empty for none.
absl::Status RequestError(const std::string& code, const std::string& param, const std::string& message);
// `status` with the same: its own code and details stay.
absl::Status WithCode(const std::string& code, const std::string& param, absl::Status status);
// `status` about the field `param`, where it does not name one; its message says what is wrong with it.
absl::Status AtField(const std::string& param, const absl::Status& status);

struct ErrorAnswer {
  int status;  // of HTTP
  Headers headers;
  std::string body;
};

// `status` is not OK.
ErrorAnswer ToHttp(const absl::Status& status);
// The body alone: inside of a stream it is the data of an event.
std::string ErrorBody(const absl::Status& status);

// What the transport refuses by itself, by its status.
ErrorAnswer TransportError(int status, const std::string& message);

// A row of the table by which ToHttp chooses, for documents.
struct ErrorKind {
  int status;
  const char* type;
  const char* code;  // empty: the field's, the budget's or none
  const char* when;
};
const std::vector<ErrorKind>& ErrorKinds();
const std::vector<ErrorKind>& TransportErrorKinds();

}  // namespace headroom::gateway::openai
