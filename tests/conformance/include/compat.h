/* For programs that rely on what glibc's headers include by the way, and on numbers newer than musl. */
#include <fcntl.h>
#include <sys/time.h>
#include <sys/syscall.h>
#ifndef __NR_futex_waitv
#define __NR_futex_waitv 449
#endif
#ifndef __NR_clock_adjtime
#define __NR_clock_adjtime SYS_clock_adjtime64
#endif
