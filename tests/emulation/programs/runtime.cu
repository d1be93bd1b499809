// What programs do with the runtime library when they do it right.
#include <cooperative_groups.h>

#include <chrono>
#include <thread>
#include <vector>

#include "case.h"

__device__ int counter = 5;
__constant__ int table[4];

__global__ void Axpy(float a, const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}
__global__ void AddTable(int* out) { out[threadIdx.x] = table[threadIdx.x % 4] + counter; }
__global__ void WideStack(int* out, int n) {
  int local[300];
  for (int k = 0; k < 300; k++) local[k] = k * n;
  *out = local[n % 300] + local[(n * 7) % 300];
}
__global__ void BigShared(int* out) {
  extern __shared__ int big[];
  big[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = big[blockDim.x - 1 - threadIdx.x];
}
__global__ void Neighbour(int* x, int* y) {
  x[blockIdx.x] = blockIdx.x + 1;
  cooperative_groups::this_grid().sync();
  y[blockIdx.x] = x[(blockIdx.x + 1) % gridDim.x];
}

namespace {

constexpr int kCount = 1000;

struct Buffers {
  float *x, *y, *pinned;
  cudaStream_t stream;
};

Buffers MakeBuffers() {
  Buffers b;
  OK(cudaMalloc(reinterpret_cast<void**>(&b.x), kCount * sizeof(float)));
  OK(cudaMalloc(reinterpret_cast<void**>(&b.y), kCount * sizeof(float)));
  OK(cudaMallocHost(reinterpret_cast<void**>(&b.pinned), kCount * sizeof(float)));
  OK(cudaStreamCreateWithFlags(&b.stream, cudaStreamNonBlocking));
  for (int i = 0; i < kCount; i++) b.pinned[i] = i;
  OK(cudaMemcpyAsync(b.x, b.pinned, kCount * sizeof(float), cudaMemcpyHostToDevice, b.stream));
  OK(cudaMemsetAsync(b.y, 0, kCount * sizeof(float), b.stream));
  return b;
}

void Basics() {
  Buffers b = MakeBuffers();
  Axpy<<<8, 128, 0, b.stream>>>(2.0f, b.x, b.y, kCount);
  OK(cudaGetLastError());
  std::vector<float> pageable(kCount);
  OK(cudaMemcpyAsync(pageable.data(), b.y, kCount * sizeof(float), cudaMemcpyDeviceToHost, b.stream));
  for (int i = 0; i < kCount; i++) EXPECT(pageable[i] == 2.0f * i);  // pageable memory: the call waits
  OK(cudaMemcpyAsync(b.pinned, b.y, kCount * sizeof(float), cudaMemcpyDeviceToHost, b.stream));
  OK(cudaStreamSynchronize(b.stream));
  for (int i = 0; i < kCount; i++) EXPECT(b.pinned[i] == 2.0f * i);
  OK(cudaFree(b.x));
  OK(cudaFree(b.y));
  OK(cudaFreeHost(b.pinned));
  OK(cudaStreamDestroy(b.stream));
}

void Properties() {
  int count = 0;
  OK(cudaGetDeviceCount(&count));
  cudaDeviceProp p;
  OK(cudaGetDeviceProperties(&p, count - 1));
  printf("%d devices, %s, %d.%d, %zu bytes\n", count, p.name, p.major, p.minor, p.totalGlobalMem);
}

// The card behind each device, and that what is allocated there belongs to it.
void Visible() {
  int count = 0;
  OK(cudaGetDeviceCount(&count));
  for (int device = 0; device < count; device++) {
    cudaDeviceProp p;
    cudaPointerAttributes attributes;
    void* memory;
    OK(cudaGetDeviceProperties(&p, device));
    OK(cudaSetDevice(device));
    OK(cudaMalloc(&memory, 16));
    OK(cudaPointerGetAttributes(&attributes, memory));
    EXPECT(attributes.device == device);
    printf("GPU-");
    for (int k = 0; k < 16; k++)
      printf("%s%02x", k == 4 || k == 6 || k == 8 || k == 10 ? "-" : "", static_cast<unsigned char>(p.uuid.bytes[k]));
    printf("\n");
  }
  EXPECT(cudaSetDevice(count) == cudaErrorInvalidDevice);
}

void Symbols() {
  const int values[4] = {10, 20, 30, 40}, seven = 7;
  OK(cudaMemcpyToSymbol(table, values, sizeof values));
  OK(cudaMemcpyToSymbol(counter, &seven, sizeof seven));
  int* out;
  OK(cudaMalloc(reinterpret_cast<void**>(&out), 8 * sizeof(int)));
  AddTable<<<1, 8>>>(out);
  int got[8];
  OK(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 8; i++) EXPECT(got[i] == values[i % 4] + 7);
  int back = 0;
  OK(cudaMemcpyFromSymbol(&back, counter, sizeof back));
  EXPECT(back == 7);
}

// Two streams; the second waits for the first by an event, the host for the second by another.
void Events() {
  Buffers b = MakeBuffers();
  cudaStream_t second;
  cudaEvent_t copied, begin, done;
  OK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  OK(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming));
  OK(cudaEventCreate(&begin));
  OK(cudaEventCreate(&done));
  OK(cudaEventRecord(copied, b.stream));
  OK(cudaStreamWaitEvent(second, copied));
  OK(cudaEventRecord(begin, second));
  Axpy<<<8, 128, 0, second>>>(3.0f, b.x, b.y, kCount);
  float* result;
  OK(cudaMallocHost(reinterpret_cast<void**>(&result), kCount * sizeof(float)));
  OK(cudaMemcpyAsync(result, b.y, kCount * sizeof(float), cudaMemcpyDeviceToHost, second));
  OK(cudaEventRecord(done, second));
  int polls = 0;
  for (cudaError_t state; (state = cudaEventQuery(done)) != cudaSuccess; polls++) EXPECT(state == cudaErrorNotReady && polls < 1000);
  for (int i = 0; i < kCount; i++) EXPECT(result[i] == 3.0f * i);
  float milliseconds = -1;
  OK(cudaEventElapsedTime(&milliseconds, begin, done));
  EXPECT(milliseconds >= 0);
}

// The default stream waits for blocking streams and they for it.
void DefaultStream() {
  Buffers b = MakeBuffers();
  OK(cudaStreamSynchronize(b.stream));
  cudaStream_t blocking;
  OK(cudaStreamCreate(&blocking));
  Axpy<<<8, 128, 0, blocking>>>(1.0f, b.x, b.y, kCount);
  Axpy<<<8, 128>>>(1.0f, b.y, b.y, kCount);
  Axpy<<<8, 128, 0, blocking>>>(1.0f, b.x, b.y, kCount);
  OK(cudaStreamSynchronize(blocking));
  OK(cudaMemcpy(b.pinned, b.y, kCount * sizeof(float), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; i++) EXPECT(b.pinned[i] == 3.0f * i);
}

// Captured once with a fork and a join, launched three times; its node reads the pinned buffer anew each time.
void Graphs() {
  Buffers b = MakeBuffers();
  OK(cudaStreamSynchronize(b.stream));
  cudaStream_t side;
  cudaEvent_t fork, join;
  OK(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
  OK(cudaEventCreate(&fork));
  OK(cudaEventCreate(&join));
  Axpy<<<1, 1, 0, b.stream>>>(1.0f, b.x, b.y, 0);  // the module is loaded
  size_t before = 0, after = 0, total = 0;
  OK(cudaMemGetInfo(&before, &total));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  OK(cudaStreamBeginCapture(b.stream, cudaStreamCaptureModeThreadLocal));
  OK(cudaMemcpyAsync(b.x, b.pinned, kCount * sizeof(float), cudaMemcpyHostToDevice, b.stream));
  OK(cudaEventRecord(fork, b.stream));
  OK(cudaStreamWaitEvent(side, fork));
  Axpy<<<8, 128, 0, side>>>(1.0f, b.x, b.y, kCount);
  OK(cudaEventRecord(join, side));
  OK(cudaStreamWaitEvent(b.stream, join));
  void* pointer;
  EXPECT(cudaMalloc(&pointer, 16) == cudaErrorStreamCaptureUnsupported);
  OK(cudaStreamEndCapture(b.stream, &graph));
  OK(cudaGraphInstantiate(&exec, graph, 0));
  OK(cudaMemGetInfo(&after, &total));
  EXPECT(after < before);
  for (int turn = 1; turn <= 3; turn++) {
    for (int i = 0; i < kCount; i++) b.pinned[i] = turn * i;
    OK(cudaGraphLaunch(exec, b.stream));
    OK(cudaStreamSynchronize(b.stream));
  }
  OK(cudaMemcpy(b.pinned, b.y, kCount * sizeof(float), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; i++) EXPECT(b.pinned[i] == 6.0f * i);
  OK(cudaGraphExecDestroy(exec));
  OK(cudaGraphDestroy(graph));
  OK(cudaMemGetInfo(&after, &total));
  EXPECT(after == before);
}

void CaptureBroken() {
  Buffers b = MakeBuffers();
  OK(cudaStreamSynchronize(b.stream));
  OK(cudaStreamBeginCapture(b.stream, cudaStreamCaptureModeThreadLocal));
  EXPECT(cudaStreamSynchronize(b.stream) == cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph;
  EXPECT(cudaStreamEndCapture(b.stream, &graph) == cudaErrorStreamCaptureInvalidated);
}

// Allocation succeeds to the last byte and fails one beyond.
void OutOfMemory() {
  size_t free = 0, total = 0, again = 0;
  OK(cudaMemGetInfo(&free, &total));
  void *all, *more;
  EXPECT(cudaMalloc(&all, free + 1) == cudaErrorMemoryAllocation);
  EXPECT(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess);
  OK(cudaMalloc(&all, free));
  EXPECT(cudaMalloc(&more, 1) == cudaErrorMemoryAllocation);
  OK(cudaFree(all));
  OK(cudaMemGetInfo(&again, &total));
  EXPECT(again == free);
}

// A kernel with a stack frame takes local memory for all threads of the card at its first launch.
void LocalMemory() {
  int* out;
  OK(cudaMalloc(reinterpret_cast<void**>(&out), sizeof(int)));
  AddTable<<<1, 1>>>(out);  // the module is loaded
  size_t before = 0, after = 0, total = 0;
  OK(cudaMemGetInfo(&before, &total));
  WideStack<<<1, 1>>>(out, 3);
  OK(cudaDeviceSynchronize());
  OK(cudaMemGetInfo(&after, &total));
  printf("took %zu bytes\n", before - after);
  EXPECT(before - after >= size_t{1200} * 2048 * 108);
}

void SharedMemory() {
  int* out;
  OK(cudaMalloc(reinterpret_cast<void**>(&out), 128 * sizeof(int)));
  BigShared<<<1, 128, 64 << 10>>>(out);
  EXPECT(cudaGetLastError() == cudaErrorInvalidValue);
  OK(cudaFuncSetAttribute(BigShared, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10));
  BigShared<<<1, 128, 64 << 10>>>(out);
  OK(cudaGetLastError());
  EXPECT(cudaFuncSetAttribute(BigShared, cudaFuncAttributeMaxDynamicSharedMemorySize, 300 << 10) == cudaErrorInvalidValue);
  cudaGetLastError();
  int got[128];
  OK(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 128; i++) EXPECT(got[i] == 127 - i);
}

void Cooperative() {
  int *x, *y, got[6];
  OK(cudaMalloc(reinterpret_cast<void**>(&x), sizeof got));
  OK(cudaMalloc(reinterpret_cast<void**>(&y), sizeof got));
  void* arguments[] = {&x, &y};
  OK(cudaLaunchCooperativeKernel(reinterpret_cast<void*>(Neighbour), dim3(6), dim3(1), arguments, 0, nullptr));
  OK(cudaMemcpy(got, y, sizeof got, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 6; i++) EXPECT(got[i] == (i + 1) % 6 + 1);
  EXPECT(cudaLaunchCooperativeKernel(reinterpret_cast<void*>(Neighbour), dim3(100000), dim3(1), arguments, 0, nullptr) == cudaErrorCooperativeLaunchTooLarge);
}

// Devices of one process, a thread each, at the same time.
void Threads() {
  int count = 0;
  OK(cudaGetDeviceCount(&count));
  std::vector<std::thread> threads;
  for (int device = 0; device < count; device++) {
    threads.emplace_back([device] {
      OK(cudaSetDevice(device));
      for (int turn = 0; turn < 5; turn++) Basics();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void Errors() {
  EXPECT(cudaSetDevice(99) == cudaErrorInvalidDevice);
  EXPECT(cudaGetLastError() == cudaErrorInvalidDevice);
  Axpy<<<1, 2048>>>(1, nullptr, nullptr, 0);
  EXPECT(cudaGetLastError() == cudaErrorInvalidConfiguration);
  int host = 0;
  EXPECT(cudaFree(&host) == cudaErrorInvalidValue);
  void* p;
  OK(cudaMalloc(&p, 16));
  EXPECT(cudaMemcpy(p, &host, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  OK(cudaFree(p));
  EXPECT(cudaFree(p) == cudaErrorInvalidValue);
}

// An event that is asked for at once, and again until it has happened.
void Query() {
  Buffers b = MakeBuffers();
  OK(cudaStreamSynchronize(b.stream));
  cudaEvent_t done;
  OK(cudaEventCreate(&done));
  Axpy<<<8, 128, 0, b.stream>>>(1.0f, b.x, b.y, kCount);
  OK(cudaEventRecord(done, b.stream));
  cudaError_t state = cudaEventQuery(done);
  printf("%s at first\n", cudaGetErrorName(state));
  while (state == cudaErrorNotReady) state = cudaEventQuery(done);
  OK(state);
}

void Refused() {
  void* p;
  EXPECT(cudaMallocAsync(&p, 16, nullptr) == cudaErrorNotSupported);
  EXPECT(cudaMallocManaged(&p, 16) == cudaErrorNotSupported);
  int pools = -1;
  OK(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, 0));
  EXPECT(pools == 0);
}

// Takes bytes and keeps them, for a test of processes that share a card: argument by environment.
void Hold() {
  void* p;
  OK(cudaMalloc(&p, strtoull(getenv("HOLD_BYTES"), nullptr, 0)));
  printf("holding\n");
  fflush(stdout);
  if (getenv("HOLD_AND_DIE") != nullptr) abort();
  getchar();
}

void PrintFree() {
  size_t free = 0, total = 0;
  OK(cudaMemGetInfo(&free, &total));
  printf("free %zu\n", free);
}

constexpr Case kCases[] = {{"basics", Basics},           {"properties", Properties}, {"visible", Visible},       {"symbols", Symbols},           {"events", Events},
                           {"default_stream", DefaultStream}, {"graphs", Graphs},          {"capture_broken", CaptureBroken}, {"out_of_memory", OutOfMemory},
                           {"local_memory", LocalMemory}, {"shared_memory", SharedMemory}, {"cooperative", Cooperative},   {"threads", Threads},
                           {"errors", Errors}, {"query", Query}, {"refused", Refused},           {"hold", Hold},                   {"print_free", PrintFree}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof kCases[0], argc, argv); }
