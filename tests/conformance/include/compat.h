/*
 * For programs that rely on what glibc's headers include by the way, and on numbers newer than
 * musl.
 */
#include <fcntl.h>
#include <sys/time.h>
#include <sys/syscall.h>
#ifndef __NR_futex_waitv
#define __NR_futex_waitv 449
#endif
#ifndef __NR_clock_adjtime
#define __NR_clock_adjtime SYS_clock_adjtime64
#endif
/* The kernel's tests call these with libc's structures, whose times have 64 bits. */
#define __NR_clock_gettime __NR_clock_gettime64
#define SYS_clock_gettime __NR_clock_gettime64
#define __NR_clock_settime __NR_clock_settime64
#define SYS_clock_settime __NR_clock_settime64
#define __NR_clock_getres __NR_clock_getres_time64
#define SYS_clock_getres __NR_clock_getres_time64
#define __NR_clock_nanosleep __NR_clock_nanosleep_time64
#define SYS_clock_nanosleep __NR_clock_nanosleep_time64
#define __NR_timer_gettime __NR_timer_gettime64
#define SYS_timer_gettime __NR_timer_gettime64
#define __NR_timer_settime __NR_timer_settime64
#define SYS_timer_settime __NR_timer_settime64
#define __NR_timerfd_gettime __NR_timerfd_gettime64
#define SYS_timerfd_gettime __NR_timerfd_gettime64
#define __NR_timerfd_settime __NR_timerfd_settime64
#define SYS_timerfd_settime __NR_timerfd_settime64
#define __NR_utimensat __NR_utimensat_time64
#define SYS_utimensat __NR_utimensat_time64
#define __NR_pselect6 __NR_pselect6_time64
#define SYS_pselect6 __NR_pselect6_time64
#define __NR_ppoll __NR_ppoll_time64
#define SYS_ppoll __NR_ppoll_time64
#define __NR_io_pgetevents __NR_io_pgetevents_time64
#define SYS_io_pgetevents __NR_io_pgetevents_time64
#define __NR_recvmmsg __NR_recvmmsg_time64
#define SYS_recvmmsg __NR_recvmmsg_time64
#define __NR_mq_timedsend __NR_mq_timedsend_time64
#define SYS_mq_timedsend __NR_mq_timedsend_time64
#define __NR_mq_timedreceive __NR_mq_timedreceive_time64
#define SYS_mq_timedreceive __NR_mq_timedreceive_time64
#define __NR_semtimedop __NR_semtimedop_time64
#define SYS_semtimedop __NR_semtimedop_time64
#define __NR_rt_sigtimedwait __NR_rt_sigtimedwait_time64
#define SYS_rt_sigtimedwait __NR_rt_sigtimedwait_time64
#define __NR_sched_rr_get_interval __NR_sched_rr_get_interval_time64
#define SYS_sched_rr_get_interval __NR_sched_rr_get_interval_time64
#define MSG_COPY 040000
#define DEFFILEMODE 0666
/* Both headers define this structure. */
#include <linux/prctl.h>
#define prctl_mm_map prctl_mm_map_of_libc
#include <sys/prctl.h>
#undef prctl_mm_map
