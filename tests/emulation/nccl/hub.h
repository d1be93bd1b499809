// Where the ranks of one communicator meet: a thread of the process that made the unique id. It carries all data,
// compares what the ranks want, and notices who is gone.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/emulation/nccl/connection.h"
#include "tests/emulation/nccl/message.h"

namespace emulation {

class Hub {
 public:
  // Listens under a name that no other hub has, until every rank has left. When the process ends, what was said by then
  // still reaches the ranks.
  static std::string Start();

 private:
  struct Rank {
    explicit Rank(int fd) : connection(fd) {}
    Connection connection;
    int number = -1;  // not yet known
    std::string device, site;
    bool gone = false;  // left, aborted or lost
    uint64_t contributed = 0;
  };
  // Sends and receives of one pair that have no counterpart yet.
  struct Pair {
    std::deque<Unpacked> sends, receives;
    uint64_t matched = 0;
  };
  using Collective = std::map<int, Unpacked>;  // by rank

  explicit Hub(int listener) : listener_(listener) {}
  void Run();
  void Poll(int timeout_ms);
  void Accept();
  void Flush();
  void Receive(Rank& rank);
  void Handle(Rank& rank, Message message);
  void Welcome(Rank& rank, const Message& message);
  void Contribute(Rank& rank, uint64_t number, Unpacked call);
  void Complete(uint64_t number, const Collective& collective);
  void Point(Rank& rank, Unpacked call);
  void Match(int from, int to);
  void Leave(Rank& rank, MessageKind how);
  void Tell(MessageKind kind, int32_t rank, uint64_t number, const std::string& payload);
  void Refuse(const std::string& why);
  void Mismatch(const std::string& what, const std::string& a, const std::string& b);
  Rank* Find(int number);

  const int listener_;
  int ranks_ = 0;  // that the communicator has, once the first one said so
  int welcome_ = 0;
  bool over_ = false;     // everybody is gone, or was refused
  bool counted_ = false;  // among the hubs that still have something to say
  std::vector<std::unique_ptr<Rank>> connected_;
  std::map<uint64_t, Collective> collectives_;
  std::map<std::pair<int, int>, Pair> pairs_;
};

}  // namespace emulation
