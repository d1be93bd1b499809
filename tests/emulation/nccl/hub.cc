#include "tests/emulation/nccl/hub.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

#include "tests/emulation/nccl/call_site.h"
#include "tests/emulation/nccl/reduce.h"

namespace emulation {
namespace {

constexpr int kPollMs = 100;
constexpr auto kFlushAtExit = std::chrono::seconds(10);

// Hubs whose last words are still on their way.
std::atomic<int> unflushed = 0;

void FlushAtExit() {
  const auto end = std::chrono::steady_clock::now() + kFlushAtExit;
  while (unflushed > 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

std::string NewName() {
  std::random_device random;
  static const char kDigits[] = "0123456789abcdef";
  std::string name = "headroom-emulated-nccl-";
  for (int i = 0; i < 32; i++) name += kDigits[random() % 16];
  return name;
}

bool Same(const Call& a, const Call& b) {
  return a.kind == b.kind && a.type == b.type && a.op == b.op && a.root == b.root && a.count == b.count;
}

}  // namespace

std::string Hub::Start() {
  static std::once_flag once;
  std::call_once(once, [] { atexit(FlushAtExit); });
  const std::string name = NewName();
  std::thread([hub = std::unique_ptr<Hub>(new Hub(Connection::Listen(name)))] { hub->Run(); }).detach();
  return name;
}

void Hub::Run() {
  while (!over_ || counted_) Poll(kPollMs);
  close(listener_);
}

// An exit of the process waits for what stands here before the first byte of it is on its way.
void Hub::Flush() {
  const auto pending = [&] {
    return std::any_of(connected_.begin(), connected_.end(),
                       [](const auto& rank) { return rank->connection.open() && rank->connection.sends(); });
  };
  const auto count = [&] {
    if (counted_ == pending()) return;
    counted_ = !counted_;
    unflushed += counted_ ? 1 : -1;
  };
  count();
  for (const auto& rank : connected_) {
    if (!rank->connection.Flush()) rank->connection.Close();
  }
  count();
}

void Hub::Poll(int timeout_ms) {
  std::vector<pollfd> polled = {{listener_, POLLIN, 0}};
  for (const auto& rank : connected_) {
    if (rank->connection.open())
      polled.push_back(
          {rank->connection.fd(), static_cast<short>(POLLIN | (rank->connection.sends() ? POLLOUT : 0)), 0});
  }
  poll(polled.data(), polled.size(), timeout_ms);
  if ((polled[0].revents & POLLIN) != 0) Accept();
  for (size_t k = 0; k < connected_.size(); k++) Receive(*connected_[k]);
  Flush();
}

void Hub::Accept() {
  for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
    connected_.push_back(std::make_unique<Rank>(fd));
}

void Hub::Receive(Rank& rank) {
  if (!rank.connection.open()) return;
  std::vector<Message> messages;
  const bool there = rank.connection.Receive(&messages);
  for (Message& message : messages) Handle(rank, std::move(message));
  if (there) return;
  rank.connection.Close();
  if (!rank.gone) Leave(rank, MessageKind::kLost);
}

void Hub::Handle(Rank& rank, Message message) {
  if (rank.gone) return;
  switch (message.header.kind) {
    case MessageKind::kHello:
      return Welcome(rank, message);
    case MessageKind::kContribute:
      return Contribute(rank, message.header.number, Unpack(message.payload));
    case MessageKind::kSend:
    case MessageKind::kReceive:
      return Point(rank, Unpack(message.payload));
    case MessageKind::kLeave:
      return Leave(rank, MessageKind::kLeft);
    default:
      return Leave(rank, MessageKind::kLost);
  }
}

void Hub::Welcome(Rank& rank, const Message& message) {
  Hello hello{};
  UnpackHello(message.payload, &hello, &rank.device, &rank.site);
  const auto words = [](int number, int ranks, const std::string& site) {
    return "rank " + std::to_string(number) + " of " + std::to_string(ranks) + " at " + ResolveSite(site);
  };
  for (const auto& other : connected_) {
    if (other->number < 0) continue;
    if (other->gone) {
      rank.connection.Send(MessageKind::kLost, other->number);
      continue;
    }
    if (other->number == hello.rank || hello.ranks != ranks_)
      return Mismatch("ranks disagree who they are", words(other->number, ranks_, other->site),
                      words(hello.rank, hello.ranks, rank.site));
    if (other->device == rank.device)
      return Refuse("ranks " + std::to_string(other->number) + " and " + std::to_string(hello.rank) +
                    " use one device, " + rank.device);
  }
  ranks_ = hello.ranks;
  rank.number = hello.rank;
  if (++welcome_ == ranks_) Tell(MessageKind::kReady, 0, 0, "");
}

void Hub::Contribute(Rank& rank, uint64_t number, Unpacked call) {
  rank.contributed = number;
  Collective& collective = collectives_[number];
  const auto words = [](int of, const Unpacked& x) {
    return "rank " + std::to_string(of) + ": " + Describe(x.call) + " at " + ResolveSite(x.site);
  };
  if (!collective.empty() && !Same(collective.begin()->second.call, call.call))
    return Mismatch("ranks disagree in collective " + std::to_string(number) + " of their communicator",
                    words(collective.begin()->first, collective.begin()->second), words(rank.number, call));
  collective[rank.number] = std::move(call);
  if (collective.size() == static_cast<size_t>(ranks_)) {
    Complete(number, collective);
    collectives_.erase(number);
    return;
  }
  for (const auto& other : connected_) {
    if (other->contributed >= number) continue;
    // Who has left brings nothing any more.
    if (other->gone) rank.connection.Send(MessageKind::kLost, other->number);
    other->connection.Send(MessageKind::kWanted, rank.number, number);
  }
}

void Hub::Complete(uint64_t number, const Collective& collective) {
  const Call& call = collective.begin()->second.call;
  const auto type = static_cast<ncclDataType_t>(call.type);
  std::vector<const char*> inputs;
  for (const auto& [rank, contribution] : collective) inputs.push_back(contribution.data.data());
  const size_t part = call.count * BytesOf(type);
  std::string all;
  if (Reduces(call.kind))
    all = Reduce(inputs, call.kind == CallKind::kReduceScatter ? call.count * inputs.size() : call.count, type,
                 static_cast<ncclRedOp_t>(call.op));
  if (call.kind == CallKind::kBroadcast) all = collective.at(call.root).data;
  for (size_t rank = 0; call.kind == CallKind::kAllGather && rank < inputs.size(); rank++)
    all.append(inputs[rank], part);
  for (const auto& rank : connected_) {
    const bool nothing = call.kind == CallKind::kReduce && rank->number != call.root;
    const bool slice = call.kind == CallKind::kReduceScatter;
    rank->connection.Send(MessageKind::kResult, 0, number,
                          nothing ? ""
                          : slice ? all.substr(rank->number * part, part)
                                  : all);
  }
}

void Hub::Point(Rank& rank, Unpacked call) {
  const bool sends = call.call.kind == CallKind::kSend;
  const int from = sends ? rank.number : call.call.root, to = sends ? call.call.root : rank.number;
  Pair& pair = pairs_[{from, to}];
  std::deque<Unpacked>& queue = sends ? pair.sends : pair.receives;
  queue.push_back(std::move(call));
  Match(from, to);
  if (queue.empty()) return;
  Rank* other = Find(sends ? to : from);
  if (other->gone) rank.connection.Send(MessageKind::kLost, other->number);
  other->connection.Send(sends ? MessageKind::kWantReceive : MessageKind::kWantSend, rank.number,
                         pair.matched + queue.size());
}

void Hub::Match(int from, int to) {
  Pair& pair = pairs_[{from, to}];
  while (!pair.sends.empty() && !pair.receives.empty()) {
    const Unpacked &a = pair.sends.front(), &b = pair.receives.front();
    if (a.call.count != b.call.count || a.call.type != b.call.type)
      return Mismatch("sender and receiver disagree",
                      "rank " + std::to_string(from) + ": " + Describe(a.call) + " at " + ResolveSite(a.site),
                      "rank " + std::to_string(to) + ": " + Describe(b.call) + " at " + ResolveSite(b.site));
    pair.matched++;
    Find(to)->connection.Send(MessageKind::kArrived, from, pair.matched, a.data);
    Find(from)->connection.Send(MessageKind::kTaken, to, pair.matched);
    pair.sends.pop_front();
    pair.receives.pop_front();
  }
}

void Hub::Leave(Rank& rank, MessageKind how) {
  rank.gone = true;
  const auto gone = [](const auto& other) { return other->gone; };
  over_ = welcome_ >= ranks_ && std::all_of(connected_.begin(), connected_.end(), gone);
  if (rank.number < 0) return;
  Tell(how, rank.number, 0, "");
  // Those who wait for it already would wait forever.
  for (const auto& [number, collective] : collectives_) {
    if (how == MessageKind::kLost || collective.count(rank.number) > 0) continue;
    for (const auto& [waiting, call] : collective) Find(waiting)->connection.Send(MessageKind::kLost, rank.number);
  }
}

void Hub::Tell(MessageKind kind, int32_t rank, uint64_t number, const std::string& payload) {
  for (const auto& other : connected_) {
    if (!other->gone) other->connection.Send(kind, rank, number, payload);
  }
}

void Hub::Refuse(const std::string& why) {
  Tell(MessageKind::kRefused, 0, 0, why);
  over_ = true;
}

void Hub::Mismatch(const std::string& what, const std::string& a, const std::string& b) {
  Tell(MessageKind::kMismatch, 0, 0, what + "\n  " + a + "\n  " + b);
}

Hub::Rank* Hub::Find(int number) {
  for (const auto& rank : connected_) {
    if (rank->number == number) return rank.get();
  }
  return nullptr;
}

}  // namespace emulation
