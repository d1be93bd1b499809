#include "gateway/http/message.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gateway/http/text.h"

namespace headroom::gateway::http {
namespace {

namespace beast = boost::beast;
using boost::system::error_code;
using BoostView = boost::core::string_view;

constexpr std::string_view kSchemes[] = {"http://", "https://"};

std::string_view View(BoostView text) { return {text.data(), text.size()}; }

// What a parser tells while it reads. Nothing is a response, and heads and bodies are read by readers of their own.
class Events : public beast::http::basic_parser<true> {
 private:
  void on_request_impl(beast::http::verb, BoostView, BoostView, int, error_code&) override {}
  void on_response_impl(int, BoostView, int, error_code&) override {}
  void on_field_impl(beast::http::field, BoostView, BoostView, error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, error_code&) override {}
  size_t on_body_impl(BoostView body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(uint64_t, BoostView, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, BoostView body, error_code&) override { return body.size(); }
  void on_finish_impl(error_code&) override {}
};

class HeadReader : public Events {
 public:
  std::string method, target;
  int version = 11;
  Headers headers;

 private:
  void on_request_impl(beast::http::verb, BoostView method_given, BoostView target_given, int version_given,
                       error_code&) override {
    method = View(method_given);
    target = View(target_given);
    version = version_given;
  }
  void on_field_impl(beast::http::field, BoostView name, BoostView value, error_code&) override {
    headers.emplace_back(Lower(View(name)), View(value));
  }
};

// Of the head's fields, what its framing depends on: each at most once, and in the one form that all readers share.
struct Framing {
  std::optional<std::string_view> content_length, transfer_encoding, host, expect;

  // The name of a field that stands twice.
  std::optional<std::string_view> Read(const Headers& headers) {
    for (const auto& [name, value] : headers) {
      std::optional<std::string_view>* const field = name == "content-length"      ? &content_length
                                                     : name == "transfer-encoding" ? &transfer_encoding
                                                     : name == "host"              ? &host
                                                     : name == "expect"            ? &expect
                                                                                   : nullptr;
      if (field == nullptr) continue;
      if (*field) return name;
      *field = value;
    }
    return std::nullopt;
  }
};

// Splits "/path?query" or "http://host/path?query". False when it is neither.
bool SplitTarget(std::string_view target, Head& head) {
  for (const std::string_view scheme : kSchemes) {
    if (!SameWord(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    head.host = Lower(target.substr(0, end));
    target.remove_prefix(end);
    if (head.host.empty()) return false;
    if (!target.starts_with('/')) {
      head.request.path = "/";
    }
  }
  if (target == "*") {
    head.request.path = target;
    return true;
  }
  if (!target.starts_with('/') && head.host.empty()) return false;
  const size_t mark = target.find('?');
  head.request.path += target.substr(0, mark);
  if (mark != std::string_view::npos) head.request.query = target.substr(mark + 1);
  return true;
}

Refused Broken(const error_code& error) {
  if (error == beast::http::error::bad_version) return {505, "HTTP/1.1 and HTTP/1.0 are spoken here"};
  return {400, absl::StrCat("the request is not valid HTTP/1.1: ", error.message())};
}

}  // namespace

std::variant<std::optional<size_t>, Refused> HeadScan::Go(std::string_view bytes) {
  for (; seen_ < bytes.size(); ++seen_) {
    const char c = bytes[seen_];
    if (c == '\r') {
      if (seen_ + 1 == bytes.size()) return std::nullopt;  // seen again when the next byte has come
      if (bytes[seen_ + 1] != '\n') return Refused{400, "a CR without LF in the request's head"};
      const bool empty = seen_ == line_begin_;
      if (empty && seen_ == 0) return Refused{400, "an empty line where a request should begin"};
      seen_ += 1;
      line_begin_ = seen_ + 1;
      if (empty) return line_begin_;
    } else if (c == '\n') {
      return Refused{400, "a line of the request's head ends with LF alone"};
    } else if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t') {
      return Refused{400, "a control character in the request's head"};
    } else if ((c == ' ' || c == '\t') && seen_ == line_begin_) {
      return Refused{400, "a line of the request's head begins with a space"};
    }
  }
  return std::nullopt;
}

std::variant<Head, Refused> ReadHead(std::string_view bytes) {
  HeadReader reader;
  reader.header_limit(static_cast<uint32_t>(bytes.size()));
  reader.body_limit(boost::none);
  error_code error;
  reader.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  if (error) return Broken(error);

  Head head;
  head.http_1_1 = reader.version >= 11;
  head.keep_alive = reader.keep_alive();
  head.without_body = reader.method == "HEAD";
  head.request.method = head.without_body ? "GET" : std::move(reader.method);
  if (!SplitTarget(reader.target, head)) return Refused{400, "the target is neither a path nor a URL"};

  Framing framing;
  if (const auto twice = framing.Read(reader.headers)) {
    return Refused{400, absl::StrCat("the header ", std::string(*twice), " stands twice")};
  }
  if (framing.transfer_encoding) {
    if (framing.content_length) return Refused{400, "both content-length and transfer-encoding"};
    if (!SameWord(*framing.transfer_encoding, "chunked")) {
      return Refused{501, "a transfer-encoding other than chunked"};
    }
    if (!head.http_1_1) return Refused{400, "transfer-encoding in HTTP/1.0"};
    head.chunked = true;
  } else if (framing.content_length) {
    if (framing.content_length->find_first_not_of("0123456789") != std::string_view::npos) {
      return Refused{400, "content-length is not one number"};
    }
    head.content_length = *reader.content_length();
  }
  if (!framing.host && head.http_1_1) return Refused{400, "no host header"};
  if (head.host.empty() && framing.host) head.host = Lower(*framing.host);
  if (framing.expect) {
    if (!SameWord(*framing.expect, "100-continue")) {
      return Refused{417, "an expectation other than 100-continue"};
    }
    head.expects_continue = head.http_1_1 && (head.chunked || head.content_length.value_or(0) > 0);
  }
  head.request.headers = std::move(reader.headers);
  return head;
}

// A parser of Beast that has been shown a head already.
class ChunkedBody::Reader : public Events {
 public:
  Reader() {
    static constexpr std::string_view kHead = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    error_code error;
    put(boost::asio::const_buffer(kHead.data(), kHead.size()), error);
    body_limit(boost::none);
    eager(true);
  }

  std::string* body = nullptr;
  bool begun = false;  // some bytes were taken

 private:
  size_t on_chunk_body_impl(uint64_t, BoostView bytes, error_code&) override {
    body->append(bytes.data(), bytes.size());
    return bytes.size();
  }
};

ChunkedBody::ChunkedBody() : reader_(std::make_unique<Reader>()) {}
ChunkedBody::~ChunkedBody() = default;

std::variant<bool, Refused> ChunkedBody::Go(std::string_view bytes, std::string& body, size_t& used) {
  // An empty body takes five bytes, which Beast asserts where it has seen a part of them before.
  constexpr size_t kEmptyBytes = 5;
  used = 0;
  if (!reader_->begun && bytes.size() < kEmptyBytes) return false;
  reader_->body = &body;
  error_code error;
  used = reader_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  reader_->begun = reader_->begun || used > 0;
  if (error && error != beast::http::error::need_more) return Broken(error);
  return reader_->is_done();
}

}  // namespace headroom::gateway::http
