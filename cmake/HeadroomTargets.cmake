# headroom_library(), headroom_binary(), headroom_test() and headroom_fuzz_target(): every target of the project is made by one of
# these, so that warnings, include roots and the layer check are the same everywhere.

# Layers, lowest first. A target may link targets of a lower layer, and targets of its own folder; never a higher layer and never
# another folder of the same layer. That keeps the arrows of ARCHITECTURE.md true without a reviewer.
set(HEADROOM_LAYERS
    proto=0 common=1 model=2 memory=3 admission=4 runtime=4
    worker=5 vision-worker=6 llm-worker=6 scheduler=6 gateway=6 cli=7 tools=7 examples=7 tests=8)

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

# What a sanitizer build watches. Tests and generated code are compiled without the checks for undefined behaviour: these double the time of
# compiling, and look for mistakes of the tests alone. Both see every access to memory.
set(HEADROOM_SANITIZE_MEMORY "")
if(HEADROOM_SANITIZE)
  string(REPLACE "," ";" checks "${HEADROOM_SANITIZE}")
  list(REMOVE_ITEM checks undefined)
  string(REPLACE ";" "," HEADROOM_SANITIZE_MEMORY "${checks}")
endif()

# headroom_sanitize(TARGET CHECKS): compiles with these -fsanitize checks, links with all of the build.
function(headroom_sanitize target checks)
  if(HEADROOM_SANITIZE)
    # Debian's clang cannot assemble what its check of function pointers adds to coroutines.
    target_compile_options(${target} PRIVATE -fsanitize=${checks} -fno-omit-frame-pointer
      $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)
    target_link_options(${target} PUBLIC -fsanitize=${HEADROOM_SANITIZE})
  endif()
endfunction()

# headroom_compile_options(TARGET [TEST])
function(headroom_compile_options target)
  target_compile_options(${target} PRIVATE -pthread -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror)
  if("TEST" IN_LIST ARGN)
    # Tests call the code that has to be fast and are none of it.
    target_compile_options(${target} PRIVATE -O0)
    headroom_sanitize(${target} "${HEADROOM_SANITIZE_MEMORY}")
  else()
    headroom_sanitize(${target} "${HEADROOM_SANITIZE}")
  endif()
endfunction()

# headroom_setup(TARGET [TEST]): what every target has in common. Layers from worker/ up speak gRPC.
function(headroom_setup target)
  headroom_current_folder(folder)
  set_target_properties(${target} PROPERTIES HEADROOM_FOLDER ${folder})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  headroom_compile_options(${target} ${ARGN})
  headroom_layer(${folder} layer)
  headroom_layer(worker first_with_rpc)
  if("TEST" IN_LIST ARGN)
    headroom_use_precompiled(${target} test)
  elseif(layer LESS first_with_rpc)
    headroom_use_precompiled(${target} base)
  else()
    headroom_use_precompiled(${target} rpc)
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

# headroom_embed(SYMBOL FILE VARIABLE): VARIABLE names a source in which headroom::SYMBOL, a const char[], holds the text of FILE.
function(headroom_embed symbol file variable)
  get_filename_component(file ${file} ABSOLUTE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cc)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT
    "namespace headroom {\nextern const char @symbol@[];\nconst char @symbol@[] = R\"text(@text@)text\";\n}  // namespace headroom\n")
  set(${variable} ${source} PARENT_SCOPE)
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
  if(TARGET headroom_cuda)
    add_dependencies(${target} headroom_cuda)  # opened when it runs
  endif()
endfunction()

