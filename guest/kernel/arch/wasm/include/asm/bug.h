/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_BUG_H
#define _ASM_WASM_BUG_H

#ifdef CONFIG_BUG
/* Traps; the host answers with oops(): see arch/wasm/kernel/traps.c */
void wasm_bug(const char *file, int line) __attribute__((noreturn, cold));

#define BUG()	wasm_bug(__FILE__, __LINE__)
#define HAVE_ARCH_BUG
#endif

#include <asm-generic/bug.h>
#endif
