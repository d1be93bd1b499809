# What stands in for cuBLAS, cuBLASLt, NCCL and NVML, behind the headers of the toolkit; and programs that are linked with the real libraries and meet
# these when they run. Included by CMakeLists.txt, where nvcc is there.
set(library_tests cublas/cublas_test.cc cublas/multiply_test.cc nccl/nccl_test.cc nccl/reduce_test.cc nvml/nvml_test.cc)
if(NOT HEADROOM_EMULATED_LIBRARIES)
  foreach(file IN LISTS library_tests)
    set_property(GLOBAL APPEND PROPERTY HEADROOM_TEST_FILES ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    string(REPLACE .cc "" name tests/emulation/${file})
    add_test(NAME ${name} COMMAND sh -c "echo 'skipped: no cuBLAS and NCCL beside nvcc, only a whole toolkit has them'; exit 77")
    set_tests_properties(${name} PROPERTIES LABELS unit SKIP_RETURN_CODE 77)
  endforeach()
  return()
endif()

# Arithmetic, which has unit tests, apart from what needs a device.
headroom_library(emulation_arithmetic SOURCES cublas/elements.cc cublas/multiply.cc nccl/reduce.cc)
headroom_library(emulation_products PUBLIC headroom::emulation_arithmetic SOURCES cublas/grouped.cc cublas/product.cc cublas/rules.cc cublas/session.cc)
foreach(name emulation_arithmetic emulation_products)
  emulation_own(headroom_${name})
  target_include_directories(headroom_${name} SYSTEM PUBLIC ${HEADROOM_CUDA_INCLUDE})
  target_compile_options(headroom_${name} PRIVATE -Wno-array-bounds -Wno-restrict)
endforeach()
set_property(SOURCE cublas/elements.cc cublas/multiply.cc APPEND PROPERTY COMPILE_OPTIONS -O3)
set_property(SOURCE cublas/multiply.cc APPEND PROPERTY COMPILE_OPTIONS -ffp-contract=fast)
set_source_files_properties(cublas/multiply.cc PROPERTIES SKIP_PRECOMPILE_HEADERS ON)

emulation_library(cublas 13 MAP cublas/libcublas.map SOURCES cublas/api.cc DEPS headroom::emulation_products emulated_cudart)
emulation_library(cublasLt 13 MAP cublas/libcublasLt.map DEPS headroom::emulation_products emulated_cudart SOURCES
  cublas/lt_algorithms.cc cublas/lt_api.cc cublas/lt_descriptors.cc)
emulation_library(nccl 2 MAP nccl/libnccl.map DEPS headroom::emulation_arithmetic emulated_cudart SOURCES
  nccl/api.cc nccl/call_site.cc nccl/communicator.cc nccl/connection.cc nccl/endpoint.cc nccl/group.cc nccl/hub.cc nccl/message.cc nccl/settings.cc)
emulation_library(nvidia-ml 1 MAP nvml/libnvidia-ml.map SOURCES nvml/api.cc nvml/events.cc DEPS emulated_cudart)

emulation_host_program(matmul LIBRARIES ${HEADROOM_CUBLASLT})
emulation_host_program(gemm LIBRARIES ${HEADROOM_CUBLAS})
set(rank_programs collectives collective_graphs collective_faults communicators)
foreach(name IN LISTS rank_programs)
  emulation_host_program(${name} LIBRARIES ${HEADROOM_NCCL})
endforeach()
emulation_program(cards programs/cards.cu)

headroom_test(emulation_libraries SOURCES ${library_tests} programs/run_program.cc DEPS headroom::emulation_arithmetic)
list(TRANSFORM rank_programs PREPEND emulation_program_)
add_dependencies(headroom_test_emulation_libraries emulated_cudart emulated_cublas emulated_cublasLt emulated_nccl emulated_nvidia-ml
  emulation_program_matmul emulation_program_gemm emulation_program_cards ${rank_programs})
