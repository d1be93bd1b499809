// What each source of this folder adds to the table of its instruction set.
#pragma once

#include "runtime/cpu/kernels.h"

namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE {

void FillRows(Kernels* kernels);      // rows.cc
void FillProducts(Kernels* kernels);  // products.cc
void FillGemv(Kernels* kernels);      // gemv.cc

}  // namespace headroom::runtime::cpu::HEADROOM_ISA_NAMESPACE
