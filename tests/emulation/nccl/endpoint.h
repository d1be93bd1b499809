// A communicator on its device: bytes taken there, and its operations in the streams.
#pragma once

#include <driver_types.h>
#include <nccl.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/emulation/nccl/call_site.h"
#include "tests/emulation/nccl/communicator.h"

namespace emulation {

// One call of the program.
struct Part {
  Call call{};
  const void* in = nullptr;  // device memory that this rank contributes, and where the result goes
  uint64_t in_bytes = 0;
  void* out = nullptr;
  uint64_t out_bytes = 0;
  CallSite site;
};

class Endpoint;

// The calls of one group, or a single one: an operation of a stream.
class Batch {
 public:
  Batch(std::shared_ptr<Endpoint> endpoint, cudaStream_t stream, std::vector<Part> parts, bool captured);
  ~Batch();
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // True when it is over; never waits. One that was captured runs at each launch of its graph.
  bool Run();
  cudaStream_t stream() const { return stream_; }

 private:
  bool Advance();
  bool Begin();
  bool Store(const Part& part, const std::string& data);
  void Complain();

  const std::shared_ptr<Endpoint> endpoint_;
  const cudaStream_t stream_;
  const std::vector<Part> parts_;
  const bool captured_;
  bool begun_ = false, stuck_ = false, said_ = false;
  std::vector<Ticket> tickets_;  // of the parts, and whether they are over
  std::vector<bool> over_;
  std::chrono::steady_clock::time_point began_;
};

class Endpoint : public std::enable_shared_from_this<Endpoint> {
 public:
  // For the current device. nullptr: it has not so many bytes.
  static std::shared_ptr<Endpoint> Make(const std::string& hub, int ranks, int rank, int channels_max,
                                        const std::string& site);

  // Before the first operation. False: the bytes for it are not free.
  bool Connect();
  ncclResult_t Push(cudaStream_t stream, std::vector<Part> parts);
  // Lets what is in the streams happen. False: a peer is lost.
  bool Flush();
  // Gives the bytes back; the others hear whether it was in good order.
  void End(bool abort);

  Communicator& communicator() { return *communicator_; }
  const std::string& hub() const { return hub_; }
  int device() const { return device_; }
  bool destroyed() const { return destroyed_; }

  // Operations on one communicator happen in the order of the calls, whatever their streams.
  bool IsNext(const Batch* batch);
  void Add(const Batch* batch);
  void Remove(const Batch* batch);
  void CountCaptured(int change);
  // The number of the operation that begins, from 1.
  uint64_t Count() { return ++operations_; }

 private:
  void Progress();

  std::string hub_;
  int device_ = 0, channels_max_ = 0;
  uint64_t bytes_ = 0;
  bool connected_ = false;
  std::atomic<bool> destroyed_ = false;
  std::shared_ptr<Communicator> communicator_;
  std::mutex mutex_;
  std::deque<const Batch*> pending_;
  int captured_ = 0;
  std::atomic<uint64_t> operations_ = 0;
};

}  // namespace emulation
