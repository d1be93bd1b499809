// A program of the tests: cases by name, run one a process, linked by nvcc and knowing nothing of an emulation.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

struct Case {
  const char* name;
  void (*run)();
};

// Ends the process when a call fails; the name of the error is the last line.
#define OK(call)                                                          \
  do {                                                                    \
    const cudaError_t error_of_call = (call);                             \
    if (error_of_call != cudaSuccess) {                                   \
      printf("line %d: %s\n", __LINE__, cudaGetErrorName(error_of_call)); \
      exit(1);                                                            \
    }                                                                     \
  } while (0)

#define EXPECT(condition)                                          \
  do {                                                             \
    if (!(condition)) {                                            \
      printf("line %d: %s does not hold\n", __LINE__, #condition); \
      exit(1);                                                     \
    }                                                              \
  } while (0)

inline int RunCase(const Case* cases, int count, int argc, char** argv) {
  for (int k = 0; k < count && argc > 1; k++) {
    if (strcmp(cases[k].name, argv[1]) != 0) continue;
    cases[k].run();
    printf("passed\n");
    return 0;
  }
  printf("no such case\n");
  return 2;
}
