/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_TLB_H
#define _ASM_WASM_TLB_H

void wasm_pte_free(pte_t *pte);

/* The host walks the tables anew at each miss: it caches entries, no tables. */
#define tlb_needs_table_invalidate()	(false)

#include <asm-generic/tlb.h>
#endif
