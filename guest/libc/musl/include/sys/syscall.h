#ifndef _SYS_SYSCALL_H
#define _SYS_SYSCALL_H

#include <bits/syscall.h>

#ifndef _INTERNAL_SYSCALL_H

/* The kernel has these for 64-bit times only. libc's are that: the old names mean the same. */
#define __NR_futex __NR_futex_time64
#define SYS_futex SYS_futex_time64
#define __NR_clock_gettime __NR_clock_gettime64
#define SYS_clock_gettime SYS_clock_gettime64
#define __NR_clock_settime __NR_clock_settime64
#define SYS_clock_settime SYS_clock_settime64
#define __NR_clock_getres __NR_clock_getres_time64
#define SYS_clock_getres SYS_clock_getres_time64
#define __NR_clock_nanosleep __NR_clock_nanosleep_time64
#define SYS_clock_nanosleep SYS_clock_nanosleep_time64
#define __NR_timer_gettime __NR_timer_gettime64
#define SYS_timer_gettime SYS_timer_gettime64
#define __NR_timer_settime __NR_timer_settime64
#define SYS_timer_settime SYS_timer_settime64
#define __NR_timerfd_gettime __NR_timerfd_gettime64
#define SYS_timerfd_gettime SYS_timerfd_gettime64
#define __NR_timerfd_settime __NR_timerfd_settime64
#define SYS_timerfd_settime SYS_timerfd_settime64
#define __NR_utimensat __NR_utimensat_time64
#define SYS_utimensat SYS_utimensat_time64
#define __NR_pselect6 __NR_pselect6_time64
#define SYS_pselect6 SYS_pselect6_time64
#define __NR_ppoll __NR_ppoll_time64
#define SYS_ppoll SYS_ppoll_time64
#define __NR_io_pgetevents __NR_io_pgetevents_time64
#define SYS_io_pgetevents SYS_io_pgetevents_time64
#define __NR_recvmmsg __NR_recvmmsg_time64
#define SYS_recvmmsg SYS_recvmmsg_time64
#define __NR_mq_timedsend __NR_mq_timedsend_time64
#define SYS_mq_timedsend SYS_mq_timedsend_time64
#define __NR_mq_timedreceive __NR_mq_timedreceive_time64
#define SYS_mq_timedreceive SYS_mq_timedreceive_time64
#define __NR_semtimedop __NR_semtimedop_time64
#define SYS_semtimedop SYS_semtimedop_time64
#define __NR_rt_sigtimedwait __NR_rt_sigtimedwait_time64
#define SYS_rt_sigtimedwait SYS_rt_sigtimedwait_time64
#define __NR_sched_rr_get_interval __NR_sched_rr_get_interval_time64
#define SYS_sched_rr_get_interval SYS_sched_rr_get_interval_time64

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
