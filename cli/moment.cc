#include "cli/moment.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <optional>

#include "common/status.h"

namespace headroom::cli {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kDayMs = 24 * 3600 * 1000;

// Reads a text from the left.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  bool Done() const { return at_ == text_.size(); }
  bool Take(char c) {
    if (Done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  // Exactly `digits` digits with a value in [min, max].
  std::optional<int> Number(int digits, int min, int max) {
    int value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      if (Done() || text_[at_] < '0' || text_[at_] > '9') return std::nullopt;
      value = value * 10 + (text_[at_] - '0');
    }
    if (value < min || value > max) return std::nullopt;
    return value;
  }
  // Digits up to 9 of them; empty without any.
  std::optional<int64_t> Digits() {
    const size_t begin = at_;
    int64_t value = 0;
    while (!Done() && text_[at_] >= '0' && text_[at_] <= '9') {
      if (at_ - begin == 9) return std::nullopt;
      value = value * 10 + (text_[at_++] - '0');
    }
    return at_ == begin ? std::nullopt : std::optional(value);
  }
  std::string Letters() {
    const size_t begin = at_;
    while (!Done() && text_[at_] >= 'a' && text_[at_] <= 'z') ++at_;
    return text_.substr(begin, at_ - begin);
  }

 private:
  const std::string& text_;
  size_t at_ = 0;
};

absl::Status NoMoment(const std::string& text) {
  return absl::InvalidArgumentError("'" + text.substr(0, 64) +
                                    "' is no moment; wanted now, -5m, 12:04, 12:04:30 or 2026-11-22T12:04:30Z");
}

// "12:04", "12:04:30", "12:04:30.250".
bool ReadClock(Reader& reader, std::tm* time, int64_t* ms) {
  const auto hour = reader.Number(2, 0, 23);
  if (!hour || !reader.Take(':')) return false;
  const auto minute = reader.Number(2, 0, 59);
  if (!minute) return false;
  time->tm_hour = *hour;
  time->tm_min = *minute;
  time->tm_sec = 0;
  if (!reader.Take(':')) return true;
  const auto second = reader.Number(2, 0, 60);
  if (!second) return false;
  time->tm_sec = *second;
  if (!reader.Take('.')) return true;
  int64_t scale = 100;
  const Reader before = reader;
  if (!reader.Digits()) return false;
  Reader digits = before;
  while (const auto digit = digits.Number(1, 0, 9)) {
    *ms += *digit * scale;
    scale /= 10;
  }
  return true;
}

WallTime FromSeconds(std::time_t seconds, int64_t ms) {
  return std::chrono::system_clock::from_time_t(seconds) + milliseconds(ms);
}

absl::StatusOr<WallTime> ParseClock(const std::string& text, WallTime now) {
  const std::time_t now_seconds = std::chrono::system_clock::to_time_t(now);
  std::tm today{};
  localtime_r(&now_seconds, &today);
  Reader reader(text);
  int64_t ms = 0;
  if (!ReadClock(reader, &today, &ms) || !reader.Done()) return NoMoment(text);
  today.tm_isdst = -1;
  std::tm time = today;
  const WallTime moment = FromSeconds(mktime(&time), ms);
  if (moment <= now) return moment;
  // The same reading of yesterday's clock, which is not always 24 hours ago.
  today.tm_mday -= 1;
  return FromSeconds(mktime(&today), ms);
}

absl::StatusOr<WallTime> ParseDate(const std::string& text) {
  Reader reader(text);
  std::tm time{};
  const auto year = reader.Number(4, 1970, 9999);
  if (!year || !reader.Take('-')) return NoMoment(text);
  const auto month = reader.Number(2, 1, 12);
  if (!month || !reader.Take('-')) return NoMoment(text);
  const auto day = reader.Number(2, 1, 31);
  if (!day || (!reader.Take('T') && !reader.Take(' '))) return NoMoment(text);
  time.tm_year = *year - 1900;
  time.tm_mon = *month - 1;
  time.tm_mday = *day;
  int64_t ms = 0;
  if (!ReadClock(reader, &time, &ms)) return NoMoment(text);
  if (reader.Done()) {
    time.tm_isdst = -1;
    return FromSeconds(mktime(&time), ms);
  }
  int64_t offset_minutes = 0;
  if (!reader.Take('Z')) {
    const bool west = reader.Take('-');
    if (!west && !reader.Take('+')) return NoMoment(text);
    const auto hours = reader.Number(2, 0, 23);
    if (!hours || !reader.Take(':')) return NoMoment(text);
    const auto minutes = reader.Number(2, 0, 59);
    if (!minutes) return NoMoment(text);
    offset_minutes = (west ? -1 : 1) * (*hours * 60 + *minutes);
  }
  if (!reader.Done()) return NoMoment(text);
  return FromSeconds(timegm(&time) - static_cast<std::time_t>(offset_minutes * 60), ms);
}

}  // namespace

absl::StatusOr<int64_t> ParseSpanMs(const std::string& text) {
  Reader reader(text);
  int64_t total = 0;
  bool any = false;
  while (!reader.Done()) {
    const auto count = reader.Digits();
    const std::string unit = reader.Letters();
    const int64_t scale = unit == "h" ? 3'600'000 : unit == "m" ? 60'000 : unit == "s" ? 1'000 : unit == "ms" ? 1 : 0;
    if (!count || scale == 0) {
      return absl::InvalidArgumentError("'" + text.substr(0, 64) + "' is no span of time such as 90s, 5m or 1h30m");
    }
    // At most 10^9 · 3.6 · 10^6 each, and the loop ends above a day.
    total += *count * scale;
    if (total > kDayMs) return absl::InvalidArgumentError("'" + text.substr(0, 64) + "' is more than 24 hours");
    any = true;
  }
  if (!any) return absl::InvalidArgumentError("a span of time is missing, such as 90s, 5m or 1h30m");
  return total;
}

absl::StatusOr<int64_t> ParseAgeMs(const std::string& text, WallTime now) {
  if (text == "now") return 0;
  if (!text.empty() && text.front() == '-') return ParseSpanMs(text.substr(1));
  const bool date = text.size() > 4 && text[4] == '-';
  HEADROOM_ASSIGN_OR_RETURN(const WallTime moment, date ? ParseDate(text) : ParseClock(text, now));
  const int64_t age_ms = std::chrono::duration_cast<milliseconds>(now - moment).count();
  if (age_ms < 0) return absl::InvalidArgumentError("'" + text + "' has not come yet");
  if (age_ms > kDayMs) return absl::InvalidArgumentError("'" + text + "' is over 24 hours ago");
  return age_ms;
}

std::string ClockText(WallTime time, WallTime now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  const std::time_t now_seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{}, today{};
  localtime_r(&seconds, &local);
  localtime_r(&now_seconds, &today);
  const bool same_day = local.tm_year == today.tm_year && local.tm_yday == today.tm_yday;
  std::array<char, 64> text{};
  strftime(text.data(), text.size(), same_day ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &local);
  return text.data();
}

std::string SpanText(int64_t ms) {
  if (ms < 0) return "-" + SpanText(-ms);
  const int64_t seconds = ms / 1000;
  if (seconds < 10) return absl::StrCat(seconds, ".", ms % 1000 / 100, " s");
  if (seconds < 60) return absl::StrCat(seconds, " s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, " m ", seconds % 60, " s");
  return absl::StrCat(seconds / 3600, " h ", seconds % 3600 / 60, " m");
}

}  // namespace headroom::cli
