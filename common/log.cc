#include "common/log.h"

#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>

namespace headroom {
namespace {

std::atomic<LogLevel> minimum_level{LogLevel::kInfo};

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "?";
}

// RFC 3339 in UTC with milliseconds.
std::string Timestamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  std::array<char, 40> text{};
  size_t size = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(text.data() + size, text.size() - size, ".%03dZ", static_cast<int>(now.tv_nsec / 1'000'000));
  return text.data();
}

void AppendValue(const std::string& value, std::string* line) {
  bool plain = !value.empty();
  for (unsigned char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) plain = false;
  }
  if (plain) {
    *line += value;
    return;
  }
  *line += '"';
  for (unsigned char c : value) {
    if (c == '"' || c == '\\') {
      *line += '\\';
      *line += static_cast<char>(c);
    } else if (c < ' ' || c == 0x7f) {
      std::array<char, 8> escaped{};
      snprintf(escaped.data(), escaped.size(), "\\x%02x", c);
      *line += escaped.data();
    } else {
      *line += static_cast<char>(c);
    }
  }
  *line += '"';
}

}  // namespace

void SetLogLevel(LogLevel level) { minimum_level.store(level, std::memory_order_relaxed); }
LogLevel GetLogLevel() { return minimum_level.load(std::memory_order_relaxed); }

Log::Log(LogLevel level, const char* component, const std::string& event) : enabled_(level >= GetLogLevel()) {
  if (!enabled_) return;
  line_ = Timestamp() + " " + LevelName(level) + " " + component + " ";
  AppendValue(event, &line_);
}

Log& Log::With(const char* key, const std::string& value) {
  if (!enabled_) return *this;
  line_ += ' ';
  line_ += key;
  line_ += '=';
  AppendValue(value, &line_);
  return *this;
}

Log::~Log() {
  if (!enabled_) return;
  line_ += '\n';
  // A log line that cannot be written has nowhere to be reported.
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line_.data(), line_.size());
}

}  // namespace headroom
