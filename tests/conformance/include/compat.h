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
#define MSG_COPY 040000
#define DEFFILEMODE 0666
/* Both headers define this structure. */
#include <linux/prctl.h>
#define prctl_mm_map prctl_mm_map_of_libc
#include <sys/prctl.h>
#undef prctl_mm_map
