// The tool that NVTX looks for when NVTX_INJECTION64_PATH names this library: pieces of one allocation that a program
// declares by NVTX's memory extension become regions of their own, as compute-sanitizer takes them.
#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtMem.h>

#include <cstdio>

#include "tests/emulation/cudart/device.h"

namespace {

using emulation::Device;
using emulation::DeviceMemory;

uint64_t Address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

void Complain(const char* call, const void* pointer) {
  fprintf(stderr, "emulated GPU: %s: %p is no device memory that is known there\n", call, pointer);
}

// A handle is the address itself.
nvtxMemHeapHandle_t RegisterHeap(nvtxDomainHandle_t, const nvtxMemHeapDesc_t* heap) {
  if (heap->type != NVTX_MEM_TYPE_VIRTUAL_ADDRESS) return nullptr;
  const void* begin = static_cast<const nvtxMemVirtualRangeDesc_t*>(heap->typeSpecificDesc)->ptr;
  Device* device = emulation::OwnerOf(begin);
  if (device == nullptr || !device->memory().DeclareHeap(Address(begin))) {
    Complain("nvtxMemHeapRegister", begin);
    return nullptr;
  }
  return static_cast<nvtxMemHeapHandle_t>(const_cast<void*>(begin));
}

void ResetHeap(nvtxDomainHandle_t, nvtxMemHeapHandle_t heap) {
  if (Device* device = emulation::OwnerOf(heap); device != nullptr) device->memory().DeclareHeap(Address(heap));
}

void RegisterRegions(nvtxDomainHandle_t, const nvtxMemRegionsRegisterBatch_t* batch) {
  if (batch->regionType != NVTX_MEM_TYPE_VIRTUAL_ADDRESS) return;
  const auto* element = static_cast<const char*>(batch->regionDescElements);
  for (size_t k = 0; k < batch->regionCount; k++, element += batch->regionDescElementSize) {
    const auto* range = reinterpret_cast<const nvtxMemVirtualRangeDesc_t*>(element);
    Device* device = emulation::OwnerOf(range->ptr);
    const bool known = device != nullptr && device->memory().DeclareRegion(Address(range->ptr), range->size, "");
    if (!known) Complain("nvtxMemRegionsRegister", range->ptr);
    if (batch->regionHandleElementsOut != nullptr) {
      batch->regionHandleElementsOut[k] =
          static_cast<nvtxMemRegionHandle_t>(known ? const_cast<void*>(range->ptr) : nullptr);
    }
  }
}

// From the same beginning on, to another end.
void ResizeRegions(nvtxDomainHandle_t, const nvtxMemRegionsResizeBatch_t* batch) {
  if (batch->regionType != NVTX_MEM_TYPE_VIRTUAL_ADDRESS) return;
  const auto* element = static_cast<const char*>(batch->regionDescElements);
  for (size_t k = 0; k < batch->regionDescCount; k++, element += batch->regionDescElementSize) {
    const auto* range = reinterpret_cast<const nvtxMemVirtualRangeDesc_t*>(element);
    Device* device = emulation::OwnerOf(range->ptr);
    if (device == nullptr || !device->memory().ResizeRegion(Address(range->ptr), range->size))
      Complain("nvtxMemRegionsResize", range->ptr);
  }
}

// Of a region by address or handle; both are the same here.
void NameRegions(nvtxDomainHandle_t, const nvtxMemRegionsNameBatch_t* batch) {
  for (size_t k = 0; k < batch->regionCount; k++) {
    const nvtxMemRegionNameDesc_t& name = batch->regionElements[k];
    Device* device = emulation::OwnerOf(name.region.pointer);
    if (device == nullptr || name.nameType != NVTX_MESSAGE_TYPE_ASCII) continue;
    DeviceMemory::Range range;
    {
      const auto lock = device->memory().Lock();
      range = device->memory().RangeAt(Address(name.region.pointer));
    }
    if (range.begin == Address(name.region.pointer))
      device->memory().DeclareRegion(range.begin, range.bytes, name.name.ascii);
  }
}

void UnregisterRegions(nvtxDomainHandle_t, const nvtxMemRegionsUnregisterBatch_t* batch) {
  for (size_t k = 0; k < batch->refCount; k++) {
    const void* region = batch->refElements[k].pointer;
    Device* device = emulation::OwnerOf(region);
    if (device == nullptr || !device->memory().ForgetRegion(Address(region)))
      Complain("nvtxMemRegionsUnregister", region);
  }
}

}  // namespace

// NVTX's header hides symbols, and looks for these two.
extern "C" {

__attribute__((visibility("default"))) int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t) { return 1; }

__attribute__((visibility("default"))) int InitializeInjectionNvtxExtension(nvtxExtModuleInfo_t* module) {
  if (module->moduleId != NVTX_EXT_MODULEID_MEM) return 0;
  for (size_t k = 0; k < module->segmentsCount; k++) {
    const nvtxExtModuleSegment_t& segment = module->segments[k];
    if (segment.slotCount <= NVTX3EXT_CBID_nvtxMemRegionsName) continue;
    segment.functionSlots[NVTX3EXT_CBID_nvtxMemHeapRegister] = reinterpret_cast<intptr_t>(RegisterHeap);
    segment.functionSlots[NVTX3EXT_CBID_nvtxMemHeapReset] = reinterpret_cast<intptr_t>(ResetHeap);
    segment.functionSlots[NVTX3EXT_CBID_nvtxMemRegionsRegister] = reinterpret_cast<intptr_t>(RegisterRegions);
    segment.functionSlots[NVTX3EXT_CBID_nvtxMemRegionsResize] = reinterpret_cast<intptr_t>(ResizeRegions);
    segment.functionSlots[NVTX3EXT_CBID_nvtxMemRegionsName] = reinterpret_cast<intptr_t>(NameRegions);
    segment.functionSlots[NVTX3EXT_CBID_nvtxMemRegionsUnregister] = reinterpret_cast<intptr_t>(UnregisterRegions);
  }
  return 1;
}

}  // extern "C"
