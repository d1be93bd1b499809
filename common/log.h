// Structured logs: one line per event on stderr, `time level component event key=value …`, in logfmt.
//
//   Log(LogLevel::kInfo, "llm-worker", "engine started").With("blocks", 512).With("device", "cpu");
//
// The line is written when the temporary dies, in one write(2), so lines of threads and processes do not mix.
// Never log prompts, generated text, image bytes or credentials. Thread-safe.
#pragma once

#include <concepts>
#include <sstream>
#include <string>

namespace headroom {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Lines below this level are dropped. Default kInfo.
void SetLogLevel(LogLevel level);
LogLevel GetLogLevel();

class Log {
 public:
  Log(LogLevel level, const char* component, const std::string& event);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Values with spaces, quotes or control characters are quoted and escaped.
  Log& With(const char* key, const std::string& value);
  Log& With(const char* key, const char* value) { return With(key, std::string(value)); }
  template <typename T>
  requires std::integral<T> || std::floating_point<T> Log& With(const char* key, T value) {
    std::ostringstream text;
    text << std::boolalpha << value;
    return With(key, text.str());
  }

 private:
  bool enabled_;
  std::string line_;
};

}  // namespace headroom
