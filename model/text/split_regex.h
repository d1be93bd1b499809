// A compiled regular expression that cuts text into matches and the gaps between them. The only place that includes
// PCRE2 (JIT where the machine allows it). Thread-safe: the scratch memory of a match belongs to the thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace headroom::model {

class SplitRegex {
 public:
  // `pattern`: PCRE2 syntax; see regex_syntax.h. Error: INVALID_ARGUMENT when it does not compile.
  static absl::StatusOr<SplitRegex> Compile(const std::string& pattern);

  // Calls `emit` with [begin, end) of every match in `text`, which must be valid UTF-8, in order. A match may be empty,
  // but not right behind another one. Errors: what `emit` returns; INVALID_ARGUMENT when matching takes more steps than
  // PCRE2's limit.
  absl::Status FindMatches(std::string_view text, absl::FunctionRef<absl::Status(size_t, size_t)> emit) const;

  // Calls `emit` with every match and every gap, all non-empty, in order; together they are `text`. Errors as above.
  absl::Status Split(std::string_view text, absl::FunctionRef<absl::Status(std::string_view)> emit) const;

 private:
  struct Code;  // the compiled pattern
  explicit SplitRegex(std::shared_ptr<const Code> code) : code_(std::move(code)) {}
  std::shared_ptr<const Code> code_;
};

}  // namespace headroom::model
