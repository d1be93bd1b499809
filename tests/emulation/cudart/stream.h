// Streams, events and graphs. An operation waits in its stream until the order of the settings, or a call that demands
// it, lets it happen; it happens in the thread that makes that call. Operations never block: one that needs another
// stream, or another rank, says "not yet".
#pragma once

#include <driver_types.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/emulation/cudart/device.h"

namespace emulation {

// True once it has happened.
using Operation = std::function<bool()>;

struct Graph {
  std::vector<Operation> nodes;  // in the order of capture, which is one of the allowed ones
  bool broken = false;           // something that cannot be captured was called
};

struct GraphExec {
  Graph graph;
  Device* device;
  uint64_t bytes;  // taken from the device
};

class Stream {
 public:
  Stream(Device& on, bool waits) : device(on), blocking(waits), owner(std::this_thread::get_id()) {}

  Device& device;
  const bool blocking;          // waits for the legacy default stream, and that one for it
  const std::thread::id owner;  // seeded order touches the own streams of a thread only
  std::shared_ptr<Graph> capture;

  // Position after everything that was pushed so far.
  uint64_t end() const;
  uint64_t done() const;  // operations that have happened
  bool Done(uint64_t position) const;
  // Without a look at capture or order.
  void Append(Operation operation);
  // Lets operations happen up to `position`, as far as they can without waiting. True when all have.
  bool Advance(uint64_t position);

 private:
  bool TookLongEnough();

  mutable std::mutex mutex_;
  std::recursive_mutex running_;
  std::deque<Operation> operations_;
  uint64_t pushed_ = 0, done_ = 0;
  std::chrono::steady_clock::time_point begun_;  // when the first of operations_ was first tried; epoch: not yet
};

struct EventState {
  bool done = false;
  std::chrono::steady_clock::time_point time;
};

struct Event {
  Device* device = nullptr;
  bool timed = true;
  std::shared_ptr<Stream> stream;  // of the last record
  uint64_t position = 0;
  std::shared_ptr<EventState> state;
  std::shared_ptr<Graph> capture;  // recorded while its stream was captured
};

// A stream handle → the stream; null and the legacy handle: the default stream of the current device. nullptr: no such
// stream.
std::shared_ptr<Stream> FindStream(cudaStream_t handle);
cudaStream_t AddStream(std::shared_ptr<Stream> stream);
bool RemoveStream(cudaStream_t handle);
std::vector<std::shared_ptr<Stream>> StreamsOf(const Device& device);

// Puts work into a stream, or into the graph that the stream is captured into; then lets happen what the order wants.
cudaError_t Push(const std::shared_ptr<Stream>& stream, std::function<void()> work);
cudaError_t PushOperation(const std::shared_ptr<Stream>& stream, Operation operation);

// Returns when everything up to `position` has happened, or never when something is missing that nobody will bring.
cudaError_t Wait(Stream& stream, uint64_t position);
cudaError_t WaitForDevice(Device& device);
// For queries: one step, so that a loop that asks again comes to an end.
bool Step(Stream& stream, uint64_t position);

// True while a stream of this thread is captured in a mode that forbids calls which are no work for a stream.
bool CaptureForbids();
void NoteCapture(int change, cudaStreamCaptureMode mode);

}  // namespace emulation
