// Ranks of NCCL: threads, processes, or devices of one thread.
#include <nccl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/emulation/programs/case.h"

#define ANSWERS(wanted, call)                                                                                          \
  do {                                                                                                                 \
    const ncclResult_t result_of_call = (call);                                                                        \
    if (result_of_call != (wanted)) {                                                                                  \
      printf("line %d: %s, %s is wanted\n", __LINE__, ncclGetErrorString(result_of_call), ncclGetErrorString(wanted)); \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)
#define NCCL(call) ANSWERS(ncclSuccess, call)

namespace {

int ranks = 3;

template <class T>
struct Buffer {
  T* data = nullptr;
  size_t count;
  explicit Buffer(size_t n) : count(n) { OK(cudaMalloc(reinterpret_cast<void**>(&data), n * sizeof(T))); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { cudaFree(data); }
  // value(i) for every element.
  template <class Value>
  Buffer& Fill(Value value) {
    std::vector<T> host(count);
    for (size_t i = 0; i < count; i++) host[i] = value(i);
    OK(cudaMemcpy(data, host.data(), count * sizeof(T), cudaMemcpyHostToDevice));
    return *this;
  }
  std::vector<T> Download() const {
    std::vector<T> host(count);
    OK(cudaMemcpy(host.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
  }
};

struct Rank {
  int rank;
  ncclComm_t communicator;
  cudaStream_t stream;
};

float ValueOf(int rank, size_t i) { return float(rank + 1) * 0.25F + float(i % 17); }

// Every collective, its result against what was put in.
void Collectives(const Rank& r) {
  constexpr size_t kCount = 1000;
  const auto mine = [&](size_t i) { return ValueOf(r.rank, i); };
  Buffer<float> in(kCount), out(kCount), wide(kCount * ranks), wide_in(kCount * ranks);
  in.Fill(mine);
  double sum = 0;
  NCCL(ncclAllReduce(in.data, out.data, kCount, ncclFloat, ncclSum, r.communicator, r.stream));
  OK(cudaStreamSynchronize(r.stream));
  for (size_t i = 0; i < kCount; i++, sum = 0) {
    for (int q = 0; q < ranks; q++) sum += ValueOf(q, i);
    EXPECT(out.Download()[i] == float(sum) || i % 100 != 0);
  }
  NCCL(ncclAllReduce(in.data, in.data, kCount, ncclFloat, ncclMax, r.communicator, r.stream));
  OK(cudaStreamSynchronize(r.stream));
  EXPECT(in.Download()[5] == ValueOf(ranks - 1, 5));
  in.Fill(mine);
  NCCL(ncclAllGather(in.data, wide.data, kCount, ncclFloat, r.communicator, r.stream));
  OK(cudaStreamSynchronize(r.stream));
  const std::vector<float> gathered = wide.Download();
  for (size_t i = 0; i < gathered.size(); i++) EXPECT(gathered[i] == ValueOf(int(i / kCount), i % kCount));
  NCCL(ncclBroadcast(in.data, out.data, kCount, ncclFloat, ranks - 1, r.communicator, r.stream));
  OK(cudaStreamSynchronize(r.stream));
  for (const size_t i : {size_t(0), kCount - 1}) EXPECT(out.Download()[i] == ValueOf(ranks - 1, i));
  wide_in.Fill(mine);
  NCCL(ncclReduceScatter(wide_in.data, out.data, kCount, ncclFloat, ncclAvg, r.communicator, r.stream));
  OK(cudaStreamSynchronize(r.stream));
  for (const size_t i : {size_t(0), kCount - 1}) {
    for (int q = 0; q < ranks; q++) sum += ValueOf(q, r.rank * kCount + i);
    EXPECT(out.Download()[i] == float(sum) / float(ranks));
    sum = 0;
  }
  NCCL(ncclReduce(in.data, out.data, kCount, ncclFloat, ncclProd, 0, r.communicator, r.stream));
  OK(cudaStreamSynchronize(r.stream));
  float product = 1;
  for (int q = 0; q < ranks; q++) product *= ValueOf(q, 3);
  EXPECT(r.rank != 0 || out.Download()[3] == product);
  Buffer<__nv_bfloat16> small(kCount);
  small.Fill([&](size_t i) { return __float2bfloat16(ValueOf(r.rank, i)); });
  NCCL(ncclAllReduce(small.data, small.data, kCount, ncclBfloat16, ncclSum, r.communicator, r.stream));
  OK(cudaStreamSynchronize(r.stream));
  float rounded = 0;
  for (int q = 0; q < ranks; q++) rounded += __bfloat162float(__float2bfloat16(ValueOf(q, 9)));
  EXPECT(__bfloat162float(small.Download()[9]) == __bfloat162float(__float2bfloat16(rounded)));
  // Around the ring, both directions of a rank in one group.
  Buffer<int> token(64), next(64);
  token.Fill([&](size_t i) { return int(i) + 100 * r.rank; });
  NCCL(ncclGroupStart());
  NCCL(ncclSend(token.data, 64, ncclInt, (r.rank + 1) % ranks, r.communicator, r.stream));
  NCCL(ncclRecv(next.data, 64, ncclInt, (r.rank + ranks - 1) % ranks, r.communicator, r.stream));
  NCCL(ncclGroupEnd());
  OK(cudaStreamSynchronize(r.stream));
  EXPECT(next.Download()[7] == 7 + 100 * ((r.rank + ranks - 1) % ranks));
}

void Join(Rank* r, const ncclUniqueId& id) {
  OK(cudaSetDevice(r->rank));
  OK(cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking));
  NCCL(ncclCommInitRank(&r->communicator, ranks, id, r->rank));
}

// A thread for each rank.
void InThreads(const std::function<void(Rank&)>& work) {
  ncclUniqueId id;
  NCCL(ncclGetUniqueId(&id));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; rank++) {
    threads.emplace_back([&, rank] {
      Rank r{rank, nullptr, nullptr};
      Join(&r, id);
      work(r);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void Threads() {
  InThreads([](Rank& r) {
    int count = 0, rank = -1, device = -1;
    NCCL(ncclCommCount(r.communicator, &count));
    NCCL(ncclCommUserRank(r.communicator, &rank));
    NCCL(ncclCommCuDevice(r.communicator, &device));
    EXPECT(count == ranks && rank == r.rank && device == r.rank);
    Collectives(r);
    NCCL(ncclCommFinalize(r.communicator));
    NCCL(ncclCommDestroy(r.communicator));
    ANSWERS(ncclInvalidArgument, ncclCommDestroy(r.communicator));
  });
}

// A process for each rank; rank 0 is this one, and leaves first.
void InProcesses(const std::function<void(Rank&)>& work, bool expect_success = true) {
  int pipes[8][2];
  std::vector<pid_t> children;
  for (int rank = 1; rank < ranks; rank++) {
    if (pipe(pipes[rank]) != 0) exit(1);
    const pid_t child = fork();  // nothing of CUDA was used yet
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // a parent that fails leaves nobody behind
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // a parent that fails leaves nobody behind
      ncclUniqueId id;
      if (read(pipes[rank][0], &id, sizeof id) != sizeof id) exit(1);
      Rank r{rank, nullptr, nullptr};
      Join(&r, id);
      work(r);
      exit(0);
    }
    children.push_back(child);
  }
  ncclUniqueId id;
  NCCL(ncclGetUniqueId(&id));
  for (int rank = 1; rank < ranks; rank++) {
    if (write(pipes[rank][1], &id, sizeof id) != sizeof id) exit(1);
  }
  Rank r{0, nullptr, nullptr};
  Join(&r, id);
  work(r);
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT(!expect_success || status == 0);
  }
}

void Processes() {
  InProcesses([](Rank& r) {
    Collectives(r);
    NCCL(ncclCommDestroy(r.communicator));
  });
}

// The process that made the id ends as soon as its own results are there; those of the others are on their way.
void EarlyEnd() {
  constexpr size_t kCount = 1 << 20;
  ncclUniqueId id;
  int ready[2];
  ranks = 2;
  if (pipe(ready) != 0) exit(1);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a parent that fails leaves nobody behind
    NCCL(ncclGetUniqueId(&id));
    if (write(ready[1], &id, sizeof id) != sizeof id) exit(1);
    Rank r{0, nullptr, nullptr};
    Join(&r, id);
    Buffer<float> buffer(kCount);
    buffer.Fill([](size_t) { return 1.0F; });
    NCCL(ncclAllReduce(buffer.data, buffer.data, kCount, ncclFloat, ncclSum, r.communicator, r.stream));
    NCCL(ncclCommDestroy(r.communicator));
    exit(0);
  }
  if (read(ready[0], &id, sizeof id) != sizeof id) exit(1);
  Rank r{1, nullptr, nullptr};
  Join(&r, id);
  Buffer<float> buffer(kCount);
  buffer.Fill([](size_t) { return 2.0F; });
  NCCL(ncclAllReduce(buffer.data, buffer.data, kCount, ncclFloat, ncclSum, r.communicator, r.stream));
  OK(cudaStreamSynchronize(r.stream));
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT(status == 0);
  for (const float x : buffer.Download()) EXPECT(x == 3.0F);
  NCCL(ncclCommDestroy(r.communicator));
}

// One thread, several devices: in groups.
void OneThread() {
  std::vector<ncclComm_t> communicators(ranks);
  std::vector<cudaStream_t> streams(ranks);
  std::vector<Buffer<float>*> buffers;
  NCCL(ncclCommInitAll(communicators.data(), ranks, nullptr));
  for (int rank = 0; rank < ranks; rank++) {
    OK(cudaSetDevice(rank));
    OK(cudaStreamCreateWithFlags(&streams[rank], cudaStreamNonBlocking));
    buffers.push_back(new Buffer<float>(100));
    buffers.back()->Fill([&](size_t i) { return ValueOf(rank, i); });
  }
  for (int turn = 0; turn < 2; turn++) {
    NCCL(ncclGroupStart());
    for (int rank = 0; rank < ranks; rank++)
      NCCL(ncclAllReduce(buffers[rank]->data, buffers[rank]->data, 100, ncclFloat, turn == 0 ? ncclSum : ncclMin,
                         communicators[rank], streams[rank]));
    NCCL(ncclGroupEnd());
  }
  for (int rank = 0; rank < ranks; rank++) {
    OK(cudaSetDevice(rank));
    OK(cudaStreamSynchronize(streams[rank]));
    float sum = 0;
    for (int q = 0; q < ranks; q++) sum += ValueOf(q, 11);
    EXPECT(buffers[rank]->Download()[11] == sum);
  }
  // Outside of a group the second call is refused: on a card it would wait for itself.
  NCCL(ncclAllReduce(buffers[0]->data, buffers[0]->data, 100, ncclFloat, ncclSum, communicators[0], streams[0]));
  ANSWERS(ncclInvalidUsage,
          ncclAllReduce(buffers[1]->data, buffers[1]->data, 100, ncclFloat, ncclSum, communicators[1], streams[1]));
  for (const ncclComm_t communicator : communicators) NCCL(ncclCommAbort(communicator));
}

// Rank 0 waits for its result while the program of rank 1 waits for something else: its card would go on by itself.
void OthersGoOn() {
  std::atomic<bool> first_is_done = false;
  InThreads([&](Rank& r) {
    Buffer<float> buffer(10);
    buffer.Fill([&](size_t i) { return ValueOf(r.rank, i); });
    for (int turn = 0; turn < 3; turn++)
      NCCL(ncclAllReduce(buffer.data, buffer.data, 10, ncclFloat, ncclMax, r.communicator, r.stream));
    if (r.rank == 0) {
      OK(cudaStreamSynchronize(r.stream));
      first_is_done = true;
    }
    while (!first_is_done) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    OK(cudaStreamSynchronize(r.stream));
    EXPECT(buffer.Download()[3] == ValueOf(ranks - 1, 3));
    NCCL(ncclCommDestroy(r.communicator));
  });
}

// Captured with what surrounds it, launched again and again; between the launches one that was not captured.
void Captured() {
  InThreads([](Rank& r) {
    Buffer<float> in(10), sum(10), all(size_t(10) * ranks);
    float* pinned;
    OK(cudaMallocHost(reinterpret_cast<void**>(&pinned), 10 * sizeof(float)));
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    OK(cudaStreamBeginCapture(r.stream, cudaStreamCaptureModeThreadLocal));
    OK(cudaMemcpyAsync(in.data, pinned, 10 * sizeof(float), cudaMemcpyHostToDevice, r.stream));
    NCCL(ncclAllReduce(in.data, sum.data, 10, ncclFloat, ncclSum, r.communicator, r.stream));
    NCCL(ncclAllGather(sum.data, all.data, 10, ncclFloat, r.communicator, r.stream));
    OK(cudaStreamEndCapture(r.stream, &graph));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    for (int turn = 0; turn < 3; turn++) {
      for (int i = 0; i < 10; i++) pinned[i] = ValueOf(r.rank, i) + float(turn);
      OK(cudaGraphLaunch(exec, r.stream));
      NCCL(ncclAllReduce(sum.data, sum.data, 10, ncclFloat, ncclMax, r.communicator, r.stream));
      OK(cudaStreamSynchronize(r.stream));
      float wanted = 0;
      for (int q = 0; q < ranks; q++) wanted += ValueOf(q, 4) + float(turn);
      EXPECT(sum.Download()[4] == wanted);
      EXPECT(all.Download()[10 * (ranks - 1) + 4] == wanted);
    }
    OK(cudaGraphExecDestroy(exec));
    OK(cudaGraphDestroy(graph));
    NCCL(ncclCommDestroy(r.communicator));
  });
}

// One thread launches the graphs of all its devices, one after the other.
void CapturedOneThread() {
  std::vector<ncclComm_t> communicators(ranks);
  std::vector<cudaStream_t> streams(ranks);
  std::vector<cudaGraphExec_t> execs(ranks);
  std::vector<Buffer<float>*> buffers;
  NCCL(ncclCommInitAll(communicators.data(), ranks, nullptr));
  for (int rank = 0; rank < ranks; rank++) {
    OK(cudaSetDevice(rank));
    OK(cudaStreamCreateWithFlags(&streams[rank], cudaStreamNonBlocking));
    buffers.push_back(new Buffer<float>(100));
    buffers.back()->Fill([&](size_t i) { return ValueOf(rank, i); });
    OK(cudaStreamBeginCapture(streams[rank], cudaStreamCaptureModeRelaxed));
  }
  NCCL(ncclGroupStart());
  for (int rank = 0; rank < ranks; rank++)
    NCCL(ncclAllReduce(buffers[rank]->data, buffers[rank]->data, 100, ncclFloat, ncclMax, communicators[rank],
                       streams[rank]));
  NCCL(ncclGroupEnd());
  for (int rank = 0; rank < ranks; rank++) {
    cudaGraph_t graph;
    OK(cudaSetDevice(rank));
    OK(cudaStreamEndCapture(streams[rank], &graph));
    OK(cudaGraphInstantiate(&execs[rank], graph, 0));
  }
  for (int turn = 0; turn < 2; turn++) {
    for (int rank = 0; rank < ranks; rank++) {
      OK(cudaSetDevice(rank));
      OK(cudaGraphLaunch(execs[rank], streams[rank]));
    }
    for (int rank = 0; rank < ranks; rank++) {
      OK(cudaSetDevice(rank));
      OK(cudaStreamSynchronize(streams[rank]));
      EXPECT(buffers[rank]->Download()[11] == ValueOf(ranks - 1, 11));
    }
  }
  for (const ncclComm_t communicator : communicators) NCCL(ncclCommDestroy(communicator));
}

void LaunchedAfterDestroy() {
  ranks = 1;
  ncclUniqueId id;
  NCCL(ncclGetUniqueId(&id));
  Rank r{0, nullptr, nullptr};
  Join(&r, id);
  Buffer<float> buffer(8);
  buffer.Fill([](size_t) { return 1.0F; });
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  OK(cudaStreamBeginCapture(r.stream, cudaStreamCaptureModeThreadLocal));
  NCCL(ncclAllReduce(buffer.data, buffer.data, 8, ncclFloat, ncclSum, r.communicator, r.stream));
  OK(cudaStreamEndCapture(r.stream, &graph));
  OK(cudaGraphInstantiate(&exec, graph, 0));
  NCCL(ncclCommDestroy(r.communicator));
  OK(cudaGraphLaunch(exec, r.stream));
  OK(cudaStreamSynchronize(r.stream));
}

// Two streams: the order of the calls is the order of the operations.
void TwoStreams() {
  InThreads([](Rank& r) {
    cudaStream_t other;
    OK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    Buffer<float> a(10), b(20);
    a.Fill([&](size_t i) { return ValueOf(r.rank, i); });
    b.Fill([&](size_t i) { return ValueOf(r.rank, i); });
    NCCL(ncclAllReduce(a.data, a.data, 10, ncclFloat, ncclMax, r.communicator, r.stream));
    NCCL(ncclAllReduce(b.data, b.data, 20, ncclFloat, ncclMin, r.communicator, other));
    OK(cudaStreamSynchronize(r.rank % 2 == 0 ? other : r.stream));
    OK(cudaStreamSynchronize(r.rank % 2 == 0 ? r.stream : other));
    EXPECT(a.Download()[2] == ValueOf(ranks - 1, 2));
    EXPECT(b.Download()[2] == ValueOf(0, 2));
    NCCL(ncclCommDestroy(r.communicator));
  });
}

void Memory() {
  InThreads([](Rank& r) {
    size_t joined = 0, connected = 0, after = 0, total = 0;
    OK(cudaMemGetInfo(&joined, &total));
    Buffer<float> buffer(1 << 18);
    buffer.Fill([](size_t) { return 1.0F; });
    NCCL(ncclAllReduce(buffer.data, buffer.data, 10, ncclFloat, ncclSum, r.communicator, r.stream));
    OK(cudaStreamSynchronize(r.stream));
    OK(cudaMemGetInfo(&connected, &total));
    NCCL(ncclCommDestroy(r.communicator));
    OK(cudaMemGetInfo(&after, &total));
    const size_t buffers = size_t(2) * (1 << 20) * (ranks - 1);  // NCCL_MAX_NCHANNELS=2, NCCL_BUFFSIZE=1 MiB
    const char* connect = getenv("NCCL_RUNTIME_CONNECT");
    const bool lazily = connect == nullptr || strcmp(connect, "0") != 0;
    EXPECT(joined - connected == buffer.count * sizeof(float) + (lazily ? buffers : 0));
    EXPECT(after > connected + buffers);
  });
}

void Arguments() {
  InThreads([](Rank& r) {
    Buffer<float> in(64), out(64);
    in.Fill([](size_t) { return 1.0F; });
    const auto reduce = [&](const void* from, void* to, ncclDataType_t type, ncclRedOp_t op) {
      return ncclAllReduce(from, to, 32, type, op, r.communicator, r.stream);
    };
    float host = 0;
    ANSWERS(ncclInvalidArgument, reduce(&host, out.data, ncclFloat, ncclSum));
    ANSWERS(ncclInvalidArgument, reduce(nullptr, out.data, ncclFloat, ncclSum));
    ANSWERS(ncclInvalidArgument, reduce(in.data, out.data, ncclNumTypes, ncclSum));
    ANSWERS(ncclInvalidArgument, reduce(in.data, out.data, ncclFloat, ncclNumOps));
    ANSWERS(ncclInvalidArgument, reduce(in.data, out.data, ncclFloat8e4m3, ncclSum));
    ANSWERS(ncclInvalidArgument, reduce(in.data, in.data + 1, ncclFloat, ncclSum));
    ANSWERS(ncclInvalidArgument, ncclBroadcast(in.data, out.data, 32, ncclFloat, ranks, r.communicator, r.stream));
    ANSWERS(ncclInvalidArgument, ncclSend(in.data, 32, ncclFloat, -1, r.communicator, r.stream));
    ANSWERS(ncclInvalidArgument, ncclAllGather(in.data, in.data + 1, 2, ncclFloat, r.communicator, r.stream));
    ANSWERS(ncclInvalidUsage, ncclGroupEnd());
    // An error within a group is the group's, and nothing of it happens.
    NCCL(ncclGroupStart());
    NCCL(reduce(in.data, out.data, ncclFloat, ncclSum));
    ANSWERS(ncclInvalidArgument, reduce(in.data, out.data, ncclNumTypes, ncclSum));
    ANSWERS(ncclInvalidArgument, ncclGroupEnd());
    NCCL(ncclAllGather(in.data + 2 * r.rank, in.data, 2, ncclFloat, r.communicator, r.stream));  // in place
    NCCL(ncclCommDestroy(r.communicator));
  });
}

// One of these a process: ranks that want different things.
void Mismatch(const std::string& what) {
  InThreads([&](Rank& r) {
    Buffer<float> in(64), out(size_t(64) * ranks);
    in.Fill([](size_t) { return 1.0F; });
    const bool odd = r.rank == 1;
    if (what == "count")
      NCCL(ncclAllReduce(in.data, out.data, odd ? 31 : 32, ncclFloat, ncclSum, r.communicator, r.stream));
    if (what == "type")
      NCCL(ncclAllReduce(in.data, out.data, 16, odd ? ncclInt : ncclFloat, ncclSum, r.communicator, r.stream));
    if (what == "op")
      NCCL(ncclAllReduce(in.data, out.data, 16, ncclFloat, odd ? ncclMax : ncclSum, r.communicator, r.stream));
    if (what == "root") NCCL(ncclBroadcast(in.data, out.data, 16, ncclFloat, odd ? 1 : 0, r.communicator, r.stream));
    if (what == "kind" && odd) NCCL(ncclAllReduce(in.data, out.data, 16, ncclFloat, ncclSum, r.communicator, r.stream));
    if (what == "kind" && !odd) NCCL(ncclAllGather(in.data, out.data, 16, ncclFloat, r.communicator, r.stream));
    if (what == "send" && r.rank == 0) NCCL(ncclSend(in.data, 16, ncclFloat, 1, r.communicator, r.stream));
    if (what == "send" && odd) NCCL(ncclRecv(out.data, 17, ncclFloat, 0, r.communicator, r.stream));
    if (what == "send" && r.rank > 1) return;
    OK(cudaStreamSynchronize(r.stream));
  });
}

// Rank 1 dies in the middle; the others learn of it, their streams are stuck until they abort.
void LostPeer() {
  InProcesses(
      [](Rank& r) {
        Buffer<float> buffer(64);
        buffer.Fill([](size_t) { return 1.0F; });
        NCCL(ncclAllReduce(buffer.data, buffer.data, 64, ncclFloat, ncclSum, r.communicator, r.stream));
        OK(cudaStreamSynchronize(r.stream));
        if (r.rank == 1) _exit(3);
        const ncclResult_t began =
            ncclAllReduce(buffer.data, buffer.data, 64, ncclFloat, ncclSum, r.communicator, r.stream);
        EXPECT(began == ncclSuccess || began == ncclRemoteError);  // when the news was faster
        ncclResult_t error = ncclSuccess;
        while (error == ncclSuccess) {
          NCCL(ncclCommGetAsyncError(r.communicator, &error));
          EXPECT(cudaStreamQuery(r.stream) == (began == ncclSuccess ? cudaErrorNotReady : cudaSuccess));
        }
        EXPECT(error == ncclRemoteError);
        ANSWERS(ncclRemoteError,
                ncclAllReduce(buffer.data, buffer.data, 64, ncclFloat, ncclSum, r.communicator, r.stream));
        NCCL(ncclCommAbort(r.communicator));
        OK(cudaStreamSynchronize(r.stream));
      },
      false);
}

// The same through EMULATED_NCCL_FAULTS=lost:1:2, with every process alive.
void LostOnDemand() {
  InThreads([](Rank& r) {
    Buffer<float> buffer(64);
    buffer.Fill([](size_t) { return 1.0F; });
    for (int turn = 0; turn < 2; turn++)
      NCCL(ncclAllReduce(buffer.data, buffer.data, 64, ncclFloat, ncclSum, r.communicator, r.stream));
    ncclResult_t error = ncclSuccess;
    while (error == ncclSuccess) {
      cudaStreamQuery(r.stream);
      NCCL(ncclCommGetAsyncError(r.communicator, &error));
    }
    EXPECT(error == ncclRemoteError);
    NCCL(ncclCommAbort(r.communicator));
    OK(cudaStreamSynchronize(r.stream));
  });
}

// EMULATED_NCCL_FAULTS=stuck:1:2: no error anywhere, and no result.
void StuckOnDemand() {
  InThreads([](Rank& r) {
    Buffer<float> buffer(64);
    buffer.Fill([](size_t) { return 1.0F; });
    for (int turn = 0; turn < 2; turn++)
      NCCL(ncclAllReduce(buffer.data, buffer.data, 64, ncclFloat, ncclSum, r.communicator, r.stream));
    ncclResult_t error = ncclInternalError;
    for (int look = 0; look < 200; look++) {
      EXPECT(cudaStreamQuery(r.stream) == cudaErrorNotReady);
      NCCL(ncclCommGetAsyncError(r.communicator, &error));
      if (error == ncclRemoteError) break;  // another rank has seen enough
      EXPECT(error == ncclSuccess);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    NCCL(ncclCommAbort(r.communicator));
    OK(cudaStreamSynchronize(r.stream));
  });
}

void SameDevice() {
  ncclUniqueId id;
  NCCL(ncclGetUniqueId(&id));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; rank++) {
    threads.emplace_back([&, rank] {
      ncclComm_t communicator;
      ANSWERS(ncclInvalidUsage, ncclCommInitRank(&communicator, 2, id, rank));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void NotBlocking() {
  ncclUniqueId id;
  NCCL(ncclGetUniqueId(&id));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t communicators[2];
  ncclResult_t state = ncclSuccess;
  ANSWERS(ncclInProgress, ncclCommInitRankConfig(&communicators[0], 2, id, 0, &config));
  NCCL(ncclCommGetAsyncError(communicators[0], &state));
  EXPECT(state == ncclInProgress);
  OK(cudaSetDevice(1));
  ANSWERS(ncclInProgress, ncclCommInitRankConfig(&communicators[1], 2, id, 1, &config));
  for (const ncclComm_t communicator : communicators) {
    do {
      NCCL(ncclCommGetAsyncError(communicator, &state));
    } while (state == ncclInProgress);
    EXPECT(state == ncclSuccess);
    NCCL(ncclCommDestroy(communicator));
  }
  // A rank that nobody joins is given up.
  NCCL(ncclGetUniqueId(&id));
  ANSWERS(ncclInProgress, ncclCommInitRankConfig(&communicators[0], 2, id, 0, &config));
  NCCL(ncclCommAbort(communicators[0]));
}

void NoMemory() {
  size_t free = 0, total = 0;
  OK(cudaMemGetInfo(&free, &total));
  void* rest;
  OK(cudaMalloc(&rest, free - (1 << 20)));
  ncclUniqueId id;
  NCCL(ncclGetUniqueId(&id));
  ncclComm_t communicator;
  ANSWERS(ncclUnhandledCudaError, ncclCommInitRank(&communicator, 1, id, 0));
}

constexpr Case kCases[] = {{"threads", Threads},
                           {"processes", Processes},
                           {"early_end", EarlyEnd},
                           {"one_thread", OneThread},
                           {"others_go_on", OthersGoOn},
                           {"captured", Captured},
                           {"captured_one_thread", CapturedOneThread},
                           {"launched_after_destroy", LaunchedAfterDestroy},
                           {"two_streams", TwoStreams},
                           {"memory", Memory},
                           {"arguments", Arguments},
                           {"mismatch_count", [] { Mismatch("count"); }},
                           {"mismatch_type", [] { Mismatch("type"); }},
                           {"mismatch_op", [] { Mismatch("op"); }},
                           {"mismatch_root", [] { Mismatch("root"); }},
                           {"mismatch_kind", [] { Mismatch("kind"); }},
                           {"mismatch_send", [] { Mismatch("send"); }},
                           {"lost_peer", LostPeer},
                           {"lost_on_demand", LostOnDemand},
                           {"stuck_on_demand", StuckOnDemand},
                           {"same_device", SameDevice},
                           {"not_blocking", NotBlocking},
                           {"no_memory", NoMemory}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
