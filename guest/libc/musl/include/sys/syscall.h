#ifndef _SYS_SYSCALL_H
#define _SYS_SYSCALL_H

#include <bits/syscall.h>

#ifndef _INTERNAL_SYSCALL_H

/*
 * The kernel has calls with 64-bit times only, by names of their own (SYS_clock_gettime64). The old
 * names are those of calls with 32-bit structures, so they are not there; but for futex, as in
 * musl's other ports of this kind.
 */
#define __NR_futex __NR_futex_time64
#define SYS_futex SYS_futex_time64

/* Newer than this release of musl. */
#define __NR_quotactl_fd 443
#define SYS_quotactl_fd 443
#define __NR_process_mrelease 448
#define SYS_process_mrelease 448
#define __NR_futex_waitv 449
#define SYS_futex_waitv 449
#define __NR_set_mempolicy_home_node 450
#define SYS_set_mempolicy_home_node 450
#define __NR_cachestat 451
#define SYS_cachestat 451
#define __NR_fchmodat2 452
#define SYS_fchmodat2 452
#endif

#endif
