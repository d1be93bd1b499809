#include "tests/emulation/nccl/communicator.h"

#include <poll.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace emulation {
namespace {

constexpr int kListenMs = 20;
constexpr auto kNap = std::chrono::microseconds(50);

[[noreturn]] void Die(const std::string& text) {
  static std::mutex once;  // ranks of one process hear of it one after another
  const std::lock_guard lock(once);
  fprintf(stderr, "emulated NCCL: %s\n", text.c_str());
  fflush(stderr);
  abort();
}

}  // namespace

std::shared_ptr<Communicator> Communicator::Join(const std::string& hub, int ranks, int rank, const std::string& device,
                                                 const std::string& site) {
  const int fd = Connection::Dial(hub);
  auto communicator = std::make_shared<Communicator>(fd, ranks, rank);
  if (fd < 0) {
    communicator->ended_ = true;
    communicator->Fail(
        ncclRemoteError,
        "nobody listens under this unique id: the process that made it has ended, or the communicator is over");
    return communicator;
  }
  communicator->connection_.Send(MessageKind::kHello, rank, 0, PackHello({ranks, rank}, device, site));
  communicator->connection_.Flush();
  std::thread([communicator] { communicator->Listen(); }).detach();
  return communicator;
}

Communicator::Communicator(int fd, int ranks, int rank) : rank_(rank), ranks_(ranks), connection_(fd) {}

void Communicator::set_progress(std::function<void()> progress) {
  const std::lock_guard lock(mutex_);
  progress_ = std::move(progress);
}

Communicator::Place Communicator::PlaceOf(CallKind kind, int peer) {
  if (kind == CallKind::kSend) return {Way::kSend, peer};
  if (kind == CallKind::kReceive) return {Way::kReceive, peer};
  return {Way::kCollective, 0};
}

void Communicator::Fail(ncclResult_t state, const std::string& why) {
  if (state_ != ncclInProgress && state_ != ncclSuccess) return;
  state_ = state;
  why_ = why;
}

void Communicator::Handle(Message message) {
  const Header& header = message.header;
  const auto arrive = [&](Way way) {
    arrived_[{{way, way == Way::kCollective ? 0 : header.rank}, header.number}] = std::move(message.payload);
  };
  const auto want = [&](Way way) {
    uint64_t& wanted = wanted_[{way, way == Way::kCollective ? 0 : header.rank}];
    wanted = std::max(wanted, header.number);
  };
  switch (header.kind) {
    case MessageKind::kReady:
      if (state_ == ncclInProgress) state_ = ncclSuccess;
      return;
    case MessageKind::kRefused:
      return Fail(ncclInvalidUsage, message.payload);
    case MessageKind::kMismatch:
      Die(message.payload);
    case MessageKind::kLost:
      return Fail(ncclRemoteError, "rank " + std::to_string(header.rank) + " is gone");
    case MessageKind::kLeft:
      left_++;
      return;
    case MessageKind::kResult:
      return arrive(Way::kCollective);
    case MessageKind::kTaken:
      return arrive(Way::kSend);
    case MessageKind::kArrived:
      return arrive(Way::kReceive);
    case MessageKind::kWanted:
      return want(Way::kCollective);
    case MessageKind::kWantSend:
      return want(Way::kSend);
    case MessageKind::kWantReceive:
      return want(Way::kReceive);
    default:
      return;
  }
}

void Communicator::Exchange() {
  if (!connection_.open()) return;
  std::vector<Message> messages;
  connection_.Flush();
  const bool there = connection_.Receive(&messages);
  for (Message& message : messages) Handle(std::move(message));
  if (there) return;
  connection_.Close();
  // When all others have left in good order there is nobody to miss.
  if (!ended_ && left_ < ranks_ - 1) Fail(ncclRemoteError, "the process that made the unique id is gone");
}

bool Communicator::Wanted() {
  if (asked_.exchange(false)) return true;
  for (const auto& [place, number] : wanted_) {
    if (begun_[place] < number) return true;
  }
  return false;
}

void Communicator::Listen() {
  while (true) {
    pollfd polled{};
    std::function<void()> progress;
    {
      const std::lock_guard lock(mutex_);
      Exchange();
      if (!connection_.open() || (ended_ && !connection_.sends())) return;
      polled = {connection_.fd(), static_cast<short>(POLLIN | (connection_.sends() ? POLLOUT : 0)), 0};
      if (!ended_ && Wanted()) progress = progress_;
    }
    if (progress) {
      progress();
      std::this_thread::sleep_for(kNap);
    } else {
      poll(&polled, 1, kListenMs);
    }
  }
}

ncclResult_t Communicator::state() {
  const std::lock_guard lock(mutex_);
  Exchange();
  return state_;
}

std::string Communicator::why() {
  const std::lock_guard lock(mutex_);
  return why_;
}

ncclResult_t Communicator::WaitUntilJoined() {
  ncclResult_t now = state();
  for (; now == ncclInProgress; now = state()) std::this_thread::sleep_for(kNap);
  return now;
}

Ticket Communicator::Begin(const Call& call, const std::string& site, const void* data, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const Place place = PlaceOf(call.kind, call.root);
  const Ticket ticket{call.kind, call.root, ++begun_[place]};
  const MessageKind kind = place.first == Way::kSend      ? MessageKind::kSend
                           : place.first == Way::kReceive ? MessageKind::kReceive
                                                          : MessageKind::kContribute;
  connection_.Send(kind, rank_, ticket.number, Pack(call, site, data, bytes));
  Exchange();
  return ticket;
}

bool Communicator::Finish(const Ticket& ticket, std::string* data) {
  const std::lock_guard lock(mutex_);
  Exchange();
  const auto it = arrived_.find({PlaceOf(ticket.kind, ticket.peer), ticket.number});
  if (it == arrived_.end()) return false;
  *data = std::move(it->second);
  arrived_.erase(it);
  return true;
}

void Communicator::Abort() {
  const std::lock_guard lock(mutex_);
  if (ended_.exchange(true)) return;
  connection_.Send(MessageKind::kAbort);
  connection_.Flush();
}

void Communicator::Leave() {
  const std::lock_guard lock(mutex_);
  if (ended_.exchange(true)) return;
  connection_.Send(MessageKind::kLeave);
  connection_.Flush();
}

void Communicator::Cut() {
  const std::lock_guard lock(mutex_);
  connection_.Close();
  Fail(ncclRemoteError, "the connection to the other ranks is cut on demand");
}

}  // namespace emulation
