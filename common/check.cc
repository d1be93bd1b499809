#include "common/check.h"

#include <cstdlib>

#include "common/log.h"

namespace headroom::internal {

CheckFailure::CheckFailure(const char* file, int line, const char* condition) {
  stream_ << file << ":" << line << " " << condition << " ";
}

CheckFailure::~CheckFailure() {
  Log(LogLevel::kError, "check", stream_.str());
  std::abort();
}

}  // namespace headroom::internal
