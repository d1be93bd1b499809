// An arena of two pieces, declared through NVTX: case NAME, or NAME_right.
#include <nvtx3/nvToolsExtMem.h>

#include "case.h"

__global__ void Fill(float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = 1;
}

namespace {

constexpr size_t kPiece = 4000, kStart = 4096;  // bytes of a piece; where the second begins

struct Arena {
  char* begin;
  nvtxDomainHandle_t domain = nvtxDomainCreateA("regions");

  Arena() {
    OK(cudaMalloc(reinterpret_cast<void**>(&begin), 2 * kStart));
    const nvtxMemVirtualRangeDesc_t all = {2 * kStart, begin};
    nvtxMemHeapDesc_t heap = {};
    heap.extCompatID = NVTX_EXT_COMPATID_MEM;
    heap.structSize = sizeof heap;
    heap.usage = NVTX_MEM_HEAP_USAGE_TYPE_SUB_ALLOCATOR;
    heap.type = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
    heap.typeSpecificDescSize = sizeof all;
    heap.typeSpecificDesc = &all;
    const nvtxMemVirtualRangeDesc_t pieces[2] = {{kPiece, begin}, {kPiece, begin + kStart}};
    nvtxMemRegionsRegisterBatch_t regions = {};
    regions.extCompatID = NVTX_EXT_COMPATID_MEM;
    regions.structSize = sizeof regions;
    regions.regionType = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
    regions.heap = nvtxMemHeapRegister(domain, &heap);
    regions.regionCount = 2;
    regions.regionDescElementSize = sizeof pieces[0];
    regions.regionDescElements = pieces;
    nvtxMemRegionsRegister(domain, &regions);
    nvtxMemRegionNameDesc_t name = {};
    name.regionRefType = NVTX_MEM_REGION_REF_TYPE_POINTER;
    name.nameType = NVTX_MESSAGE_TYPE_ASCII;
    name.region.pointer = begin;
    name.name.ascii = "weights";
    nvtxMemRegionsNameBatch_t names = {};
    names.extCompatID = NVTX_EXT_COMPATID_MEM;
    names.structSize = sizeof names;
    names.regionCount = 1;
    names.regionElementSize = sizeof name;
    names.regionElements = &name;
    nvtxMemRegionsName(domain, &names);
  }
};

// One float beyond the first piece: inside of the allocation, of which nothing but the declaration tells.
void Kernel(int floats) {
  const Arena arena;
  Fill<<<8, 128>>>(reinterpret_cast<float*>(arena.begin), floats);
  OK(cudaDeviceSynchronize());
}
void KernelWrong() { Kernel(kPiece / 4 + 1); }
void KernelRight() { Kernel(kPiece / 4); }

void Copy(size_t bytes) {
  const Arena arena;
  const char zeros[2 * kStart] = {};
  OK(cudaMemcpy(arena.begin, zeros, bytes, cudaMemcpyHostToDevice));
}
void CopyWrong() { Copy(kPiece + 1); }
void CopyRight() { Copy(kPiece); }

// The first piece ends elsewhere: what it lost is nobody's, what it gained is its own.
void Resize(size_t bytes, int floats) {
  const Arena arena;
  const nvtxMemVirtualRangeDesc_t piece = {bytes, arena.begin};
  nvtxMemRegionsResizeBatch_t batch = {};
  batch.extCompatID = NVTX_EXT_COMPATID_MEM;
  batch.structSize = sizeof batch;
  batch.regionType = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
  batch.regionDescCount = 1;
  batch.regionDescElementSize = sizeof piece;
  batch.regionDescElements = &piece;
  nvtxMemRegionsResize(arena.domain, &batch);
  Fill<<<8, 128>>>(reinterpret_cast<float*>(arena.begin), floats);
  OK(cudaDeviceSynchronize());
}
void ShrinkWrong() { Resize(2000, 501); }
void ShrinkRight() { Resize(2000, 500); }
void GrowRight() { Resize(4080, 1020); }

// The first piece is given back.
void Unregister(int floats, bool second) {
  const Arena arena;
  nvtxMemRegionRef_t piece;
  piece.pointer = arena.begin;
  nvtxMemRegionsUnregisterBatch_t batch = {};
  batch.extCompatID = NVTX_EXT_COMPATID_MEM;
  batch.structSize = sizeof batch;
  batch.refType = NVTX_MEM_REGION_REF_TYPE_POINTER;
  batch.refCount = 1;
  batch.refElementSize = sizeof piece;
  batch.refElements = &piece;
  nvtxMemRegionsUnregister(arena.domain, &batch);
  Fill<<<8, 128>>>(reinterpret_cast<float*>(arena.begin + (second ? kStart : 0)), floats);
  OK(cudaDeviceSynchronize());
}
void UnregisterWrong() { Unregister(1, false); }
void UnregisterRight() { Unregister(kPiece / 4, true); }

constexpr Case kCases[] = {{"kernel", KernelWrong}, {"kernel_right", KernelRight}, {"copy", CopyWrong}, {"copy_right", CopyRight},
                           {"shrink", ShrinkWrong}, {"shrink_right", ShrinkRight}, {"grow_right", GrowRight},
                           {"unregister", UnregisterWrong}, {"unregister_right", UnregisterRight}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof kCases[0], argc, argv); }
