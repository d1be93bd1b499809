#include "cli/http_client.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace headroom::cli {
namespace {

constexpr size_t kHeadBytesMax = size_t{64} << 10;

// A connected socket, closed when it dies.
class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  Connection(Connection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Connection& operator=(Connection&&) = delete;
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }

  absl::Status Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return Failed();
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return absl::OkStatus();
  }

  // More bytes behind `*buffer`; false at the end.
  absl::StatusOr<bool> Receive(std::string* buffer) {
    char bytes[16 << 10];
    ssize_t got = 0;
    do {
      got = recv(fd_, bytes, sizeof bytes, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return Failed();
    buffer->append(bytes, static_cast<size_t>(got));
    return got > 0;
  }

 private:
  static absl::Status Failed() {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return absl::DeadlineExceededError("the server is silent");
    return absl::UnavailableError(std::string("the connection broke: ") + strerror(errno));
  }

  int fd_;
};

absl::StatusOr<Connection> Connect(const HttpUrl& url, std::optional<std::chrono::milliseconds> silence_max) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found); error != 0) {
    return absl::UnavailableError(url.host + ": " + gai_strerror(error));
  }
  int fd = -1;
  int failed = 0;
  for (const addrinfo* address = found; address != nullptr && fd < 0; address = address->ai_next) {
    fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    if (fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen) == 0) break;
    failed = errno;
    if (fd >= 0) close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  if (fd < 0) return absl::UnavailableError(absl::StrCat(url.host, ":", url.port, ": ", strerror(failed)));
  if (silence_max) {
    timeval time{};
    time.tv_sec = silence_max->count() / 1000;
    time.tv_usec = silence_max->count() % 1000 * 1000;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  }
  return Connection(fd);
}

struct Head {
  int status = 0;
  bool chunked = false;
  std::optional<size_t> length;
};

absl::StatusOr<Head> ParseHead(std::string head) {
  std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) { return std::tolower(c); });
  Head parsed;
  if (!head.starts_with("http/1.") || head.size() < 12) return absl::UnavailableError("the server speaks no HTTP/1.1");
  std::from_chars(head.data() + 9, head.data() + 12, parsed.status);
  const auto value = [&](const std::string& name) {
    const size_t at = head.find("\r\n" + name + ":");
    if (at == std::string::npos) return std::string();
    const size_t begin = head.find_first_not_of(' ', at + name.size() + 3);
    return head.substr(begin, head.find("\r\n", begin) - begin);
  };
  parsed.chunked = value("transfer-encoding") == "chunked";
  if (const std::string length = value("content-length"); !length.empty()) {
    size_t bytes = 0;
    std::from_chars(length.data(), length.data() + length.size(), bytes);
    parsed.length = bytes;
  }
  return parsed;
}

using OnBytes = std::function<void(std::string_view)>;

absl::Status BrokenOff() { return absl::UnavailableError("the answer broke off"); }

absl::Status ReadChunks(Connection& connection, std::string buffer, const OnBytes& on_bytes) {
  while (true) {
    size_t line = 0;
    while ((line = buffer.find("\r\n")) == std::string::npos) {
      HEADROOM_ASSIGN_OR_RETURN(const bool more, connection.Receive(&buffer));
      if (!more) return BrokenOff();
    }
    size_t size = 0;
    if (std::from_chars(buffer.data(), buffer.data() + line, size, 16).ec != std::errc() || size > SIZE_MAX / 2) {
      return absl::UnavailableError("the answer is no HTTP/1.1");
    }
    if (size == 0) return absl::OkStatus();
    const size_t begin = line + 2;
    while (buffer.size() < begin + size + 2) {
      HEADROOM_ASSIGN_OR_RETURN(const bool more, connection.Receive(&buffer));
      if (!more) return BrokenOff();
    }
    on_bytes(std::string_view(buffer).substr(begin, size));
    buffer.erase(0, begin + size + 2);
  }
}

absl::Status ReadWhole(Connection& connection, std::string buffer, std::optional<size_t> length,
                       const OnBytes& on_bytes) {
  size_t got = 0;
  bool more = true;
  while (true) {
    got += buffer.size();
    if (!buffer.empty()) on_bytes(buffer);
    buffer.clear();
    if (length && got >= *length) return absl::OkStatus();
    if (!more) return length ? BrokenOff() : absl::OkStatus();
    HEADROOM_ASSIGN_OR_RETURN(more, connection.Receive(&buffer));
  }
}

}  // namespace

absl::StatusOr<HttpUrl> ParseHttpUrl(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return absl::InvalidArgumentError("'" + url + "' does not begin with http://");
  std::string rest = url.substr(kScheme.size());
  HttpUrl parsed;
  if (const size_t slash = rest.find('/'); slash != std::string::npos) {
    parsed.base = rest.substr(slash);
    while (parsed.base.ends_with('/')) parsed.base.pop_back();
    rest.resize(slash);
  }
  const size_t colon = rest.ends_with(']') ? std::string::npos : rest.rfind(':');
  if (colon != std::string::npos) parsed.port = rest.substr(colon + 1);
  parsed.host = rest.substr(0, colon);
  if (parsed.host.starts_with('[') && parsed.host.ends_with(']')) {
    parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  }
  const bool digits = !parsed.port.empty() &&
                      std::all_of(parsed.port.begin(), parsed.port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (parsed.host.empty() || !digits)
    return absl::InvalidArgumentError("'" + url + "' is not http://HOST[:PORT][/BASE]");
  return parsed;
}

absl::StatusOr<int> PostJson(const HttpUrl& url, const std::string& path, const std::string& json,
                             std::optional<std::chrono::milliseconds> silence_max,
                             const std::function<void(int status, std::string_view bytes)>& on_body) {
  HEADROOM_ASSIGN_OR_RETURN(Connection connection, Connect(url, silence_max));
  const std::string host = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  HEADROOM_RETURN_IF_ERROR(connection.Send(
      absl::StrCat("POST ", url.base, path, " HTTP/1.1\r\nhost: ", host, ":", url.port,
                   "\r\nuser-agent: headroom\r\naccept: */*\r\nconnection: close\r\ncontent-type: application/json\r\n",
                   "content-length: ", json.size(), "\r\n\r\n")));
  HEADROOM_RETURN_IF_ERROR(connection.Send(json));
  std::string buffer;
  size_t end = 0;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (buffer.size() > kHeadBytesMax) return absl::UnavailableError("the head of the answer has no end");
    HEADROOM_ASSIGN_OR_RETURN(const bool more, connection.Receive(&buffer));
    if (!more) return BrokenOff();
  }
  HEADROOM_ASSIGN_OR_RETURN(const Head head, ParseHead(buffer.substr(0, end + 2)));
  buffer.erase(0, end + 4);
  const OnBytes on_bytes = [&](std::string_view bytes) { on_body(head.status, bytes); };
  HEADROOM_RETURN_IF_ERROR(head.chunked ? ReadChunks(connection, std::move(buffer), on_bytes)
                                        : ReadWhole(connection, std::move(buffer), head.length, on_bytes));
  return head.status;
}

}  // namespace headroom::cli
