// What collectives compute, for every way of being a rank: threads, processes, devices of one thread.
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/emulation/programs/ranks.h"

namespace {

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

constexpr Case kCases[] = {{"threads", Threads},      {"processes", Processes},     {"early_end", EarlyEnd},
                           {"one_thread", OneThread}, {"others_go_on", OthersGoOn}, {"two_streams", TwoStreams}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
