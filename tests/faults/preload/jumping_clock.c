/* A clock of the day that jumps: a library for LD_PRELOAD. Each time it is asked it is a hundred days ahead
 * of what it is, or behind. The steady clock is left alone: that is what the system promises of it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

#define REAL(name) ((__typeof__(name)*)dlsym(RTLD_NEXT, #name))

static atomic_long asked;

static time_t jump(void) { return (atomic_fetch_add(&asked, 1) & 1) ? 8640000 : -8640000; }

int clock_gettime(clockid_t clock, struct timespec* at) {
  const int result = REAL(clock_gettime)(clock, at);
  if (result == 0 && clock == CLOCK_REALTIME) at->tv_sec += jump();
  return result;
}
int gettimeofday(struct timeval* at, void* zone) {
  const int result = REAL(gettimeofday)(at, zone);
  if (result == 0) at->tv_sec += jump();
  return result;
}
time_t time(time_t* at) {
  const time_t now = REAL(time)(NULL) + jump();
  if (at != NULL) *at = now;
  return now;
}
