/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _WASM_MM_H
#define _WASM_MM_H

#include <linux/types.h>

int wasm_fault_in(unsigned long addr, bool write, unsigned int flags, int *code);
#endif
