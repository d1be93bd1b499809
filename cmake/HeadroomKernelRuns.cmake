# Tests of what kernels did on the emulated card (tools/kernel_runs). Where the card or the backend is not built, they are skipped.

# Sets `to` when a test of that name may be made; makes one that skips where the backend is left out.
function(headroom_kernel_run_possible name to)
  set(${to} FALSE PARENT_SCOPE)
  if(NOT HEADROOM_TESTS OR HEADROOM_SANITIZE)
    return()
  endif()
  if(HEADROOM_CUDA_BUILT AND HEADROOM_EMULATED_LIBRARIES)
    set(${to} TRUE PARENT_SCOPE)
    return()
  endif()
  add_test(NAME ${name} COMMAND sh -c "echo 'skipped: no CUDA 13 toolkit with cuBLASLt, cuBLAS and NCCL'; exit 77")
  set_tests_properties(${name} PROPERTIES LABELS unit SKIP_RETURN_CODE 77)
endfunction()

# headroom_kernel_coverage(NAME LIBRARY target AT_LEAST percent EACH percent TESTS entry…): a test that holds the share of the library's instructions
# that the entries execute together to a limit, for all kernels and for each. They are entries of this folder on the emulated card, and run first.
function(headroom_kernel_coverage name)
  cmake_parse_arguments(ARG "" "LIBRARY;AT_LEAST;EACH" "TESTS" ${ARGN})
  headroom_kernel_run_possible(${name} possible)
  if(NOT possible)
    return()
  endif()
  set(folder ${PROJECT_BINARY_DIR}/emulation/instructions)
  file(MAKE_DIRECTORY ${folder})
  set(reports)
  foreach(entry IN LISTS ARG_TESTS)
    string(MAKE_C_IDENTIFIER ${entry} file)
    list(APPEND reports ${folder}/${file}.json)
    set_property(TEST ${entry} APPEND PROPERTY ENVIRONMENT EMULATED_GPU_INSTRUCTIONS=${folder}/${file}.json)
    set_property(TEST ${entry} APPEND PROPERTY FIXTURES_SETUP ${name})
  endforeach()
  add_test(NAME ${name} COMMAND python3 ${PROJECT_SOURCE_DIR}/tools/kernel_runs
    coverage --library $<TARGET_FILE:${ARG_LIBRARY}> --at-least ${ARG_AT_LEAST} --each ${ARG_EACH} ${reports})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1 FIXTURES_REQUIRED ${name})
endfunction()

# headroom_kernel_counters(NAME LIMITS file TARGET program FILE a_test.cc [FILTER tests]): a test that runs a file of a test program on the emulated
# card, eagerly and unchecked, and holds what its kernels count to limits.
function(headroom_kernel_counters name)
  cmake_parse_arguments(ARG "" "LIMITS;TARGET;FILE;FILTER" "" ${ARGN})
  headroom_kernel_run_possible(${name} possible)
  if(NOT possible)
    return()
  endif()
  if(NOT ARG_FILTER)
    set(ARG_FILTER *)
  endif()
  cmake_path(ABSOLUTE_PATH ARG_LIMITS)
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  add_test(NAME ${name} COMMAND python3 ${PROJECT_SOURCE_DIR}/tools/kernel_runs
    counters --limits ${ARG_LIMITS} -- $<TARGET_FILE:${ARG_TARGET}> --file=${folder}/${ARG_FILE} --gtest_filter=${ARG_FILTER})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT
    "LD_LIBRARY_PATH=${PROJECT_BINARY_DIR}/emulation/lib;EMULATED_GPU_MEMORY=1GiB;EMULATED_GPU_CHECKS=0;HEADROOM_ALLOCATION_GUARD=off;HEADROOM_TEST_DEVICE=cuda;OMP_WAIT_POLICY=passive;PYTHONDONTWRITEBYTECODE=1")
  add_dependencies(${ARG_TARGET} headroom_cuda emulated_cudart emulated_cublasLt emulated_nvidia-ml)
endfunction()
