#include "model/text/split_regex.h"

#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/check.h"
#include "common/status.h"
#include "common/utf8.h"

namespace headroom::model {
namespace {

constexpr size_t kJitStackBytes = 32 * 1024;
constexpr size_t kJitStackBytesMax = 1024 * 1024;

// What one match needs, kept for the life of the thread.
struct Scratch {
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(kJitStackBytes, kJitStackBytesMax, nullptr);

  Scratch() {
    HEADROOM_CHECK(match != nullptr && context != nullptr) << "no memory for a regular expression";
    if (stack != nullptr) pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Scratch() {
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

std::string ErrorText(int code) {
  PCRE2_UCHAR buffer[256];
  return pcre2_get_error_message(code, buffer, sizeof(buffer)) < 0 ? absl::StrCat("error ", code)
                                                                   : std::string(reinterpret_cast<const char*>(buffer));
}

}  // namespace

struct SplitRegex::Code {
  explicit Code(pcre2_code* compiled) : code(compiled) {}
  ~Code() { pcre2_code_free(code); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  pcre2_code* code;
};

absl::StatusOr<SplitRegex> SplitRegex::Compile(const std::string& pattern) {
  std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  HEADROOM_CHECK(context != nullptr) << "no memory for a regular expression";
  // As in Oniguruma: only \n ends a line, and ^ and $ stand at every line.
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE place = 0;
  pcre2_code* compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &place, context.get());
  if (compiled == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer: the regular expression does not compile: ", ErrorText(error)));
  }
  auto code = std::make_shared<const Code>(compiled);
  // Without a JIT (a kernel that forbids writable code) the interpreter does the same, slower.
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
  return SplitRegex(std::move(code));
}

absl::Status SplitRegex::FindMatches(std::string_view text,
                                     absl::FunctionRef<absl::Status(size_t, size_t)> emit) const {
  thread_local Scratch scratch;
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t last_end = kNone;
  size_t search = 0;  // where the next search starts
  while (search <= text.size()) {
    // The text was checked once for the whole; a check per match would make the loop quadratic.
    const int found =
        pcre2_match(code_->code, subject, text.size(), search, PCRE2_NO_UTF_CHECK, scratch.match, scratch.context);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0)
      return absl::InvalidArgumentError(absl::StrCat("the text cannot be split into words: ", ErrorText(found)));
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(scratch.match);
    const size_t begin = bounds[0];
    const size_t end = bounds[1];
    if (begin == end && end == last_end) {
      // Oniguruma's iterator tries again one character on from where it searched.
      if (search == text.size()) break;
      NextCodePoint(text, &search);
      continue;
    }
    search = last_end = end;
    HEADROOM_RETURN_IF_ERROR(emit(begin, end));
  }
  return absl::OkStatus();
}

absl::Status SplitRegex::Split(std::string_view text, absl::FunctionRef<absl::Status(std::string_view)> emit) const {
  size_t done = 0;  // all before is emitted
  const auto emit_match = [&](size_t begin, size_t end) -> absl::Status {
    if (begin > done) HEADROOM_RETURN_IF_ERROR(emit(text.substr(done, begin - done)));
    done = end;
    return end > begin ? emit(text.substr(begin, end - begin)) : absl::OkStatus();
  };
  HEADROOM_RETURN_IF_ERROR(FindMatches(text, emit_match));
  return done < text.size() ? emit(text.substr(done)) : absl::OkStatus();
}

}  // namespace headroom::model
