#include "gateway/http/connection.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/http/answer_head.h"
#include "gateway/http/client_socket.h"
#include "gateway/http/message.h"
#include "gateway/http/pending_answer.h"
#include "gateway/http/text.h"
#include "gateway/request_id.h"

namespace headroom::gateway::http {
namespace {

namespace asio = boost::asio;

constexpr size_t kReadBytes = size_t{64} << 10;  // of a body, at once
constexpr size_t kHeadReadBytes = 2048;
constexpr char kPing[] = ": ping\n\n";
constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";

// GCC 12 mishandles some temporaries next to co_await (common/async/task.h): what is awaited stands alone.
class ServedConnection final : public Connection, public std::enable_shared_from_this<ServedConnection> {
 public:
  ServedConnection(asio::io_context& context, std::shared_ptr<ClientSocket> socket, Surroundings& surroundings,
                   ConnectionKeeper& keeper, HostBudget::Share bytes)
      : context_(context),
        socket_(std::move(socket)),
        around_(surroundings),
        keeper_(keeper),
        bytes_(std::move(bytes)) {}

  void Start() override { asio::co_spawn(context_, Live(shared_from_this()), asio::detached); }

  void Drain() override {
    last_ = true;
    if (idle_) Close(ConnectionEnd::kDrained);
  }

  void Close(ConnectionEnd end) override {
    SetEnd(end);
    socket_->Break();
  }

 private:
  using Step = PendingAnswer::Step;
  using Kind = Step::Kind;

  static Async<void> Live(std::shared_ptr<ServedConnection> self) {
    bool more = true;
    while (more) more = co_await self->Serve();
    co_await self->socket_->Linger();
    self->socket_->Close();
    self->around_.metrics.Ended(
        self->end_.value_or(self->socket_->left() ? ConnectionEnd::kLeft : ConnectionEnd::kDone));
    self->bytes_ = {};
    self->keeper_.Ended(*self);
  }

  // One request, from its first byte to the last of its answer. False: the connection ends.
  Async<bool> Serve() {
    head_.reset();
    route_ = nullptr;
    head_bytes_.reset();
    const bool begun = co_await Begin();
    if (!begun) co_return false;
    const bool read = co_await ReadRequestHead();
    if (!read) co_return false;
    Door::Decision decision = around_.door.Decide(*head_);
    route_ = decision.route;
    origin_headers_ = around_.door.OriginHeaders(*head_);  // later the request is the handler's
    const bool has_body = head_->chunked || head_->content_length.value_or(0) > 0;
    if (decision.answer) {
      if (has_body) last_ = true;  // it comes nevertheless, and nobody reads it
      const bool written = co_await WriteWhole(*std::move(decision.answer));
      co_return written && !last_;
    }
    if (has_body) {
      const bool complete = co_await ReadBody(*decision.place);
      if (!complete) co_return false;
    }
    const bool complete = co_await Handle(std::move(decision.place));
    co_return complete && !last_;
  }

  // Waits for the first byte.
  Async<bool> Begin() {
    if (!socket_->input().empty()) co_return true;
    if (last_ || around_.draining) {
      SetEnd(ConnectionEnd::kDrained);
      co_return false;
    }
    std::string().swap(socket_->input());  // gives its memory back
    idle_ = true;
    keeper_.Idle(*this);
    socket_->Expire(around_.limits.idle_max);
    const bool readable = co_await socket_->Readable();
    idle_ = false;
    keeper_.Busy(*this);
    if (socket_->timed_out()) SetEnd(ConnectionEnd::kIdle);
    co_return readable;
  }

