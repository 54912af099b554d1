/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_BARRIER_H
#define _ASM_WASM_BARRIER_H

/* One processor, but devices are threads of the host: they need a real fence. */
#ifndef __ASSEMBLY__
void wasm_fence(void);
#endif
#define mb()	wasm_fence()

#include <asm-generic/barrier.h>
#endif
