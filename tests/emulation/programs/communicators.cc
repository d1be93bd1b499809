// What communicators take from a device, and what they refuse.
#include <thread>
#include <vector>

#include "tests/emulation/programs/ranks.h"

namespace {

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

constexpr Case kCases[] = {{"memory", Memory},
                           {"arguments", Arguments},
                           {"same_device", SameDevice},
                           {"not_blocking", NotBlocking},
                           {"no_memory", NoMemory}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
