// HEADROOM_CHECK(condition) << "…" is always on, in every build: it stands for programmer errors (a block freed twice),
// never for anything that input can reach. It logs file, line, condition and message, then aborts; grants held by the
// process become void.
#pragma once

#include <sstream>

namespace headroom::internal {

class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  [[noreturn]] ~CheckFailure();
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

// Makes the two arms of the conditional below the same type.
struct Voidify {
  void operator&(std::ostream&) {}
};

}  // namespace headroom::internal

#define HEADROOM_CHECK(condition) \
  (condition)                     \
      ? (void)0                   \
      : ::headroom::internal::Voidify() & ::headroom::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()
