/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_TLB_H
#define _ASM_WASM_TLB_H

void wasm_pte_free(pte_t *pte);

/* The host walks the tables anew at each miss: it caches entries, no tables. */
#define tlb_needs_table_invalidate()	(false)

/* A small process gives its pages back at once: it is torn down often. */
#define MMU_GATHER_BUNDLE	31

#define tlb_flush tlb_flush
struct mmu_gather;
static inline void tlb_flush(struct mmu_gather *tlb);

#include <asm-generic/tlb.h>

static inline void tlb_flush(struct mmu_gather *tlb)
{
	/* The end of an address space: nothing runs in it until it is destroyed. */
	if (tlb->fullmm)
		return;
	if (tlb->need_flush_all)
		wasm_flush(tlb->mm, 0, TASK_SIZE);
	else if (tlb->end)
		wasm_flush(tlb->mm, tlb->start & PAGE_MASK,
			   PAGE_ALIGN(tlb->end));
}
#endif
