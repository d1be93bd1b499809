// Ranks of NCCL for the programs of this folder: threads or processes of one machine, a card each.
#pragma once

#include <nccl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
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

inline int ranks = 3;

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

inline float ValueOf(int rank, size_t i) { return float(rank + 1) * 0.25F + float(i % 17); }

inline void Join(Rank* r, const ncclUniqueId& id) {
  OK(cudaSetDevice(r->rank));
  OK(cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking));
  NCCL(ncclCommInitRank(&r->communicator, ranks, id, r->rank));
}

// A thread for each rank.
inline void InThreads(const std::function<void(Rank&)>& work) {
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

// A process for each rank; rank 0 is this one, and leaves first.
inline void InProcesses(const std::function<void(Rank&)>& work, bool expect_success = true) {
  int pipes[8][2];
  std::vector<pid_t> children;
  for (int rank = 1; rank < ranks; rank++) {
    if (pipe(pipes[rank]) != 0) exit(1);
    const pid_t child = fork();  // nothing of CUDA was used yet
    if (child == 0) {
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
