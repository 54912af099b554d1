/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_VDSO_PROCESSOR_H
#define _ASM_WASM_VDSO_PROCESSOR_H

/* There is no vDSO; generic code that knows of its data includes this. */
#include <asm/processor.h>
#endif
