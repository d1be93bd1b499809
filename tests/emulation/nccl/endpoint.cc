#include "tests/emulation/nccl/endpoint.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <thread>

#include "tests/emulation/cudart/stand_in.h"
#include "tests/emulation/nccl/settings.h"

namespace emulation {
namespace {

constexpr auto kComplainAfter = std::chrono::seconds(10);
constexpr auto kNap = std::chrono::microseconds(50);

// Makes a device current for a while.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    cudaGetDevice(&before_);
    cudaSetDevice(device);
  }
  ~OnDevice() { cudaSetDevice(before_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_ = 0;
};

std::optional<NcclFault> FaultOf(int rank, uint64_t operation) {
  for (const NcclFault& fault : GetNcclSettings().faults) {
    if (fault.rank == rank && fault.operation == operation) return fault;
  }
  return std::nullopt;
}

std::string NameOfDevice(int device) {
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) return "";
  std::string name;
  char digits[3];
  for (const char byte : properties.uuid.bytes) {
    snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
    name += digits;
  }
  return name;
}

}  // namespace

Batch::Batch(std::shared_ptr<Endpoint> endpoint, cudaStream_t stream, std::vector<Part> parts, bool captured)
    : endpoint_(std::move(endpoint)), stream_(stream), parts_(std::move(parts)), captured_(captured) {
  if (captured_) {
    endpoint_->CountCaptured(1);
  } else {
    endpoint_->Add(this);
  }
}

Batch::~Batch() {
  if (captured_) {
    endpoint_->CountCaptured(-1);
  } else {
    endpoint_->Remove(this);
  }
}

// A peer that waits shows in a debugger as well as here; a test that hangs shows here alone.
void Batch::Complain() {
  if (said_ || std::chrono::steady_clock::now() - began_ < kComplainAfter) return;
  said_ = true;
  const Part& part = parts_.front();
  fprintf(stderr, "emulated NCCL: rank %d has waited for 10 s in %s at %s\n", endpoint_->communicator().rank(),
          Describe(part.call).c_str(), ResolveSite(part.site.Text()).c_str());
}

bool Batch::Begin() {
  Communicator& communicator = endpoint_->communicator();
  began_ = std::chrono::steady_clock::now();
  begun_ = true;
  said_ = false;
  tickets_.clear();
  over_.assign(parts_.size(), false);
  for (const Part& part : parts_) {
    const std::optional<NcclFault> fault = FaultOf(communicator.rank(), endpoint_->Count());
    stuck_ = stuck_ || fault.has_value();
    if (fault && fault->lost) communicator.Cut();
    if (stuck_) return true;
    const void* data = nullptr;
    if (part.in_bytes > 0) {
      const std::string what = "NCCL: input of " + Describe(part.call);
      data = emulated_host(part.in, part.in_bytes, 1, what.c_str());
      if (data == nullptr) return false;
    }
    tickets_.push_back(communicator.Begin(part.call, part.site.Text(), data, part.in_bytes));
  }
  return true;
}

bool Batch::Store(const Part& part, const std::string& data) {
  if (part.out_bytes == 0) return true;
  const std::string what = "NCCL: output of " + Describe(part.call);
  void* to = emulated_host(part.out, part.out_bytes, 0, what.c_str());
  if (to == nullptr) return false;
  memcpy(to, data.data(), std::min<uint64_t>(part.out_bytes, data.size()));
  emulated_written(part.out, part.out_bytes);
  return true;
}

// After a fault the device has an error that stays: for this rank the operation is over, for the others it never will
// be.
bool Batch::Advance() {
  if (endpoint_->communicator().ended()) return true;
  if (!captured_ && !endpoint_->IsNext(this)) {
    endpoint_->communicator().AskForProgress();  // of an earlier call, in another stream
    return false;
  }
  if (!begun_ && !Begin()) return true;
  Complain();
  if (stuck_) return false;
  bool all = true;
  for (size_t k = 0; k < parts_.size(); k++) {
    if (over_[k]) continue;
    std::string data;
    over_[k] = endpoint_->communicator().Finish(tickets_[k], &data);
    all = all && over_[k];
    if (over_[k] && !Store(parts_[k], data)) return true;
  }
  return all;
}

