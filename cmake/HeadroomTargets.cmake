# headroom_library(), headroom_binary(), headroom_test() and headroom_fuzz_target(): every target of the project is made by one of
# these, so that warnings, include roots and the layer check are the same everywhere.

# Layers, lowest first. A target may link targets of a lower layer, and targets of its own folder; never a higher layer and never
# another folder of the same layer. That keeps the arrows of ARCHITECTURE.md true without a reviewer.
set(HEADROOM_LAYERS
    proto=0 common=1 model=2 memory=3 admission=4 runtime=4
    worker=5 vision-worker=6 llm-worker=6 scheduler=6 gateway=6 cli=7 tools=7 tests=8)

function(headroom_layer folder out)
  foreach(entry IN LISTS HEADROOM_LAYERS)
    string(REPLACE "=" ";" pair ${entry})
    list(GET pair 0 name)
    if(name STREQUAL folder)
      list(GET pair 1 layer)
      set(${out} ${layer} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "folder '${folder}' has no layer: add it to HEADROOM_LAYERS")
endfunction()

function(headroom_check_layers target)
  get_target_property(folder ${target} HEADROOM_FOLDER)
  headroom_layer(${folder} layer)
  foreach(dependency IN LISTS ARGN)
    if(NOT dependency MATCHES "^headroom::")
      continue()
    endif()
    get_target_property(aliased ${dependency} ALIASED_TARGET)
    get_target_property(other_folder ${aliased} HEADROOM_FOLDER)
    headroom_layer(${other_folder} other_layer)
    if(other_folder STREQUAL folder)
      continue()
    endif()
    if(other_layer GREATER_EQUAL layer)
      message(FATAL_ERROR "layer check: ${target} (${folder}, layer ${layer}) must not link ${dependency} "
                          "(${other_folder}, layer ${other_layer})")
    endif()
  endforeach()
endfunction()

# Top-level folder that the current CMakeLists.txt belongs to.
function(headroom_current_folder out)
  file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REGEX REPLACE "/.*" "" path ${path})
  set(${out} ${path} PARENT_SCOPE)
endfunction()

function(headroom_setup target)
  headroom_current_folder(folder)
  set_target_properties(${target} PROPERTIES HEADROOM_FOLDER ${folder})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror)
  if(HEADROOM_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${HEADROOM_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${HEADROOM_SANITIZE})
  endif()
endfunction()

# headroom_library(NAME SOURCES a.cc… [PUBLIC dep…] [PRIVATE dep…])
# makes target headroom_NAME with alias headroom::NAME. A dependency is PUBLIC only when a header of this library includes it.
function(headroom_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  set(target headroom_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  add_library(headroom::${name} ALIAS ${target})
  headroom_setup(${target})
  headroom_check_layers(${target} ${ARG_PUBLIC} ${ARG_PRIVATE})
  target_link_libraries(${target} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()

# headroom_binary(NAME SOURCES main.cc DEPS dep…) makes build/…/bin/NAME.
function(headroom_binary name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  string(REPLACE "-" "_" suffix ${name})
  set(target headroom_bin_${suffix})
  add_executable(${target} ${ARG_SOURCES})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name})
  headroom_setup(${target})
  headroom_check_layers(${target} ${ARG_DEPS})
  target_link_libraries(${target} PRIVATE ${ARG_DEPS})
endfunction()

# headroom_test(NAME SOURCES a_test.cc… DEPS dep… [LABELS unit|integration|slow|concurrent…] [GUARDED])
# one GoogleTest program; default label: unit. Programs labelled `concurrent` also run under ThreadSanitizer. A GUARDED one ends when a
# thread that computes allocates (common/testing/allocation_guard.h).
function(headroom_test name)
  if(NOT HEADROOM_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "GUARDED" "" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  set(target headroom_test_${name})
  add_executable(${target} ${ARG_SOURCES})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  headroom_setup(${target})
  headroom_check_layers(${target} ${ARG_DEPS})
  if(ARG_GUARDED)
    # First, so that its malloc is the one that every other library finds.
    target_link_libraries(${target} PRIVATE headroom::allocation_guard)
  endif()
  target_link_libraries(${target} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${target} PRIVATE HEADROOM_SOURCE_DIR="${PROJECT_SOURCE_DIR}" HEADROOM_BINARY_DIR="${PROJECT_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${target})
  # Waiting OpenMP teams sleep, as they do under runtime::PrepareProcess(), which test programs do not call.
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 900 ENVIRONMENT OMP_WAIT_POLICY=passive)
  # `--target concurrent_tests` builds what a ThreadSanitizer run needs and nothing else.
  if("concurrent" IN_LIST ARG_LABELS)
    if(NOT TARGET concurrent_tests)
      add_custom_target(concurrent_tests)
    endif()
    add_dependencies(concurrent_tests ${target})
  endif()
  if(HEADROOM_SANITIZE STREQUAL "thread")
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
      "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/tsan.supp ignore_noninstrumented_modules=1 halt_on_error=1")
  endif()
endfunction()

# headroom_fuzz_target(NAME DEPS dep…): NAME_fuzz.cc as a libFuzzer program build/fuzz/fuzz/NAME (preset `fuzz`), and a part of the
# program that headroom_fuzz_replay() makes.
function(headroom_fuzz_target name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  set_property(GLOBAL APPEND PROPERTY HEADROOM_FUZZ_SOURCES ${name}_fuzz.cc)
  set_property(GLOBAL APPEND PROPERTY HEADROOM_FUZZ_DEPS ${ARG_DEPS})
  if(NOT HEADROOM_FUZZ)
    return()
  endif()
  set(target headroom_fuzz_${name})
  add_executable(${target} ${name}_fuzz.cc fuzz_target.cc libfuzzer_main.cc)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  headroom_setup(${target})
  headroom_check_layers(${target} ${ARG_DEPS} headroom::text)
  target_link_libraries(${target} PRIVATE ${ARG_DEPS} headroom::base headroom::text)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  target_compile_definitions(${target} PRIVATE HEADROOM_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endfunction()

# One program, so that it links once. Only under AddressSanitizer, whose allocation hooks a target uses; the first sign of undefined
# behaviour ends it.
function(headroom_fuzz_replay)
  if(NOT HEADROOM_SANITIZE MATCHES "address")
    return()
  endif()
  get_property(sources GLOBAL PROPERTY HEADROOM_FUZZ_SOURCES)
  get_property(deps GLOBAL PROPERTY HEADROOM_FUZZ_DEPS)
  list(REMOVE_DUPLICATES deps)
  headroom_test(fuzz_replay_test SOURCES replay_test.cc fuzz_target.cc ${sources} DEPS ${deps} headroom::base headroom::text)
  set_property(TEST fuzz_replay_test APPEND PROPERTY ENVIRONMENT UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1)
endfunction()
