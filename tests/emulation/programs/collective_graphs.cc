// Collectives that were captured.
#include <vector>

#include "tests/emulation/programs/ranks.h"

namespace {

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

constexpr Case kCases[] = {{"captured", Captured},
                           {"captured_one_thread", CapturedOneThread},
                           {"launched_after_destroy", LaunchedAfterDestroy}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof *kCases, argc, argv); }