bool Batch::Run() {
  if (endpoint_->destroyed()) {
    emulated_fail(endpoint_->device(), cudaErrorLaunchFailure,
                  "NCCL: a graph was launched whose communicator was destroyed");
    return true;
  }
  if (!Advance()) return false;
  begun_ = false;  // a captured one runs again
  if (!captured_) endpoint_->Remove(this);
  return true;
}

std::shared_ptr<Endpoint> Endpoint::Make(const std::string& hub, int ranks, int rank, int channels_max,
                                         const std::string& site) {
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->hub_ = hub;
  endpoint->channels_max_ = channels_max;
  if (cudaFree(nullptr) != cudaSuccess || cudaGetDevice(&endpoint->device_) != cudaSuccess) return nullptr;
  if (emulated_take(CommunicatorBytes()) == 0) return nullptr;
  endpoint->bytes_ = CommunicatorBytes();
  if (!GetNcclSettings().connect_at_first_call) {
    endpoint->connected_ = true;
    const uint64_t more = ConnectionBytes(ranks, channels_max);
    if (emulated_take(more) == 0) {
      emulated_give_back(endpoint->bytes_);
      return nullptr;
    }
    endpoint->bytes_ += more;
  }
  endpoint->communicator_ = Communicator::Join(hub, ranks, rank, NameOfDevice(endpoint->device_), site);
  endpoint->communicator_->set_progress([weak = std::weak_ptr<Endpoint>(endpoint)] {
    if (const std::shared_ptr<Endpoint> strong = weak.lock()) strong->Progress();
  });
  return endpoint;
}

bool Endpoint::Connect() {
  if (connected_) return true;
  const OnDevice current(device_);
  const uint64_t more = ConnectionBytes(communicator_->ranks(), channels_max_);
  if (emulated_take(more) == 0) return false;
  bytes_ += more;
  connected_ = true;
  return true;
}

ncclResult_t Endpoint::Push(cudaStream_t stream, std::vector<Part> parts) {
  const OnDevice current(device_);
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream, &capture) != cudaSuccess) return ncclUnhandledCudaError;
  auto* batch = new Batch(shared_from_this(), stream, std::move(parts), capture == cudaStreamCaptureStatusActive);
  const auto run = [](void* context) { return static_cast<Batch*>(context)->Run() ? 1 : 0; };
  const auto release = [](void* context) { delete static_cast<Batch*>(context); };
  return emulated_push(stream, run, release, batch) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

// In the listening thread: somebody waits for this rank, whose program may wait for something else. On a card the
// stream would go on by itself.
void Endpoint::Progress() {
  const OnDevice current(device_);
  cudaStream_t stream = nullptr;
  bool pending = false, captured = false;
  {
    const std::lock_guard lock(mutex_);
    pending = !pending_.empty();
    if (pending) stream = pending_.front()->stream();
    captured = captured_ > 0;
  }
  if (pending) {
    cudaStreamQuery(stream);
  } else if (captured) {
    emulated_progress(device_);  // the stream of a launched graph is not known here
  }
}

bool Endpoint::Flush() {
  const OnDevice current(device_);
  while (true) {
    cudaStream_t stream = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (pending_.empty()) return true;
      stream = pending_.front()->stream();
    }
    if (communicator_->state() != ncclSuccess) return false;
    const cudaError_t error = cudaStreamQuery(stream);
    if (error != cudaSuccess && error != cudaErrorNotReady) return false;
    std::this_thread::sleep_for(kNap);
  }
}

void Endpoint::End(bool abort) {
  if (abort) {
    communicator_->Abort();
  } else {
    communicator_->Leave();
    destroyed_ = true;
  }
  const OnDevice current(device_);
  emulated_give_back(bytes_);
  bytes_ = 0;
}

bool Endpoint::IsNext(const Batch* batch) {
  const std::lock_guard lock(mutex_);
  return !pending_.empty() && pending_.front() == batch;
}
void Endpoint::Add(const Batch* batch) {
  const std::lock_guard lock(mutex_);
  pending_.push_back(batch);
}
void Endpoint::Remove(const Batch* batch) {
  const std::lock_guard lock(mutex_);
  std::erase(pending_, batch);
}
void Endpoint::CountCaptured(int change) {
  const std::lock_guard lock(mutex_);
  captured_ += change;
}

}  // namespace emulation
