#!/usr/bin/env python3
"""Plants bugs: plant.py KERNELS OUTPUT (folders) writes NAME_planted.cu, which holds one copy of the kernel for each bug, under names of
their own, and planted.tsv, which says what must find each. One file a kernel, because most of nvcc's time is the headers'."""

import pathlib
import re
import sys

# file, kernel, [(what the bug is, what must find it, text, its replacement)]
BUGS = [
    ("row_norm", "RowNorm", [
        ("barrier missing after the partial sums", "never written", "  __syncthreads();\n  value = lane", "  value = lane"),
        ("all 32 partial sums read, 8 written", "never written", "lane < warps ? partial[lane] : 0.0f", "partial[lane]"),
        ("barrier inside a branch", "divergence", "  if (lane == 0) partial[warp] = value;\n  __syncthreads();",
         "  if (lane == 0) {\n    partial[warp] = value;\n    __syncthreads();\n  }\n  __syncthreads();"),
        ("shuffle by half of the warp", "divergence", "  value = WarpSum(value);\n  if (lane == 0)", "  if (lane < 16) value = WarpSum(value);\n  if (lane == 0)"),
        ("row runs one step too far", "out of bounds", "i < eighths; i += blockDim.x) {\n    const uint4 v = row[i], g", "i <= eighths; i += blockDim.x) {\n    const uint4 v = row[i], g"),
        ("row stride too large", "out of bounds", "x + static_cast<size_t>(blockIdx.x) * eighths;", "x + static_cast<size_t>(blockIdx.x) * (eighths + 1);"),
        ("every block writes row 0", "race", "y[static_cast<size_t>(blockIdx.x) * eighths + i]", "y[i]"),
        ("eps lost", "numbers", " / hidden + eps)", " / hidden)"),
        ("mean over the block's threads", "numbers", "/ hidden + eps", "/ blockDim.x + eps"),
    ]),
    ("paged_attention", "PagedAttention", [
        ("barrier missing before the softmax", "never written", "  __syncthreads();\n  for (int g = warp; g < group; g += 4) {", "  for (int g = warp; g < group; g += 4) {"),
        ("barrier missing before the product", "race", "  __syncthreads();\n  for (int i = threadIdx.x; i < group * kHeadDim", "  for (int i = threadIdx.x; i < group * kHeadDim"),
        ("one key too many", "out of bounds", "t < length; t++) {\n      const int block", "t <= length; t++) {\n      const int block"),
        ("table of the next sequence", "out of bounds", "table[sequence * blocks_max + t / block_size];\n    const __nv_bfloat16* key", "table[(sequence + 1) * blocks_max + t / block_size];\n    const __nv_bfloat16* key"),
        ("scores one float further", "out of bounds", "scores[g * length + t] = s * scale", "scores[g * length + t + 1] = s * scale"),
        ("scale lost", "numbers", "s * scale;", "s;"),
        ("stale maximum: not reduced over the warp", "numbers", "    most = WarpMax(most);\n", ""),
        ("output of the neighbouring head", "numbers", "kv_head * group + g) * kHeadDim + d]", "kv_head * group + g / 2) * kHeadDim + d]"),
    ]),
    ("flash_attention", "FlashAttention", [
        ("no wait for the last copies", "cp.async pending", "      WaitGroup<0>();", ""),
        ("wait one group short", "cp.async pending", "WaitGroup<1>();", "WaitGroup<2>();"),
        ("barrier missing after the wait", "race", "    __syncthreads();\n    if (t == 0) {", "    if (t == 0) {"),
        ("barrier missing at the end of a tile", "race", "    __syncthreads();\n  }\n#pragma unroll\n  for (int h = 0; h < 2; h++) {\n    total", "  }\n#pragma unroll\n  for (int h = 0; h < 2; h++) {\n    total"),
        ("copies from beyond the last key", "out of bounds", "const bool valid = first + row < rows;", "const bool valid = first + row <= rows;"),
        ("rows of shared memory misaligned", "misaligned", "kStride = kHeadDim + 8", "kStride = kHeadDim + 4"),
        ("rows beyond the end are stored", "out of bounds", "    if (row >= rows) continue;\n", ""),
        ("causal mask off by one", "numbers", "key > row + shift", "key >= row + shift"),
        ("keys beyond the end not masked", "numbers", "key >= keys || ", ""),
        ("old sums not faded", "numbers", "sum[j][e] *= fade[e / 2];", "sum[j][e] *= 1.0f;"),
        ("second tile overwrites the first", "cp.async pending", "LoadRows<kTile>(key_tiles[stage ^ 1]", "LoadRows<kTile>(key_tiles[stage]"),
    ]),
    ("features", "SumByLastBlock", [
        ("no fence between the part and the count", "race", "    __threadfence();\n    last =", "    last ="),
        ("no fence after the count", "race", "gridDim.x - 1;\n    __threadfence();", "gridDim.x - 1;"),
        ("sum in shared memory not set to zero", "never written", "  if (threadIdx.x == 0) sum = 0;\n", ""),
        ("sum without an atomic", "race", "atomicAdd(&sum, x[i])", "sum += x[i]"),
        ("count not set back", "numbers", "  finished_blocks = 0;\n", ""),
    ]),
    ("features", "Histogram", [
        ("barrier missing after the counting", "race", "  __syncthreads();\n  for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&counts", "  for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&counts"),
        ("counts of the blocks added without an atomic", "race", "atomicAdd(&counts[i], own[i])", "counts[i] += own[i]"),
    ]),
]


def main(kernels, output):
    texts, rows = {}, []
    for file, kernel, bugs in BUGS:
        source = (kernels / f"{file}.cu").read_text()
        for name, expected, text, replacement in bugs:
            assert source.count(text) >= 1, f"{file}: {name}: the text to replace is gone"
            number = len(rows)
            copy = source.replace(text, replacement, 1)
            includes = "".join(re.findall(r"^#include.*\n", copy, re.M))
            copy = re.sub(r"^#include.*$", "", copy, flags=re.M)
            # extern "C" names stay findable and must differ; everything else is kept apart by a namespace of its own.
            copy = re.sub(r'(extern "C" __global__ void (?:__launch_bounds__\([^)]*\)\s*)?)(\w+)\(', rf"\g<1>\g<2>_{number}(", copy)
            texts.setdefault(file, [includes]).append(f'namespace planted_{number} {{\n#line 1 "{file}.cu"\n{copy}\n}}\n')
            rows.append("\t".join([f"{kernel}_{number}", file, kernel, expected, f"{file}: {name}"]))
    for file, parts in texts.items():
        (output / f"{file}_planted.cu").write_text("".join(parts))
    (output / "planted.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
