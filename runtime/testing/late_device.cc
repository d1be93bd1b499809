#include "runtime/testing/late_device.h"

#include <sys/mman.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

#include "common/check.h"
#include "common/compute_thread.h"
#include "memory/device_address.h"
#include "runtime/backend.h"
#include "runtime/cpu/cpu_device.h"

namespace headroom::runtime {
namespace {

// Address space of one device, and how far above its addresses the bytes really lie. Nothing is ever mapped at the
// addresses themselves.
constexpr int64_t kSpace = int64_t{1} << 36;

class LateMemory : public memory::DeviceMemory {
 public:
  LateMemory() {
    void* const base = mmap(nullptr, 2 * kSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    HEADROOM_CHECK(base != MAP_FAILED) << "no address space for " << 2 * kSpace << " bytes";
    base_ = static_cast<std::byte*>(base);
  }
  ~LateMemory() override { munmap(base_, 2 * kSpace); }

  // Addresses are not given out again, so that use after Release faults too.
  absl::StatusOr<memory::DeviceSpan> Reserve(int64_t bytes, const std::stop_token& stop) override {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    const int64_t whole = (bytes + kPage - 1) / kPage * kPage;
    int64_t offset = 0;
    {
      const std::lock_guard lock(mutex_);
      if (bytes < 1 || whole > kSpace - next_) {
        return absl::ResourceExhaustedError(absl::StrCat(bytes, " bytes of ", kSpace - next_));
      }
      offset = std::exchange(next_, next_ + whole);
    }
    std::byte* const address = base_ + offset;
    HEADROOM_CHECK(mprotect(address + kSpace, static_cast<size_t>(whole), PROT_READ | PROT_WRITE) == 0) << "mprotect";
    return memory::DeviceSpan{memory::DeviceAddress::Make(reinterpret_cast<uint64_t>(address)), bytes};
  }
  void Release(memory::DeviceSpan span) override {
    const int64_t whole = (span.bytes + kPage - 1) / kPage * kPage;
    void* const bytes = BytesOf(span.data);
    madvise(bytes, static_cast<size_t>(whole), MADV_DONTNEED);
    HEADROOM_CHECK(mprotect(bytes, static_cast<size_t>(whole), PROT_NONE) == 0) << "mprotect";
  }
  absl::Status Write(std::span<const std::byte> from, memory::DevicePtr to) override {
    if (!from.empty()) std::memcpy(BytesOf(to), from.data(), from.size());
    return absl::OkStatus();
  }
  absl::Status Read(memory::DevicePtr from, std::span<std::byte> to) override {
    if (!to.empty()) std::memcpy(to.data(), BytesOf(from), to.size());
    return absl::OkStatus();
  }

 private:
  static constexpr int64_t kPage = 4096;
  static std::byte* BytesOf(memory::DevicePtr p) {
    return reinterpret_cast<std::byte*>(memory::DeviceAddress::Of(p)) + kSpace;  // NOLINT(performance-no-int-to-ptr)
  }

  std::byte* base_ = nullptr;
  std::mutex mutex_;
  int64_t next_ = 0;
};

// Runs what it was given when it is waited for, and not before.
class LateLane {
 public:
  using Task = std::function<absl::Status()>;

  LateLane() : thread_([this] { Run(); }) {}
  ~LateLane() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  absl::Status Add(Task task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    return absl::OkStatus();
  }

  absl::Status Wait() {
    std::unique_lock lock(mutex_);
    waited_for_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return tasks_.empty() && !running_; });
    waited_for_ = false;
    return std::exchange(status_, absl::OkStatus());
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || (waited_for_ && !tasks_.empty()); });
      if (stopping_) return;
      const Task task = std::move(tasks_.front());
      tasks_.pop_front();
      if (!status_.ok()) {  // what comes after an error is dropped
        if (tasks_.empty()) changed_.notify_all();
        continue;
      }
      running_ = true;
      lock.unlock();
      absl::Status status;
      {
        const ComputeScope scope;
        status = task();
      }
      lock.lock();
      running_ = false;
      status_.Update(status);
      if (tasks_.empty()) changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool waited_for_ = false, running_ = false, stopping_ = false;
  absl::Status status_;
  std::thread thread_;
};

