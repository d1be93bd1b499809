// Ranks that disagree, go away or never come.
#include <chrono>
#include <string>
#include <thread>

#include "tests/emulation/programs/ranks.h"

namespace {

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

constexpr Case kCases[] = {{"mismatch_count", [] { Mismatch("count"); }},
                           {"mismatch_type", [] { Mismatch("type"); }},
                           {"mismatch_op", [] { Mismatch("op"); }},
                           {"mismatch_root", [] { Mismatch("root"); }},
                           {"mismatch_kind", [] { Mismatch("kind"); }},
                           {"mismatch_send", [] { Mismatch("send"); }},
                           {"lost_peer", LostPeer},
                           {"lost_on_demand", LostOnDemand},
                           {"stuck_on_demand", StuckOnDemand}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
