/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _UAPI_ASM_WASM_SIGCONTEXT_H
#define _UAPI_ASM_WASM_SIGCONTEXT_H

/* There are no registers to see. */
struct sigcontext {
	/*
	 * 1 if the signal interrupted a system call that will be made again;
	 * clearing it makes that call return EINTR.
	 */
	unsigned long pc;
	unsigned long sp;
	unsigned long fault_address;
	unsigned long oldmask;
};
#endif
