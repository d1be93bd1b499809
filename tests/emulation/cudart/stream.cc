#include "tests/emulation/cudart/stream.h"

#include <algorithm>
#include <map>

namespace emulation {
namespace {

std::mutex registry_mutex;
std::map<cudaStream_t, std::shared_ptr<Stream>>& Registry() {
  static auto* const map = new std::map<cudaStream_t, std::shared_ptr<Stream>>();
  return *map;
}

std::shared_ptr<Stream> DefaultStream(Device& device) {
  static auto* const streams = new std::map<int, std::shared_ptr<Stream>>();
  const std::lock_guard lock(registry_mutex);
  std::shared_ptr<Stream>& stream = (*streams)[device.number()];
  if (!stream) stream = std::make_shared<Stream>(device, true);
  return stream;
}

std::vector<std::shared_ptr<Stream>> BlockingStreams(const Device& device) {
  std::vector<std::shared_ptr<Stream>> streams = StreamsOf(device);
  std::erase_if(streams, [](const std::shared_ptr<Stream>& s) { return !s->blocking; });
  return streams;
}

thread_local uint64_t random_state = 0;

uint64_t Random() {
  if (random_state == 0) random_state = GetSettings().seed * 0x9e3779b97f4a7c15ull | 1;
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

// Some operations of some streams of this thread.
void AdvanceAtRandom(const Device& device) {
  std::vector<std::shared_ptr<Stream>> streams = StreamsOf(device);
  std::erase_if(streams, [](const std::shared_ptr<Stream>& s) { return s->owner != std::this_thread::get_id(); });
  for (uint64_t steps = Random() % 4; steps > 0 && !streams.empty(); steps--)
    Step(*streams[Random() % streams.size()], ~uint64_t{0});
}

// The default stream waits for all blocking ones, and they for it.
void AppendDefaultStreamOrder(const std::shared_ptr<Stream>& stream) {
  if (!stream->blocking) return;
  const std::shared_ptr<Stream> legacy = DefaultStream(stream->device);
  const auto after = [&](const std::shared_ptr<Stream>& other) {
    const uint64_t position = other->end();
    if (other != stream && !other->Done(position))
      stream->Append([other, position] { return other->Advance(position); });
  };
  if (stream != legacy) return after(legacy);
  for (const std::shared_ptr<Stream>& other : BlockingStreams(stream->device)) after(other);
}

thread_local int captures = 0;  // by this thread, in a mode that forbids

}  // namespace

uint64_t Stream::end() const {
  const std::lock_guard lock(mutex_);
  return pushed_;
}

uint64_t Stream::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

bool Stream::Done(uint64_t position) const {
  const std::lock_guard lock(mutex_);
  return done_ >= std::min(position, pushed_);
}

void Stream::Append(Operation operation) {
  const std::lock_guard lock(mutex_);
  operations_.push_back(std::move(operation));
  pushed_++;
}

// A slow stream: an operation is over some time after it could begin.
bool Stream::TookLongEnough() {
  const auto slow = std::chrono::milliseconds(GetSettings().slow);
  if (slow.count() == 0) return true;
  const auto now = std::chrono::steady_clock::now();
  if (begun_ == std::chrono::steady_clock::time_point()) begun_ = now;
  return now - begun_ >= slow;
}

bool Stream::Advance(uint64_t position) {
  const std::lock_guard running(running_);
  while (true) {
    Operation* next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (operations_.empty() || done_ >= position) return true;
      next = &operations_.front();  // stays: others only append
    }
    // After an error that stays nothing happens any more.
    if (device.error() == cudaSuccess && (!TookLongEnough() || !(*next)())) return false;
    begun_ = {};
    const std::lock_guard lock(mutex_);
    operations_.pop_front();
    done_++;
  }
}

std::shared_ptr<Stream> FindStream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return DefaultStream(CurrentDevice());
  const std::lock_guard lock(registry_mutex);
  const auto it = Registry().find(handle);
  return it == Registry().end() ? nullptr : it->second;
}

cudaStream_t AddStream(std::shared_ptr<Stream> stream) {
  const std::lock_guard lock(registry_mutex);
  const auto handle = reinterpret_cast<cudaStream_t>(stream.get());
  Registry()[handle] = std::move(stream);
  return handle;
}

bool RemoveStream(cudaStream_t handle) {
  const std::lock_guard lock(registry_mutex);
  return Registry().erase(handle) > 0;
}

std::vector<std::shared_ptr<Stream>> StreamsOf(const Device& device) {
  std::vector<std::shared_ptr<Stream>> streams = {DefaultStream(const_cast<Device&>(device))};
  const std::lock_guard lock(registry_mutex);
  for (const auto& [handle, stream] : Registry()) {
    if (&stream->device == &device) streams.push_back(stream);
  }
  return streams;
}

cudaError_t Push(const std::shared_ptr<Stream>& stream, std::function<void()> work) {
  return PushOperation(stream, [work = std::move(work)] {
    work();
    return true;
  });
}

cudaError_t PushOperation(const std::shared_ptr<Stream>& stream, Operation operation) {
  if (stream->device.error() != cudaSuccess) return stream->device.error();
  if (stream->capture) {
    stream->capture->nodes.push_back(std::move(operation));
    return cudaSuccess;
  }
  AppendDefaultStreamOrder(stream);
  stream->Append(std::move(operation));
  switch (GetSettings().streams) {
    case StreamOrder::kEager:
      // What is not ready yet (a peer's part of a collective) happens when somebody waits, as it would on a card.
      stream->Advance(stream->end());
      break;
    case StreamOrder::kLate:
      break;
    case StreamOrder::kSeeded:
      AdvanceAtRandom(stream->device);
      break;
  }
  return cudaSuccess;
}

cudaError_t Wait(Stream& stream, uint64_t position) {
  while (!stream.Advance(position)) {
    // Somebody else's part is missing. It may wait in another stream of this very thread.
    for (const auto& device : Devices()) {
      for (const std::shared_ptr<Stream>& other : StreamsOf(*device)) {
        if (other->owner == std::this_thread::get_id() && other.get() != &stream) other->Advance(other->end());
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return stream.device.error();
}

cudaError_t WaitForDevice(Device& device) {
  for (const std::shared_ptr<Stream>& stream : StreamsOf(device)) Wait(*stream, stream->end());
  return device.error();
}

bool Step(Stream& stream, uint64_t position) {
  if (stream.Done(position)) return true;
  stream.Advance(stream.done() + 1);
  return false;
}

bool CaptureForbids() { return captures > 0; }

void NoteCapture(int change, cudaStreamCaptureMode mode) {
  if (mode != cudaStreamCaptureModeRelaxed) captures += change;
}

}  // namespace emulation
