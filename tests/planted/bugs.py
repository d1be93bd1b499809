"""Bugs to plant into runtime/cuda, each with the test that must find it and what must be said.

A bug is a text of a file and its replacement. `compiled` is what is built again, when the file is a header. `says`: a word of what the emulated card
reports, or NUMBERS where a result is wrong and no check can know."""
import dataclasses

NUMBERS = ''


@dataclasses.dataclass(frozen=True)
class Bug:
    name: str
    file: str  # below runtime/cuda
    text: str
    replacement: str
    test: str  # file below runtime/ops, and in it a filter of tests
    filter: str
    says: str
    compiled: str = ''

    @property
    def unit(self):
        return self.compiled or self.file


BUGS = [
    # Kernels.
    Bug('barrier missing after the sums of the warps', 'kernels/reduce.cuh', '  __syncthreads();\n', '',
        'rows_test.cc', 'RowsTest.RmsNorm', 'never written', compiled='kernels/norm.cu'),
    Bug('eps lost', 'kernels/norm.cu', 'sqrtf(squares / static_cast<float>(cols) + eps)', 'sqrtf(squares / static_cast<float>(cols))',
        'rows_test.cc', 'RowsTest.NormsOfSmallRows', NUMBERS),
    Bug('a row too many', 'kernels/elementwise.cu', 'return;\n  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {\n    Values<kValues> v = Load<kValues>(x',
        'return;\n  for (int64_t row = blockIdx.y; row <= rows; row += gridDim.y) {\n    Values<kValues> v = Load<kValues>(x',
        'rows_test.cc', 'RowsTest.GeluTanhOverItsWholeRange', 'out of bounds'),
    Bug('a row is left out', 'kernels/gather.cu',
        'row = blockIdx.y; row < rows; row += gridDim.y) {\n    Values', 'row = blockIdx.y + 1; row < rows; row += gridDim.y) {\n    Values',
        'rows_test.cc', 'RowsTest.EmbeddingGatherAndAddGathered', NUMBERS),
    Bug('barrier missing after the angles', 'kernels/rope.cuh', '  __syncthreads();\n', '',
        'kv_cache_test.cc', 'KvCacheTest.KeysAndQueriesTurnOnTheWay', 'race', 'kernels/kv_cache.cu'),
    Bug('angles of half a head', 'kernels/rope.cuh', 'kPairsMax = 256', 'kPairsMax = 128',
        'kv_cache_test.cc', 'KvCacheTest.KeysAndQueriesTurnOnTheWay', 'race', 'kernels/kv_cache.cu'),
    Bug('a row that is not kept is kept', 'kernels/kv_cache.cu', '  if (slot < 0) return;  // the whole block\n', '',
        'kv_cache_test.cc', 'KvCacheTest.KeysAndQueriesTurnOnTheWay', 'race'),
    Bug('keys of the first head in the place of all', 'kernels/kv_cache.cu',
        'head_dim, cached_key + key_head * head_stride', 'head_dim, cached_key + 0 * head_stride',
        'kv_cache_test.cc', 'KvCacheTest.KeysAndQueriesTurnOnTheWay', NUMBERS),
    Bug('barrier missing at the end of a tile', 'kernels/product.cu',
        'sum);\n      __syncthreads();', 'sum);',
        'linear_test.cc', 'LinearTest.AgreesWithDoubleOnOddShapes', 'race'),
    Bug('tile read before it is there', 'kernels/plain_attention.cu', 'ToFloat(from[c]);\n      }\n      __syncthreads();', 'ToFloat(from[c]);\n      }',
        'attention_test.cc', 'AttentionTest.HeadsOfAnySize', 'never written'),
    Bug('a tile before its copies', 'kernels/flash_dense.cu', 'WaitForCopies<0>();', 'WaitForCopies<1>();',
        'attention_test.cc', 'AttentionTest.HeadSizesOfModels', 'cp.async'),
    Bug('a row sees the key behind it', 'kernels/attention_rows.cuh', 's.context_len - s.q_count) + 1;', 's.context_len - s.q_count) + 2;',
        'paged_attention_test.cc', 'PagedAttentionTest.HeadSizesOfModels', NUMBERS, compiled='kernels/flash_paged.cu'),
    # The host's side.
    Bug('gate in the place of up', 'rows.cc', 'args.gate_up.ColRange(args.y.cols, args.y.cols)', 'args.gate_up.ColRange(0, args.y.cols)',
        'rows_test.cc', 'RowsTest.SiluMul', NUMBERS),
    Bug('y forgotten where products add to it', 'products.cc', 'before = shape.accumulate ? 1.0f : 0.0f', 'before = 0.0f',
        'linear_test.cc', 'LinearTest.AgreesWithDoubleOnModelLikeShapes', NUMBERS),
    Bug('columns are not what the strides say', 'products.cc', 'shape.k, shape.rows, shape.x_row_stride)', 'shape.k, shape.rows, shape.k)',
        'linear_test.cc', 'LinearTest.StridedRowsWork', NUMBERS),
    Bug('values where the keys are', 'attention.cc', '.value_offset = kv.v_offset - kv.k_offset', '.value_offset = 0',
        'paged_attention_test.cc', 'PagedAttentionTest.HeadsOfAnySize', NUMBERS),
    Bug('result handed over before its copy ended', 'cuda_lane.cc', 'CudaStatus(cudaStreamSynchronize(stream_),', 'CudaStatus(cudaStreamQuery(stream_) == cudaErrorInvalidValue ? cudaErrorInvalidValue : cudaSuccess,',
        'rows_test.cc', 'RowsTest.RmsNorm', NUMBERS),
]
