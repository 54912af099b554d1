#include <sched.h>
#include "syscall.h"

/* As Linux has it: of a thread, 0 the calling one. */
int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
{
	return syscall(SYS_sched_setscheduler, pid, policy, param);
}
