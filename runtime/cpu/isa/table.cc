#include "runtime/cpu/isa/fill.h"

namespace headroom::runtime::cpu {

const Kernels* HEADROOM_ISA_TABLE() {
  static const Kernels kernels = [] {
    Kernels k = {};
    HEADROOM_ISA_NAMESPACE::FillRows(&k);
    HEADROOM_ISA_NAMESPACE::FillProducts(&k);
    HEADROOM_ISA_NAMESPACE::FillGemv(&k);
    return k;
  }();
  return &kernels;
}

}  // namespace headroom::runtime::cpu
