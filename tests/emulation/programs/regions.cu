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

  Arena() {
    OK(cudaMalloc(reinterpret_cast<void**>(&begin), 2 * kStart));
    const nvtxDomainHandle_t domain = nvtxDomainCreateA("regions");
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

constexpr Case kCases[] = {{"kernel", KernelWrong}, {"kernel_right", KernelRight}, {"copy", CopyWrong}, {"copy_right", CopyRight}};

}  // namespace

int main(int argc, char** argv) { return RunCase(kCases, sizeof kCases / sizeof kCases[0], argc, argv); }
