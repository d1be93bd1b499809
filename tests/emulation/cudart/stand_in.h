/* How the stand-ins of other libraries (cuBLAS, NCCL, NVML, NVTX tools) reach the devices of the process. C, because
 * they are libraries apart. */
#pragma once

#include <driver_types.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An operation of a stream: `run` returns 0 while it cannot complete yet, and is called again; `release` is called when
 * the operation is forgotten. A captured one runs at every launch of its graph, each time until it returns 1. */
cudaError_t emulated_push(cudaStream_t stream, int (*run)(void* context), void (*release)(void* context),
                          void* context);

/* Numbers of devices are the program's (CUDA_VISIBLE_DEVICES) here, and the cards' own where NVML asks. */

/* One step of every stream of a device, for a thread that waits for operations which another one has pushed. */
void emulated_progress(int number);
/* A message, and an error of the device that stays. */
void emulated_fail(int number, cudaError_t error, const char* why);

/* Where device memory lies on the host, for `bytes` at `address`; NULL and a message, with a sticky error on the device,
 * when they do not lie within one allocation or declared region, or, when `reads` is not 0, hold bytes that nobody
 * wrote. `what` names the call. */
void* emulated_host(const void* address, size_t bytes, int reads, const char* what);
/* The bytes were written. */
void emulated_written(const void* address, size_t bytes);

/* Bytes of the current device that a library takes for itself. 0: there are not so many. */
int emulated_take(size_t bytes);
void emulated_give_back(size_t bytes);
/* A number of bytes in the environment, as 8MiB; `standard` where the variable is not set. */
size_t emulated_setting(const char* variable, size_t standard);

/* What NVML tells of a card; makes no context. */
struct emulated_device_info {
  char name[96];
  char uuid[16];
  size_t total, used; /* bytes; of all processes */
  int capability;     /* 80 for 8.0 */
  int multiprocessors;
};
struct emulated_user {
  int pid;
  size_t bytes;
};
/* 0: there is no such device. */
int emulated_device(int number, struct emulated_device_info* info);
/* How many processes hold bytes of it; the first `max` of them. */
int emulated_users(int number, struct emulated_user* users, int max);
/* XID events of the card so far, by whatever process. 48: an ECC error of two bits; 31: an illegal address; 13: other
 * errors of a kernel; 79: the card is gone. Of an index 0 is answered when it lies in the future or was forgotten (64
 * are kept). */
unsigned long long emulated_event_count(int number);
int emulated_event(int number, unsigned long long index, unsigned int* xid);

/* NVTX memory regions, see DeviceMemory. 0: not known. */
int emulated_heap(const void* address);
int emulated_region(const void* address, size_t bytes, const char* name);
int emulated_forget_region(const void* address);

#ifdef __cplusplus
}
#endif