class LateBackend : public Backend {
 public:
  LateBackend(std::unique_ptr<Backend> inner, LateLane& lane) : inner_(std::move(inner)), lane_(lane) {}

  int64_t LinearRows(int64_t rows) const override { return inner_->LinearRows(rows); }
  absl::StatusOr<int64_t> PrepareLinear(const LinearSpec& spec) override { return inner_->PrepareLinear(spec); }
  absl::StatusOr<LinearNeeds> DescribeLinear(const LinearSpec& spec) override { return inner_->DescribeLinear(spec); }
  int64_t AttentionScratchBytes(int64_t head_dim) const override { return inner_->AttentionScratchBytes(head_dim); }

  absl::Status Run(const LinearArgs& args) override { return Later(args); }
  absl::Status Run(const LayerNormArgs& args) override { return Later(args); }
  absl::Status Run(const RmsNormArgs& args) override { return Later(args); }
  absl::Status Run(const GeluTanhArgs& args) override { return Later(args); }
  absl::Status Run(const GeluErfArgs& args) override { return Later(args); }
  absl::Status Run(const SiluMulArgs& args) override { return Later(args); }
  absl::Status Run(const ConvertArgs& args) override { return Later(args); }
  absl::Status Run(const FindNonFiniteArgs& args) override { return Later(args); }
  absl::Status Run(const EmbeddingGatherArgs& args) override { return Later(args); }
  absl::Status Run(const AddGatheredArgs& args) override { return Later(args); }
  absl::Status Run(const JoinRowsArgs& args) override { return Later(args); }
  absl::Status Run(const SineTableArgs& args) override { return Later(args); }
  absl::Status Run(const AttentionArgs& args) override { return Later(args); }
  absl::Status Run(const RopeArgs& args) override { return Later(args); }
  absl::Status Run(const PagedKvWriteArgs& args) override { return Later(args); }
  absl::Status Run(const CopyKvBlocksArgs& args) override { return Later(args); }
  absl::Status Run(const PagedAttentionArgs& args) override { return Later(args); }
  absl::Status Run(const SampleArgs& args) override { return Later(args); }

 private:
  template <typename Args>
  absl::Status Later(const Args& args) {
    static_assert(std::is_trivially_copyable_v<Args>, "arguments are plain numbers and device addresses");
    return lane_.Add([this, args] { return inner_->Run(args); });
  }

  const std::unique_ptr<Backend> inner_;
  LateLane& lane_;
};

class LateDevice : public Device {
 public:
  explicit LateDevice(std::unique_ptr<Backend> inner) : backend_(std::move(inner), lane_) {}

  std::string Describe() const override { return "late"; }
  memory::DeviceMemory& memory() override { return memory_; }
  absl::Status Upload(std::span<const std::byte> from, DevicePtr to) override {
    return lane_.Add([this, from, to] { return memory_.Write(from, to); });
  }
  absl::Status Download(DevicePtr from, std::span<std::byte> to) override {
    return lane_.Add([this, from, to] { return memory_.Read(from, to); });
  }
  absl::Status Wait() override { return lane_.Wait(); }
  Backend& backend() override { return backend_; }

 private:
  LateMemory memory_;
  LateLane lane_;
  LateBackend backend_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> CreateLateDevice(const DeviceOptions& options) {
  HEADROOM_ASSIGN_OR_RETURN(std::unique_ptr<Backend> inner, cpu::CreateBackend(options, kSpace));
  return std::make_unique<LateDevice>(std::move(inner));
}

}  // namespace headroom::runtime
