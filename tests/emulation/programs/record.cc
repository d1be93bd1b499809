// Runs the workloads of tests/emulation/kernels on whatever card libcudart has, and stores what every kernel computes:
// once on a card, once on the emulated one, and kernels/compare.py tells the difference. Links libcudart the ordinary
// way; which one it meets is LD_LIBRARY_PATH's matter.
//
//     record FOLDER [KERNEL=OTHER…]    OTHER of this program in the place of KERNEL: planted bugs, to see them found
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tests/emulation/kernels/workloads.h"
#include "tests/emulation/programs/case.h"

namespace {

using emulation::Closeness;
using emulation::Dim;
using emulation::Inputs;
using emulation::Packed;

constexpr Inputs kInputs[] = {{1, 0}, {1, 1}, {3, 2}};

// NOLINTNEXTLINE(performance-no-int-to-ptr): the workloads know addresses, libcudart pointers
void* Pointer(uint64_t address) { return reinterpret_cast<void*>(address); }

class Card : public emulation::KernelDevice {
 public:
  explicit Card(std::string folder) : folder_(std::move(folder)), outputs_(folder_ + "/outputs.tsv") {
    outputs_ << "workload\toutput\ttype\trelative\tabsolute\tfile\n";
    OK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  ~Card() override { cudaStreamDestroy(stream_); }
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

  // What is stored from now on belongs to this workload.
  void Begin(const std::string& workload) {
    for (void* address : allocated_) OK(cudaFree(address));
    allocated_.clear();
    workload_ = workload;
    output_ = 0;
  }

  uint64_t Allocate(uint64_t bytes) override {
    void* address;
    OK(cudaMalloc(&address, bytes));
    allocated_.push_back(address);
    return reinterpret_cast<uint64_t>(address);
  }

  void Run(const std::string& kernel, Dim grid, Dim block, const Packed& arguments, uint32_t dynamic_shared) override {
    const void* stub = dlsym(RTLD_DEFAULT, kernel.c_str());
    if (stub == nullptr) {
      printf("no kernel %s\n", kernel.c_str());
      exit(2);
    }
    std::vector<void*> values;
    for (const size_t offset : arguments.offsets)
      values.push_back(const_cast<uint8_t*>(arguments.block.data()) + offset);
    OK(cudaLaunchKernel(stub, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, values.data(), dynamic_shared,
                        stream_));
  }

 protected:
  // Copies are of pageable memory, which a stream waits for.
  void Write(uint64_t to, const void* from, size_t bytes) override {
    OK(cudaMemcpyAsync(Pointer(to), from, bytes, cudaMemcpyHostToDevice, stream_));
    OK(cudaStreamSynchronize(stream_));
  }
  void Read(uint64_t from, void* to, size_t bytes, const char* type, Closeness closeness) override {
    OK(cudaMemcpyAsync(to, Pointer(from), bytes, cudaMemcpyDeviceToHost, stream_));
    OK(cudaStreamSynchronize(stream_));
    const std::string file = workload_ + "." + std::to_string(output_) + ".bin";
    std::ofstream(folder_ + "/" + file, std::ios::binary)
        .write(static_cast<const char*>(to), static_cast<std::streamsize>(bytes));
    outputs_ << workload_ << '\t' << output_++ << '\t' << type << '\t' << closeness.relative << '\t'
             << closeness.absolute << '\t' << file << '\n';
  }

 private:
  std::string folder_, workload_;
  std::ofstream outputs_;
  int output_ = 0;
  cudaStream_t stream_;
  std::vector<void*> allocated_;
};

void DescribeCard(const std::string& folder) {
  cudaDeviceProp properties;
  int driver = 0, runtime = 0;
  OK(cudaGetDeviceProperties(&properties, 0));
  OK(cudaDriverGetVersion(&driver));
  OK(cudaRuntimeGetVersion(&runtime));
  std::ofstream(folder + "/card.txt") << properties.name << ", capability " << properties.major << "."
                                      << properties.minor << ", driver " << driver << ", runtime " << runtime << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    printf("record FOLDER [KERNEL=OTHER…]\n");
    return 2;
  }
  const std::string folder = argv[1];
  std::map<std::string, std::string> instead;
  for (int k = 2; k < argc; k++) {
    const std::string word = argv[k];
    instead[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
  }
  std::filesystem::create_directories(folder);
  DescribeCard(folder);
  Card card(folder);
  for (const emulation::Workload& workload : emulation::Workloads()) {
    for (const Inputs inputs : kInputs) {
      const std::string kernel = workload.kernel;
      card.Begin(kernel + "-size" + std::to_string(inputs.size) + "-seed" + std::to_string(inputs.seed));
      const double error = workload.run(card, instead.count(kernel) ? instead[kernel] : kernel, inputs);
      printf("%-16s size %d seed %d: %.2g from the reference\n", workload.kernel, inputs.size, inputs.seed, error);
    }
  }
  return 0;
}
