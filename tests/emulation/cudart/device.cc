#include "tests/emulation/cudart/device.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <sstream>

#include "tests/emulation/machine/fault.h"
#include "tests/emulation/ptx/error.h"

namespace emulation {
namespace {

constexpr uint64_t kAlignment = 512;          // of what cudaMalloc hands out
constexpr uint64_t kModuleGranule = 2 << 20;  // code is loaded into pages of 2 MiB
constexpr uint64_t kCodeBytes = 16;           // of an instruction
constexpr uint64_t kThreadsPerMultiprocessor = 2048;

uint64_t RoundUp(uint64_t bytes, uint64_t granule) { return (bytes + granule - 1) / granule * granule; }

std::string StateFile(const Settings& settings, int number) {
  return settings.state.empty() ? "" : settings.state + "/" + settings.name + "." + std::to_string(number);
}

cudaError_t ErrorOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kOutOfBounds:
      return cudaErrorIllegalAddress;
    case FaultKind::kMisaligned:
      return cudaErrorMisalignedAddress;
    case FaultKind::kAssert:
      return cudaErrorAssert;
    case FaultKind::kStack:
      return cudaErrorHardwareStackError;
    case FaultKind::kNoEnd:
      return cudaErrorLaunchTimeout;
    default:
      return cudaErrorLaunchFailure;
  }
}

// As the driver numbers them in its log and through NVML.
uint32_t XidOf(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
      return 31;
    case cudaErrorECCUncorrectable:
      return 48;
    case cudaErrorDevicesUnavailable:
      return 79;
    default:
      return 13;
  }
}

// Of name and number, so that processes that name the same device see one card.
std::string UuidOf(const Settings& settings, int number) {
  const size_t hash = std::hash<std::string>()(settings.name + "." + std::to_string(number));
  char text[17];
  snprintf(text, sizeof text, "%016zx", hash);
  return text;
}

// An entry of CUDA_VISIBLE_DEVICES: a number, or "GPU-" and the beginning of a UUID. -1: no such card.
int NumberOf(const Settings& settings, const std::string& entry) {
  for (int number = 0; number < settings.count; number++) {
    if (entry == std::to_string(number)) return number;
    std::string uuid = "GPU-";
    for (const unsigned char byte : UuidOf(settings, number)) {
      char digits[3];
      snprintf(digits, sizeof digits, "%02x", byte);
      uuid += digits;
      if (uuid.size() == 12 || uuid.size() == 17 || uuid.size() == 22 || uuid.size() == 27) uuid += '-';
    }
    if (entry.size() > 4 && uuid.starts_with(entry)) return number;
  }
  return -1;
}

thread_local int current_device = 0;

}  // namespace

Device::Device(int number, const Settings& settings)
    // Twice the addresses: freed gaps do not make an allocation fail that the bytes would allow.
    : number_(number),
      settings_(settings),
      memory_(2 * settings.memory + (1 << 20)),
      account_(StateFile(settings, number), settings.memory, settings.others) {}

Device::~Device() = default;

cudaError_t Device::UseContext() {
  const std::lock_guard lock(mutex_);
  if (context_) return cudaSuccess;
  if (!account_.Take(settings_.context)) return cudaErrorMemoryAllocation;
  context_ = true;
  return cudaSuccess;
}

cudaError_t Device::Malloc(uint64_t bytes, uint64_t* address) {
  const std::lock_guard lock(mutex_);
  if (settings_.faults.Hits("malloc", ++mallocs_)) return cudaErrorMemoryAllocation;
  const uint64_t charge = RoundUp(bytes, settings_.granule);
  if (!account_.Take(charge)) return cudaErrorMemoryAllocation;
  *address = memory_.Allocate(bytes, kAlignment);
  if (*address == 0) {
    account_.GiveBack(charge);
    return cudaErrorMemoryAllocation;
  }
  charged_[*address] = charge;
  return cudaSuccess;
}

cudaError_t Device::Free(uint64_t address) {
  const std::lock_guard lock(mutex_);
  const auto it = charged_.find(address);
  if (it == charged_.end()) return cudaErrorInvalidValue;
  memory_.Free(address);
  account_.GiveBack(it->second);
  charged_.erase(it);
  return cudaSuccess;
}

