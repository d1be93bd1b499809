// What the environment says of the emulated devices: EMULATED_GPU_… (README.md lists them).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace emulation {

// When an operation of a stream happens.
enum class StreamOrder {
  kEager,   // at once
  kLate,    // when something demands it
  kSeeded,  // a random number of operations after each call
};

// EMULATED_GPU_FAULTS: "malloc:3,launch:5": the third allocation fails, the fifth launch leaves a sticky error. Kinds:
// malloc, hostalloc, launch, ecc (an uncorrectable error at that launch), xid (the driver's word that the card fell
// off its bus) and grow (something takes Settings::growth at that launch and keeps it).
struct Faults {
  std::map<std::string, std::vector<uint64_t>> numbers;
  bool Hits(const std::string& what, uint64_t count) const;
};

struct Settings {
  int count = 1;                      // EMULATED_GPU_COUNT
  uint64_t memory = 8ull << 30;       // EMULATED_GPU_MEMORY, bytes or with KiB, MiB, GiB
  int capability = 80;                // EMULATED_GPU_CAPABILITY, "8.0"
  int multiprocessors = 108;          // EMULATED_GPU_SMS
  int driver = 0;                     // EMULATED_GPU_DRIVER, 12040: the newest CUDA that it knows; 0: this one
  std::string name = "Emulated GPU";  // EMULATED_GPU_NAME: devices of one name and number are one card
  std::string state;                // EMULATED_GPU_STATE: folder in which processes meet; empty: this process is alone
  uint64_t context = 400ull << 20;  // EMULATED_GPU_CONTEXT: what a process takes before it asks for anything
  uint64_t module = 0;              // EMULATED_GPU_MODULE: what a loaded module takes beside its code and variables
  uint64_t granule = 512;           // EMULATED_GPU_GRANULE: cudaMalloc takes multiples of it
  uint64_t growth = 8ull << 20;     // EMULATED_GPU_GROWTH: of the fault "grow"
  uint64_t graph = 64ull << 10;     // EMULATED_GPU_GRAPH: an instantiated graph, and as much for each 16 of its nodes
  uint64_t others = 0;              // EMULATED_GPU_OTHERS: what processes hold that nothing is known of
  uint64_t slow = 0;                // EMULATED_GPU_SLOW: milliseconds that each operation of a stream takes at least
  StreamOrder streams = StreamOrder::kEager;  // EMULATED_GPU_STREAMS: eager, late, seeded
  uint64_t seed = 0;                          // EMULATED_GPU_SEED: of streams, blocks and warps
  bool checked = true;       // EMULATED_GPU_CHECKS: 0 turns races, never-written reads and pending copies off
  bool split_warps = false;  // EMULATED_GPU_SPLIT_WARPS
  std::string coverage;      // EMULATED_GPU_COVERAGE: file to which executed source lines are written in lcov's format
  std::string instructions;  // EMULATED_GPU_INSTRUCTIONS: file for what of each function was never executed
  std::string counters;      // EMULATED_GPU_COUNTERS: file for the counters of each kernel
  bool lazy_modules = true;  // CUDA_MODULE_LOADING=EAGER turns it off
  Faults faults;             // EMULATED_GPU_FAULTS
  std::optional<std::string> visible;  // CUDA_VISIBLE_DEVICES; set and empty: no device
};

// Read once. Ends the process with a message when a value cannot be understood: a test must not run with settings that
// it did not ask for.
const Settings& GetSettings();

// Bytes in a variable of another library of this folder, written as those above; `standard` where it is not set.
uint64_t BytesSetting(const char* name, uint64_t standard);

// The same from any source of variables, for tests. Throws std::invalid_argument.
Settings ReadSettings(const char* (*variable)(const char* name));

}  // namespace emulation