# headroom_test(NAME [SOURCES a_test.cc… x.cc…] [CONCURRENT b_test.cc…] [COMPUTES c_test.cc…] [VARIANTS d_test.cc…] DEPS dep… [DEVICES device…] [GUARDED])
# makes one GoogleTest program, headroom_test_NAME, of several files, and a CTest entry for each *_test.cc, named by its path:
# llm-worker/engine_test. Linking costs more than compiling a test: one program for a folder, another where some of its tests need
# heavy libraries that the others do not, or must not be guarded.
#   CONCURRENT  files with tests that ThreadSanitizer runs as well; such a build compiles no others
#   VARIANTS    files whose entries the caller makes, each with variables of its own
#   COMPUTES    files with tests that compute much themselves: optimised like what they test
#   DEVICES     one entry for each device, runtime/ops/linear_test@cpu/avx2, which finds its name in HEADROOM_TEST_DEVICE. `cuda` is an emulated card
#   GUARDED     ends when a thread that computes allocates (common/testing/allocation_guard.h)
function(headroom_test name)
  cmake_parse_arguments(ARG "GUARDED" "" "SOURCES;CONCURRENT;COMPUTES;VARIANTS;DEPS;DEVICES" ${ARGN})
  if(ARG_COMPUTES)
    set_source_files_properties(${ARG_COMPUTES} PROPERTIES
      COMPILE_OPTIONS $<$<NOT:$<CONFIG:Debug>>:-O2> SKIP_PRECOMPILE_HEADERS ON)
  endif()
  list(APPEND ARG_SOURCES ${ARG_COMPUTES})
  foreach(file IN LISTS ARG_SOURCES ARG_CONCURRENT ARG_VARIANTS)
    set_property(GLOBAL APPEND PROPERTY HEADROOM_TEST_FILES ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
  if(HEADROOM_SANITIZE STREQUAL "thread")
    list(FILTER ARG_SOURCES EXCLUDE REGEX "_test\\.cc$")
    set(ARG_VARIANTS)
  endif()
  set(files ${ARG_SOURCES} ${ARG_CONCURRENT})
  list(FILTER files INCLUDE REGEX "_test\\.cc$")
  if(NOT HEADROOM_TESTS OR NOT files)
    return()
  endif()
  set(target headroom_test_${name})
  add_executable(${target} ${ARG_SOURCES} ${ARG_CONCURRENT} ${ARG_VARIANTS})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  headroom_setup(${target} TEST)
  headroom_check_layers(${target} ${ARG_DEPS})
  if(ARG_GUARDED)
    # First, so that its malloc is the one that every other library finds.
    target_link_libraries(${target} PRIVATE headroom::allocation_guard)
  endif()
  target_link_libraries(${target} PRIVATE ${ARG_DEPS} headroom::test_main headroom::test_paths)
  # `--target concurrent_tests` builds what a ThreadSanitizer run needs and nothing else.
  if(ARG_CONCURRENT)
    if(NOT TARGET concurrent_tests)
      add_custom_target(concurrent_tests)
    endif()
    add_dependencies(concurrent_tests ${target})
  endif()
  foreach(file IN LISTS files)
    set(labels unit)
    if(file IN_LIST ARG_CONCURRENT)
      list(APPEND labels concurrent)
    endif()
    if(ARG_DEVICES)
      foreach(device IN LISTS ARG_DEVICES)
        if(device STREQUAL "cuda")
          headroom_cuda_test_entry(${target} ${file} "${labels}" "")
        else()
          headroom_test_entry(${target} ${file} "@${device}" "${labels}" HEADROOM_TEST_DEVICE=${device})
        endif()
      endforeach()
    else()
      headroom_test_entry(${target} ${file} "" "${labels}")
    endif()
  endforeach()
endfunction()

# headroom_cuda_test_entry(TARGET FILE LABELS SUFFIX [VARIABLE=VALUE…]): FILE on an emulated card.
function(headroom_cuda_test_entry target file labels suffix)
  file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  string(REGEX REPLACE "\\.cc$" "@cuda${suffix}" name ${path})
  headroom_emulated_test(${name} ${target} ${path} "${labels}" HEADROOM_TEST_DEVICE=cuda OMP_WAIT_POLICY=passive ${ARGN})
endfunction()

# headroom_test_entry(TARGET FILE SUFFIX LABELS [VARIABLE=VALUE…]): the CTest entry of one file of a program.
function(headroom_test_entry target file suffix labels)
  file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  string(REGEX REPLACE "\\.cc$" "${suffix}" name ${path})
  # Waiting OpenMP teams sleep, as they do under runtime::PrepareProcess(), which test programs do not call.
  set(environment OMP_WAIT_POLICY=passive ${ARGN})
  if(HEADROOM_SANITIZE STREQUAL "thread")
    list(APPEND environment
      "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/tsan.supp ignore_noninstrumented_modules=1 halt_on_error=1")
  endif()
  add_test(NAME ${name} COMMAND ${target} --file=${path})
  # 77: every test of the file skipped itself (common/testing/test_main.cc).
  set_tests_properties(${name} PROPERTIES
    LABELS "${labels}" TIMEOUT 900 SKIP_RETURN_CODE 77 ENVIRONMENT "${environment}")
endfunction()

# Stops when a folder holds a *_test.cc that no headroom_test() names: it would never run. Call it last.
function(headroom_check_test_files)
  get_property(named GLOBAL PROPERTY HEADROOM_TEST_FILES)
  foreach(entry IN LISTS HEADROOM_LAYERS)
    string(REGEX REPLACE "=.*" "" folder ${entry})
    file(GLOB_RECURSE files ${PROJECT_SOURCE_DIR}/${folder}/*_test.cc)
    foreach(file IN LISTS files)
      if(NOT file IN_LIST named)
        message(FATAL_ERROR "no headroom_test() names ${file}")
      endif()
    endforeach()
  endforeach()
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
  target_link_libraries(${target} PRIVATE ${ARG_DEPS} headroom::base headroom::test_paths headroom::text)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
endfunction()

# One program, so that it links once. Only under AddressSanitizer, whose allocation hooks a target uses; the first sign of undefined
# behaviour ends it. Other builds only know the files, for clang-tidy.
function(headroom_fuzz_replay)
  get_property(sources GLOBAL PROPERTY HEADROOM_FUZZ_SOURCES)
  get_property(deps GLOBAL PROPERTY HEADROOM_FUZZ_DEPS)
  list(APPEND sources replay_test.cc fuzz_target.cc)
  list(APPEND deps headroom::base headroom::text)
  list(REMOVE_DUPLICATES deps)
  if(HEADROOM_SANITIZE MATCHES "address")
    headroom_test(fuzz_replay SOURCES ${sources} DEPS ${deps})
    set_property(TEST tests/fuzz/replay_test APPEND PROPERTY ENVIRONMENT UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1)
    return()
  endif()
  set_property(GLOBAL APPEND PROPERTY HEADROOM_TEST_FILES ${CMAKE_CURRENT_SOURCE_DIR}/replay_test.cc)
  add_library(headroom_fuzz_files OBJECT EXCLUDE_FROM_ALL ${sources} libfuzzer_main.cc)
  headroom_setup(headroom_fuzz_files)
  target_link_libraries(headroom_fuzz_files PRIVATE ${deps} headroom::test_paths)
endfunction()
