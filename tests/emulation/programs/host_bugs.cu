// Mistakes of the host, each with its right version: case NAME, or NAME_right.
#include "case.h"

__global__ void Double(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = 2 * x[i];
}
__global__ void Overrun(float* x, int n) { x[blockIdx.x * blockDim.x + threadIdx.x + (n == 3 ? 1 : 0)] = 1; }

namespace {

constexpr int kCount = 256;
constexpr size_t kBytes = kCount * sizeof(float);

struct Setup {
  float *x, *y, *in, *out;
  cudaStream_t copy, compute;
  cudaEvent_t copied;

  Setup() {
    OK(cudaMalloc(reinterpret_cast<void**>(&x), kBytes));
    OK(cudaMalloc(reinterpret_cast<void**>(&y), kBytes));
    OK(cudaMallocHost(reinterpret_cast<void**>(&in), kBytes));
    OK(cudaMallocHost(reinterpret_cast<void**>(&out), kBytes));
    OK(cudaStreamCreateWithFlags(&copy, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking));
    OK(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming));
    for (int i = 0; i < kCount; i++) in[i] = i;
  }

  void Upload() {
    OK(cudaMemcpyAsync(x, in, kBytes, cudaMemcpyHostToDevice, copy));
    OK(cudaEventRecord(copied, copy));
  }
  void Compute(bool wait) {
    if (wait) OK(cudaStreamWaitEvent(compute, copied));
    Double<<<1, kCount, 0, compute>>>(x, y, kCount);
    OK(cudaMemcpyAsync(out, y, kBytes, cudaMemcpyDeviceToHost, compute));
  }
  void Compare(float factor = 2) {
    for (int i = 0; i < kCount; i++) EXPECT(out[i] == factor * i);
  }
};

// The buffer that a copy reads is filled with the next values before the copy was waited for.
void StagingReused(bool right) {
  Setup s;
  s.Upload();
  if (right) OK(cudaEventSynchronize(s.copied));
  for (int i = 0; i < kCount; i++) s.in[i] = -1;
  s.Compute(true);
  OK(cudaStreamSynchronize(s.compute));
  s.Compare();
}

void WaitMissing(bool right) {
  Setup s;
  s.Upload();
  s.Compute(right);
  OK(cudaStreamSynchronize(s.compute));
  s.Compare();
}

// The same a second time, when memory holds old values instead of none.
void WaitMissingLater(bool right) {
  Setup s;
  s.Upload();
  s.Compute(true);
  OK(cudaDeviceSynchronize());
  for (int i = 0; i < kCount; i++) s.in[i] = 2.0f * i;
  s.Upload();
  s.Compute(right);
  OK(cudaStreamSynchronize(s.compute));
  s.Compare(4);
}

void SynchronizeMissing(bool right) {
  Setup s;
  s.Upload();
  s.Compute(true);
  if (right) OK(cudaStreamSynchronize(s.compute));
  s.Compare();
}

void WrongStreamSynchronized(bool right) {
  Setup s;
  s.Upload();
  s.Compute(true);
  OK(cudaStreamSynchronize(right ? s.compute : s.copy));
  s.Compare();
}

// An event that is awaited before it was recorded is no event.
void EventBeforeRecord(bool right) {
  Setup s;
  if (!right) OK(cudaStreamWaitEvent(s.compute, s.copied));
  s.Upload();
  s.Compute(right);
  OK(cudaStreamSynchronize(s.compute));
  s.Compare();
}

void DevicePointerOnHost(bool right) {
  Setup s;
  s.Upload();
  OK(cudaStreamSynchronize(s.copy));
  float value = 0;
  if (right) {
    OK(cudaMemcpy(&value, s.x + 3, sizeof value, cudaMemcpyDeviceToHost));
  } else {
    value = s.x[3];
  }
  EXPECT(value == 3);
}

void HostPointerOnDevice(bool right) {
  Setup s;
  s.Upload();
  float* pageable = static_cast<float*>(malloc(kBytes));
  OK(cudaStreamSynchronize(s.copy));
  Double<<<1, kCount, 0, s.compute>>>(s.x, right ? s.y : pageable, kCount);
  OK(cudaStreamSynchronize(s.compute));
}

void CopyTooLong(bool right) {
  Setup s;
  OK(cudaMemcpyAsync(s.x, s.in, right ? kBytes : kBytes + 4, cudaMemcpyHostToDevice, s.copy));
  OK(cudaStreamSynchronize(s.copy));
}

void UseAfterFree(bool right) {
  Setup s;
  s.Upload();
  OK(cudaStreamSynchronize(s.copy));
  if (!right) OK(cudaFree(s.x));
  s.Compute(false);
  OK(cudaStreamSynchronize(s.compute));
  s.Compare();
}

// The error shows at the next wait and stays: every later call returns it.
void Sticky(bool right) {
  Setup s;
  Overrun<<<1, kCount, 0, s.compute>>>(s.x, right ? 0 : 3);
  const cudaError_t error = cudaStreamSynchronize(s.compute);
  if (right) {
    OK(error);
    return;
  }
  EXPECT(error == cudaErrorIllegalAddress && cudaGetLastError() == error && cudaGetLastError() == error);
  void* p;
  OK(cudaMalloc(&p, 16));
}

template <void (*kBug)(bool)>
void Wrong() {
  kBug(false);
}
template <void (*kBug)(bool)>
void Right() {
  kBug(true);
}

#define BOTH(name, bug) {name, Wrong<bug>}, {name "_right", Right<bug>}
constexpr Case kCases[] = {BOTH("staging_reused", StagingReused),
                           BOTH("wait_missing", WaitMissing),
                           BOTH("wait_missing_later", WaitMissingLater),
                           BOTH("synchronize_missing", SynchronizeMissing),
                           BOTH("wrong_stream_synchronized", WrongStreamSynchronized),
                           BOTH("event_before_record", EventBeforeRecord),
                           BOTH("device_pointer_on_host", DevicePointerOnHost),
                           BOTH("host_pointer_on_device", HostPointerOnDevice),
                           BOTH("copy_too_long", CopyTooLong),
                           BOTH("use_after_free", UseAfterFree),
                           BOTH("sticky", Sticky)};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof kCases[0], argc, argv); }
