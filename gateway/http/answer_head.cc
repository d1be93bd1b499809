#include "gateway/http/answer_head.h"

#include <algorithm>
#include <ctime>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace headroom::gateway::http {
namespace {

// Clients read the number; the words are for people who read along.
struct Phrase {
  int status;
  const char* words;
};
constexpr Phrase kPhrases[] = {
    {200, "OK"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char* PhraseOf(int status) {
  const auto* const found =
      std::find_if(std::begin(kPhrases), std::end(kPhrases), [status](const Phrase& p) { return p.status == status; });
  return found == std::end(kPhrases) ? "" : found->words;
}

// As RFC 9110 wants it, whatever the locale.
std::string Date() {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  const auto two = [](int number) { return absl::Dec(number, absl::kZeroPad2); };
  return absl::StrCat(kDays[utc.tm_wday], ", ", two(utc.tm_mday), " ", kMonths[utc.tm_mon], " ", utc.tm_year + 1900,
                      " ", two(utc.tm_hour), ":", two(utc.tm_min), ":", two(utc.tm_sec), " GMT");
}

std::string Clean(std::string value) {
  std::replace_if(
      value.begin(), value.end(), [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); }, ' ');
  return value;
}

}  // namespace

std::string AnswerHead(int status, const Headers& headers, const AnswerFraming& framing) {
  std::string head = absl::StrCat("HTTP/1.1 ", status, " ", PhraseOf(status), "\r\ndate: ", Date(), "\r\n");
  for (const auto& [name, value] : headers) absl::StrAppend(&head, name, ": ", Clean(value), "\r\n");
  if (framing.body_bytes) {
    // An answer that can have no body has no length either.
    if (status != 204) absl::StrAppend(&head, "content-length: ", *framing.body_bytes, "\r\n");
  } else if (framing.http_1_1) {
    absl::StrAppend(&head, "transfer-encoding: chunked\r\n");
  }
  if (framing.close) {
    absl::StrAppend(&head, "connection: close\r\n");
  } else if (!framing.http_1_1) {
    absl::StrAppend(&head, "connection: keep-alive\r\n");
  }
  absl::StrAppend(&head, "\r\n");
  return head;
}

}  // namespace headroom::gateway::http