const Program* Device::Load(const FatBinary& binary, cudaError_t* error) {
  const std::lock_guard lock(mutex_);
  Module& module = modules_[&binary];
  if (module.program) return module.program.get();
  const ptx::Module* source = binary.ModuleFor(settings_.capability);
  if (source == nullptr) {
    *error = cudaErrorNoKernelImageForDevice;
    return nullptr;
  }
  try {
    auto program = LoadProgram(*source, memory_);
    uint64_t bytes = program->code.size() * kCodeBytes;
    for (const auto& [name, variable] : program->variables) bytes += variable.bytes;
    module.bytes = RoundUp(bytes + settings_.module, kModuleGranule);
    if (!account_.Take(module.bytes)) {
      *error = cudaErrorMemoryAllocation;
      return nullptr;
    }
    module.hits.resize(program->code.size());
    module.program = std::move(program);
    return module.program.get();
  } catch (const ptx::Error& problem) {
    fprintf(stderr, "emulated GPU: %s\n", problem.what());
    *error = cudaErrorInvalidPtx;
  } catch (const Fault& fault) {
    *error = cudaErrorMemoryAllocation;
  }
  return nullptr;
}

cudaError_t Device::ReserveLocalMemory(const Program& program, const Function& kernel) {
  const std::lock_guard lock(mutex_);
  uint64_t a_thread = kernel.local_bytes;
  if (!program.calls.empty()) {
    for (const Function& function : program.functions) a_thread += function.entry ? 0 : function.local_bytes;
  }
  const uint64_t bytes = RoundUp(a_thread * kThreadsPerMultiprocessor * settings_.multiprocessors, kModuleGranule);
  if (bytes <= local_memory_) return cudaSuccess;
  if (!account_.Take(bytes - local_memory_)) return cudaErrorMemoryAllocation;
  local_memory_ = bytes;
  return cudaSuccess;
}

void Device::Break(cudaError_t error, const std::string& why) {
  fprintf(stderr, "emulated GPU %d: %s\n", number_, why.c_str());
  fflush(stderr);
  cudaError_t none = cudaSuccess;
  if (error_.compare_exchange_strong(none, error)) account_.Report(XidOf(error));
}

std::vector<uint64_t>* Device::HitsOf(const Program& program) {
  const std::lock_guard lock(mutex_);
  for (auto& [binary, module] : modules_) {
    if (module.program.get() == &program) return &module.hits;
  }
  return nullptr;
}

void Device::Execute(const Program& program, const Function& kernel, const LaunchArguments& arguments) {
  const std::lock_guard lock(executing_);
  const uint64_t number = ++launches_;
  if (settings_.faults.Hits("launch", number))
    return Break(cudaErrorLaunchFailure,
                 "launch " + std::to_string(number) + " of " + kernel.name + " fails on demand");
  if (settings_.faults.Hits("ecc", number))
    return Break(cudaErrorECCUncorrectable, "uncorrectable ECC error on demand");
  if (settings_.faults.Hits("xid", number))
    return Break(cudaErrorDevicesUnavailable, "the card has fallen off its bus on demand");
  if (settings_.faults.Hits("grow", number) && !account_.Take(settings_.growth))
    return Break(cudaErrorMemoryAllocation, "there are no bytes left for a growth on demand");
  Options options;
  options.checked = settings_.checked;
  options.split_warps = settings_.split_warps;
  options.seed = settings_.seed == 0 ? 0 : settings_.seed + number;
  options.count = !settings_.counters.empty();
  if (!settings_.coverage.empty() || !settings_.instructions.empty()) options.hits = HitsOf(program);
  try {
    counters_[kernel.name] += Launch(program, kernel, arguments, memory_, options);
  } catch (const Fault& fault) {
    Break(ErrorOf(fault.kind), fault.what());
  }
}

std::string Device::Uuid() const { return UuidOf(settings_, number_); }

void Device::WriteCounters(FILE* to) {
  const std::lock_guard lock(executing_);
  for (const auto& [kernel, c] : counters_) {
    fprintf(to,
            "{\"device\": %d, \"kernel\": \"%s\", \"launches\": %zu, \"warp_instructions\": %zu, \"global_requests\": "
            "%zu, \"global_sectors\": %zu, "
            "\"global_ideal_sectors\": %zu, \"shared_requests\": %zu, \"shared_waves\": %zu, \"matrix_requests\": %zu, "
            "\"matrix_waves\": %zu}\n",
            number_, kernel.c_str(), c.launches, c.warp_instructions, c.global_requests, c.global_sectors,
            c.global_ideal_sectors, c.shared_requests, c.shared_waves, c.matrix_requests, c.matrix_waves);
  }
}

