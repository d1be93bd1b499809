// One rank's end of a communicator. Knows nothing of CUDA: data are bytes of the host.
#pragma once

#include <nccl.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/emulation/nccl/connection.h"
#include "tests/emulation/nccl/message.h"

namespace emulation {

// An operation on its way: what it was numbered as.
struct Ticket {
  CallKind kind;
  int peer;  // of a send or receive
  uint64_t number;
};

// Thread safe. A thread of its own listens, so that a rank whose program waits for something else still answers the
// others.
class Communicator : public std::enable_shared_from_this<Communicator> {
 public:
  // `device` names the card. Nobody listening under the name of the hub, or a place in it that cannot be: the state
  // tells.
  static std::shared_ptr<Communicator> Join(const std::string& hub, int ranks, int rank, const std::string& device,
                                            const std::string& site);
  explicit Communicator(int fd, int ranks, int rank);

  // Called again and again, without any lock held, while others wait for an operation that this rank has not begun.
  void set_progress(std::function<void()> progress);
  // Once, although nobody waits.
  void AskForProgress() { asked_ = true; }

  // ncclInProgress until all ranks are there. ncclRemoteError: a rank is lost, or the hub is. ncclInvalidUsage:
  // refused.
  ncclResult_t state();
  std::string why();
  // Returns when the state is no longer ncclInProgress.
  ncclResult_t WaitUntilJoined();

  Ticket Begin(const Call& call, const std::string& site, const void* data, uint64_t bytes);
  // True when the operation is over; `data`: what it brought.
  bool Finish(const Ticket& ticket, std::string* data);

  // Others are told; what is on its way will never be over.
  void Abort();
  void Leave();
  // As if the network between this rank and the others had gone.
  void Cut();
  bool ended() const { return ended_; }
  int rank() const { return rank_; }
  int ranks() const { return ranks_; }

 private:
  enum class Way : int { kCollective, kSend, kReceive };
  using Place = std::pair<Way, int>;  // and the peer
  static Place PlaceOf(CallKind kind, int peer);

  void Listen();
  void Exchange();  // under the mutex
  void Handle(Message message);
  void Fail(ncclResult_t state, const std::string& why);
  bool Wanted();

  const int rank_, ranks_;
  std::atomic<bool> ended_ = false, asked_ = false;
  std::mutex mutex_;
  Connection connection_;
  ncclResult_t state_ = ncclInProgress;
  std::string why_;
  int left_ = 0;
  std::function<void()> progress_;
  std::map<Place, uint64_t> begun_, wanted_;
  std::map<std::pair<Place, uint64_t>, std::string> arrived_;
};

}  // namespace emulation
