// A stream, and buffers that go to the device and come back in its order: nothing is waited for but results.
#pragma once

#include <cstring>
#include <vector>

#include "tests/emulation/programs/case.h"

class Lane {
 public:
  Lane() { OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)); }
  ~Lane() {
    for (void* address : device_) cudaFree(address);
    for (void* address : pinned_) cudaFreeHost(address);
    cudaStreamDestroy(stream);
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  template <class T>
  T* Allocate(size_t count) {
    void* address;
    OK(cudaMalloc(&address, count * sizeof(T)));
    device_.push_back(address);
    return static_cast<T*>(address);
  }

  template <class T>
  T* Upload(const std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    T* to = Allocate<T>(values.size());
    void* from = Pinned(bytes);
    memcpy(from, values.data(), bytes);
    OK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream));
    return to;
  }

  template <class T>
  std::vector<T> Download(const T* from, size_t count) {
    std::vector<T> values(count);
    void* to = Pinned(count * sizeof(T));
    OK(cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDeviceToHost, stream));
    OK(cudaStreamSynchronize(stream));
    memcpy(values.data(), to, count * sizeof(T));
    return values;
  }

  // A call as CUB has them: with null it answers how many bytes it needs, with storage it works.
  template <class Call>
  void WithStorage(Call call) {
    size_t bytes = 0;
    OK(call(nullptr, bytes));
    OK(call(Allocate<char>(bytes), bytes));
  }

  cudaStream_t stream;

 private:
  void* Pinned(size_t bytes) {
    void* address;
    OK(cudaMallocHost(&address, bytes));
    pinned_.push_back(address);
    return address;
  }

  std::vector<void*> device_, pinned_;
};
