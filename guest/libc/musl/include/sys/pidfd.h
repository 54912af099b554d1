#ifndef _SYS_PIDFD_H
#define _SYS_PIDFD_H

#ifdef __cplusplus
extern "C" {
#endif

#include <fcntl.h>
#include <signal.h>

#define PIDFD_NONBLOCK O_NONBLOCK

int pidfd_open(pid_t, unsigned);
int pidfd_getfd(int, int, unsigned);
int pidfd_send_signal(int, int, siginfo_t *, unsigned);

#ifdef __cplusplus
}
#endif

#endif