  // Into head_.
  Async<bool> ReadRequestHead() {
    socket_->Expire(around_.limits.head_max);
    std::string& input = socket_->input();
    HeadScan scan;
    while (true) {
      const auto scanned = scan.Go(input);
      if (const auto* refused = std::get_if<Refused>(&scanned)) co_return co_await Refuse(*refused);
      if (const auto length = std::get<std::optional<size_t>>(scanned)) {
        auto read = ReadHead(std::string_view(input).substr(0, *length));
        if (const auto* refused = std::get_if<Refused>(&read)) co_return co_await Refuse(*refused);
        head_ = std::get<Head>(std::move(read));
        input.erase(0, *length);
        id_ = RequestIdFor(std::string(head_->request.Header("x-request-id").value_or("")));
        head_->request.id = id_;
        if (!head_->keep_alive) last_ = true;
        co_return true;
      }
      const auto head_max = static_cast<size_t>(around_.limits.head_bytes_max);
      if (input.size() >= head_max) {
        const Refused refused{
            431, absl::StrCat("the request's head is longer than ", head_max, " bytes (gateway.http_head_bytes_max)")};
        co_return co_await Refuse(refused);
      }
      if (const absl::Status charged = ChargeHead(); !charged.ok()) {
        co_return co_await WriteLast(around_.handler.Refusal(charged));
      }
      const bool more = co_await socket_->ReadInput(std::min(kHeadReadBytes, head_max - input.size()));
      if (more) continue;
      if (!socket_->timed_out()) co_return false;
      SetEnd(ConnectionEnd::kSlowHead);
      const Refused slow{408, "the request's head did not come in time (gateway.http_head_ms_max)"};
      co_return co_await Refuse(slow);
    }
  }

  // A head beyond the usual size lies here as bytes and as read.
  absl::Status ChargeHead() {
    if (head_bytes_ || socket_->input().size() < kUsualHeadBytes) return absl::OkStatus();
    HEADROOM_ASSIGN_OR_RETURN(head_bytes_, around_.budget.Take(2 * around_.limits.head_bytes_max));
    return absl::OkStatus();
  }

  Async<bool> ReadBody(RequestRunner::Place& place) {
    socket_->Expire(around_.limits.body_max);
    if (head_->expects_continue && socket_->input().empty()) {
      std::vector<std::string> go_on = {kContinue};
      const bool written = co_await socket_->Write(std::move(go_on));
      if (!written) co_return false;
    }
    bool complete = false;
    if (head_->chunked) {
      complete = co_await ReadChunks(place);
    } else {
      complete = co_await ReadLength();
    }
    if (complete || !socket_->timed_out()) co_return complete;
    SetEnd(ConnectionEnd::kSlowBody);
    const Refused slow{408, "the request's body did not come in time (gateway.http_body_ms_max)"};
    co_return co_await Refuse(slow);
  }

  // Straight into its place: the bytes of a picture are not copied on their way.
  Async<bool> ReadLength() {
    std::string& body = head_->request.body;
    const auto length = static_cast<size_t>(*head_->content_length);
    body.reserve(length);
    const size_t early = std::min(length, socket_->input().size());
    body.append(socket_->input(), 0, early);
    socket_->input().erase(0, early);
    while (body.size() < length) {
      const size_t held = body.size();
      const size_t room = std::min(kReadBytes, length - held);
      body.resize(held + room);
      const size_t got = co_await socket_->Read(body.data() + held, room);
      body.resize(held + got);
      if (got == 0) co_return false;
    }
    co_return true;
  }

  Async<bool> ReadChunks(RequestRunner::Place& place) {
    std::string& body = head_->request.body;
    std::string& input = socket_->input();
    ChunkedBody chunks;
    while (true) {
      if (const absl::Status charged = ChargeBody(place); !charged.ok()) {
        co_return co_await WriteLast(around_.handler.Refusal(charged));
      }
      size_t used = 0;
      const auto state = chunks.Go(input, body, used);
      input.erase(0, used);
      if (const auto* refused = std::get_if<Refused>(&state)) co_return co_await Refuse(*refused);
      if (static_cast<int64_t>(body.size()) > route_->body_bytes_max) {
        const Refused refused{
            413, absl::StrCat("the body is longer than ", route_->body_bytes_max, " bytes, the limit of ", route_->path,
                              " (gateway.http_body_bytes_max)")};
        co_return co_await Refuse(refused);
      }
      if (std::get<bool>(state)) co_return true;
      if (input.size() >= kReadBytes) {
        const Refused refused{400, "a chunk's head or the trailers are too long"};
        co_return co_await Refuse(refused);
      }
      const bool more = co_await socket_->ReadInput(kReadBytes - input.size());
      if (!more) co_return false;
    }
  }

