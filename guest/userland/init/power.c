/* SPDX-License-Identifier: MIT */
/* The end of the machine. */
#include <errno.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "init.h"

void power_down(int how)
{
	network_finish();
	sync();
	reboot(how);
	log_message(3, "the machine cannot be switched off: %s", strerror(errno));
	for (;;)
		pause();
}