void Device::WriteCoverage(FILE* to) {
  const std::lock_guard lock(executing_);
  for (const auto& [binary, module] : modules_) {
    if (!module.program) continue;
    std::map<int, std::map<int, uint64_t>> lines;
    for (size_t k = 0; k < module.hits.size(); k++) {
      const Place& place = module.program->places[k];
      if (place.source.line > 0) lines[place.source.file][place.source.line] += module.hits[k];
    }
    for (const auto& [file, counts] : lines) {
      const auto name = module.program->files.find(file);
      if (name == module.program->files.end()) continue;
      fprintf(to, "SF:%s\n", name->second.c_str());
      for (const auto& [line, count] : counts) fprintf(to, "DA:%d,%zu\n", line, count);
      fprintf(to, "end_of_record\n");
    }
  }
}

// One JSON line a function; missed: [number in the function, source file, line, opcode].
void Device::WriteInstructions(FILE* to) {
  const std::lock_guard lock(executing_);
  for (const auto& [binary, module] : modules_) {
    if (!module.program) continue;
    const Program& program = *module.program;
    struct Report {
      size_t instructions = 0;
      std::string missed;
    };
    std::vector<Report> reports(program.functions.size());
    for (size_t k = 0; k < module.hits.size(); k++) {
      const Place& place = program.places[k];
      Report& report = reports[static_cast<size_t>(place.function)];
      const size_t number = report.instructions++;
      if (module.hits[k] > 0) continue;
      const auto file = program.files.find(place.source.file);
      if (!report.missed.empty()) report.missed += ", ";
      report.missed += "[" + std::to_string(number) + ", \"" + (file == program.files.end() ? "" : file->second) +
                       "\", " + std::to_string(place.source.line) + ", \"" + place.text + "\"]";
    }
    for (size_t f = 0; f < reports.size(); f++) {
      if (reports[f].instructions == 0) continue;
      fprintf(to, "{\"function\": \"%s\", \"instructions\": %zu, \"missed\": [%s]}\n",
              program.functions[f].name.c_str(), reports[f].instructions, reports[f].missed.c_str());
    }
  }
}

std::vector<std::unique_ptr<Device>>& Devices() {
  // Never destroyed: other libraries' exit handlers may still call.
  static auto* const kDevices = [] {
    auto* devices = new std::vector<std::unique_ptr<Device>>();
    for (int number = 0; number < GetSettings().count; number++)
      devices->push_back(std::make_unique<Device>(number, GetSettings()));
    atexit([] {
      const Settings& settings = GetSettings();
      const auto write = [](const std::string& path, void (Device::*report)(FILE*)) {
        FILE* const file = path.empty() ? nullptr : fopen(path.c_str(), "w");
        if (file == nullptr) return;
        for (const auto& device : Devices()) (device.get()->*report)(file);
        fclose(file);
      };
      write(settings.counters, &Device::WriteCounters);
      write(settings.coverage, &Device::WriteCoverage);
      write(settings.instructions, &Device::WriteInstructions);
    });
    return devices;
  }();
  return *kDevices;
}

const std::vector<int>& VisibleNumbers() {
  static const auto* const kVisible = [] {
    const Settings& settings = GetSettings();
    auto* visible = new std::vector<int>();
    if (!settings.visible) {
      for (int number = 0; number < settings.count; number++) visible->push_back(number);
      return visible;
    }
    // As the driver reads it: the first entry that names no card, or one again, ends the list.
    std::stringstream list(*settings.visible);
    for (std::string entry; std::getline(list, entry, ',');) {
      const int number = NumberOf(settings, entry);
      if (number < 0 || std::find(visible->begin(), visible->end(), number) != visible->end()) break;
      visible->push_back(number);
    }
    return visible;
  }();
  return *kVisible;
}

Device* VisibleDevice(int device) {
  const std::vector<int>& visible = VisibleNumbers();
  if (device < 0 || device >= static_cast<int>(visible.size())) return nullptr;
  return Devices()[visible[device]].get();
}

int ProgramNumberOf(const Device& device) {
  const std::vector<int>& visible = VisibleNumbers();
  const auto it = std::find(visible.begin(), visible.end(), device.number());
  return it == visible.end() ? -1 : static_cast<int>(it - visible.begin());
}

Device* OwnerOf(const void* address) {
  for (const auto& device : Devices()) {
    if (device->memory().Contains(reinterpret_cast<uint64_t>(address))) return device.get();
  }
  return nullptr;
}

// Where nothing is visible no call gets beyond Enter(), which asks.
Device& CurrentDevice() {
  Device* device = VisibleDevice(current_device);
  return device != nullptr ? *device : *Devices()[0];
}
void SetCurrentDevice(int number) { current_device = number; }
int CurrentDeviceNumber() { return current_device; }

}  // namespace emulation
