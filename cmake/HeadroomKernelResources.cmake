# headroom_machine_code(NAME FILE): a test that the file holds machine code of every kernel for the architectures that this build compiles for, and PTX.
function(headroom_machine_code name file)
  add_test(NAME ${name} COMMAND python3 ${PROJECT_SOURCE_DIR}/tools/kernel_resources/machine_code.py --architectures ${HEADROOM_MACHINE_CODE} -- ${file})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endfunction()

# headroom_kernel_resources(NAME LIMITS file FILES file… [ARCHITECTURES 80 90…]): a test that holds registers, stack frames and spills of the
# kernels in the files (PTX, or what nvcc made with PTX in it) to limits; tools/kernel_resources tells how that is written. ptxas lies beside nvcc
# (HeadroomCuda.cmake).
function(headroom_kernel_resources name)
  cmake_parse_arguments(ARG "" "LIMITS" "FILES;ARCHITECTURES" ${ARGN})
  set(architectures)
  if(ARG_ARCHITECTURES)
    set(architectures --architectures ${ARG_ARCHITECTURES})
  endif()
  cmake_path(ABSOLUTE_PATH ARG_LIMITS)
  add_test(NAME ${name} COMMAND python3 ${PROJECT_SOURCE_DIR}/tools/kernel_resources
    --limits ${ARG_LIMITS} --ptxas ${nvcc_bin}/ptxas ${architectures} -- ${ARG_FILES})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endfunction()
