/* The kernel's structure has no restorer; the field here is past the end of
 * what the kernel reads, for the sake of sigaction.c. */
#include <features.h>

struct k_sigaction {
	void (*handler)(int);
	unsigned long flags;
	unsigned mask[2];
	void (*restorer)(void);
};

hidden void __restore(), __restore_rt();
