/* A library that is loaded before all others (LD_PRELOAD) and makes the disk slow and the wall clock wrong.
 *
 * Owns: what a process believes about its disk and its clock. In: APERTURE_WORLD, a file of two 64-bit numbers that a test writes
 * while the process runs: the milliseconds by which every sync of a file takes longer, and those by which the wall clock is ahead.
 * A sync that waits looks at its number again and again, so taking the fault back ends it. It must not touch anything else: other
 * clocks, reads and writes are the system's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct world {
  volatile int64_t slow_ms;
  volatile int64_t ahead_ms;
};

static struct world usual;
static struct world *world = &usual;
static int (*real_clock)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
  real_clock = dlsym(RTLD_NEXT, "clock_gettime");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  const char *name = getenv("APERTURE_WORLD");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *shared = mmap(NULL, sizeof usual, PROT_READ, MAP_SHARED, file, 0);
  if (shared != MAP_FAILED) world = shared;
  close(file);
}

static void wait_for_the_disk(void) {
  const struct timespec step = {0, 2000000};
  struct timespec begun, now;
  real_clock(CLOCK_MONOTONIC, &begun);
  for (;;) {
    real_clock(CLOCK_MONOTONIC, &now);
    int64_t waited = (now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000;
    if (waited >= world->slow_ms) return;
    nanosleep(&step, NULL);
  }
}

int fsync(int file) {
  wait_for_the_disk();
  return real_fsync(file);
}

int fdatasync(int file) {
  wait_for_the_disk();
  return real_fdatasync(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = real_clock(clock, time);
  int64_t ahead = world->ahead_ms;
  if (result == 0 && clock == CLOCK_REALTIME && ahead != 0) {
    int64_t nanoseconds = time->tv_nsec + ahead % 1000 * 1000000;
    time->tv_sec += ahead / 1000 + nanoseconds / 1000000000;
    time->tv_nsec = nanoseconds % 1000000000;
    if (time->tv_nsec < 0) {
      time->tv_nsec += 1000000000;
      time->tv_sec -= 1;
    }
  }
  return result;
}