  // What decodes is never longer than what came: no byte is kept before it is charged.
  absl::Status ChargeBody(RequestRunner::Place& place) {
    std::string& body = head_->request.body;
    const size_t needed = body.size() + socket_->input().size();
    if (needed <= body.capacity()) return absl::OkStatus();
    const size_t capacity = std::max(2 * body.capacity(), needed);
    const auto grown = static_cast<int64_t>(capacity - body.capacity());
    HEADROOM_RETURN_IF_ERROR(place.Grow(grown * route_->bytes_per_body_byte));
    body.reserve(capacity);
    return absl::OkStatus();
  }

  // True: answered to its end, and the connection may go on.
  Async<bool> Handle(std::optional<RequestRunner::Place> place) {
    const bool placed = place.has_value();
    const auto pending = std::make_shared<PendingAnswer>([socket = socket_] { socket->Wake(); });
    around_.metrics.open_requests.Add(1);
    around_.handler.Handle(*route_, std::make_shared<Request>(std::move(head_->request)), std::move(place),
                           std::shared_ptr<Exchange>(pending.get(), [pending](Exchange*) { pending->LetGo(); }));
    socket_->Expire(Duration::max());
    socket_->Watch(static_cast<size_t>(around_.limits.head_bytes_max));
    const bool complete = co_await Deliver(*pending, placed);
    pending->Gone();
    socket_->EndWatch();
    around_.metrics.open_requests.Add(-1);
    co_return complete;
  }

  Async<bool> Deliver(PendingAnswer& pending, bool placed) {
    bool events = false;  // a stream of them has begun
    while (true) {
      std::vector<Step> steps = pending.Take();
      if (steps.empty()) {
        if (socket_->left() || socket_->broken()) co_return false;
        const bool quiet = co_await socket_->Signal(events ? around_.limits.ping_after : Duration::max());
        if (!quiet) continue;
        steps.push_back({.kind = Kind::kChunk, .answer = {.body = kPing}});
      }
      const Kind last = steps.back().kind;
      const bool complete = steps.back().complete;
      events = events || BeginsEvents(steps.front());
      const bool written = co_await WriteSteps(std::move(steps), placed);
      if (!written) co_return false;
      if (last != Kind::kWhole && last != Kind::kEnd) continue;
      pending.Over();
      co_return complete;
    }
  }

  static bool BeginsEvents(const Step& step) {
    return step.kind == Kind::kBegin &&
           std::any_of(step.answer.headers.begin(), step.answer.headers.end(), [](const auto& header) {
             return SameWord(header.first, "content-type") && header.second.starts_with("text/event-stream");
           });
  }

  // Steps that are there together go out in one write. False: the client does not get all of them.
  Async<bool> WriteSteps(std::vector<Step> steps, bool placed) {
    // What a request without a place answers is charged for as long as it lies here.
    std::optional<HostBudget::Share> charge;
    if (!placed && steps.front().kind == Kind::kWhole) charge = Charge(steps.front().answer);
    std::vector<std::string> parts;
    bool cut = false;
    for (Step& step : steps) {
      Append(step, parts);
      cut = cut || step.kind == Kind::kBreak;
      if (step.kind != Kind::kEnd || step.complete) continue;
      SetEnd(ConnectionEnd::kCut);
      // Its clients know by nothing else that the end is missing.
      cut = cut || !head_->http_1_1;
    }
    bool written = false;
    if (cut) {
      Close(ConnectionEnd::kCut);
    } else {
      written = co_await Write(std::move(parts));
    }
    for (const Step& step : steps) {
      if (step.taken) step.taken(written);
    }
    co_return written;
  }

  std::optional<HostBudget::Share> Charge(Answer& answer) {
    auto charge = around_.budget.Take(static_cast<int64_t>(answer.body.size()));
    if (charge.ok()) return *std::move(charge);
    answer = around_.handler.Refusal(charge.status());
    return std::nullopt;
  }

  void Append(Step& step, std::vector<std::string>& parts) {
    std::string& body = step.answer.body;
    const bool chunked = head_->http_1_1;
    switch (step.kind) {
      case Kind::kWhole:
        parts.push_back(HeadOf(step.answer, body.size()));
        if (!head_->without_body) parts.push_back(std::move(body));
        break;
      case Kind::kBegin:
        if (!chunked) last_ = true;  // its end is the connection's
        parts.push_back(HeadOf(step.answer, std::nullopt));
        break;
      case Kind::kChunk:
        if (head_->without_body) break;
        if (chunked) parts.push_back(absl::StrCat(absl::Hex(body.size()), "\r\n"));
        parts.push_back(std::move(body));
        if (chunked) parts.emplace_back("\r\n");
        break;
      case Kind::kEnd:
        if (chunked && step.complete && !head_->without_body) parts.emplace_back("0\r\n\r\n");
        break;
      case Kind::kBreak:
        break;
    }
  }

  // Of an answer to what has been read, which may be no request.
  std::string HeadOf(const Answer& answer, std::optional<size_t> body_bytes) {
    Headers headers = answer.headers;
    if (head_) {
      headers.emplace_back("x-request-id", id_);
      headers.insert(headers.end(), origin_headers_.begin(), origin_headers_.end());
    }
    around_.metrics.Answered(route_ == nullptr ? "" : route_->path, answer.status);
    if (around_.draining) last_ = true;
    return AnswerHead(answer.status, headers,
                      {.http_1_1 = !head_ || head_->http_1_1, .close = last_, .body_bytes = body_bytes});
  }

  Async<bool> Write(std::vector<std::string> parts) {
    socket_->Expire(around_.limits.unread_max);
    const bool written = co_await socket_->Write(std::move(parts));
    if (socket_->timed_out()) SetEnd(ConnectionEnd::kUnread);
    socket_->Expire(Duration::max());
    co_return written;
  }

  Async<bool> WriteWhole(Answer answer) {
    std::vector<std::string> parts = {HeadOf(answer, answer.body.size())};
    if (!head_ || !head_->without_body) parts.push_back(std::move(answer.body));
    return Write(std::move(parts));
  }

  // An answer after which nothing more is read: false.
  Async<bool> WriteLast(Answer answer) {
    last_ = true;
    co_await WriteWhole(std::move(answer));
    co_return false;
  }

  Async<bool> Refuse(const Refused& refused) {
    return WriteLast(around_.handler.Refusal(refused.status, refused.message));
  }

  // The first cause counts.
  void SetEnd(ConnectionEnd end) {
    if (!end_) end_ = end;
  }

  asio::io_context& context_;
  const std::shared_ptr<ClientSocket> socket_;
  Surroundings& around_;
  ConnectionKeeper& keeper_;
  HostBudget::Share bytes_;
  std::optional<HostBudget::Share> head_bytes_;
  std::optional<Head> head_;
  const Route* route_ = nullptr;
  std::string id_;          // of the request
  Headers origin_headers_;  // of its answer
  std::optional<ConnectionEnd> end_;
  bool idle_ = false;
  bool last_ = false;  // no request after this one
};

}  // namespace

std::shared_ptr<Connection> MakeConnection(asio::io_context& context, int socket, bool ipv6, Surroundings& surroundings,
                                           ConnectionKeeper& keeper, HostBudget::Share bytes) {
  auto client = std::make_shared<ClientSocket>(context, socket, ipv6, surroundings.metrics);
  return std::make_shared<ServedConnection>(context, std::move(client), surroundings, keeper, std::move(bytes));
}

}  // namespace headroom::gateway::http
