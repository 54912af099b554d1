/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_PGALLOC_H
#define _ASM_WASM_PGALLOC_H

#include <linux/mm.h>

/*
 * Tables are smaller than pages and come from slab caches (arch/wasm/mm/init.c).
 * The lock of all of them is mm->page_table_lock.
 */
pgd_t *pgd_alloc(struct mm_struct *mm);
void pgd_free(struct mm_struct *mm, pgd_t *pgd);
pte_t *wasm_pte_alloc(void);
void wasm_pte_free(pte_t *pte);

static inline pgtable_t pte_alloc_one(struct mm_struct *mm)
{
	return wasm_pte_alloc();
}

static inline pte_t *pte_alloc_one_kernel(struct mm_struct *mm)
{
	return wasm_pte_alloc();
}

static inline void pte_free(struct mm_struct *mm, pgtable_t pte)
{
	wasm_pte_free(pte);
}

static inline void pte_free_kernel(struct mm_struct *mm, pte_t *pte)
{
	wasm_pte_free(pte);
}

#define pmd_populate(mm, pmd, pte) \
	set_pmd(pmd, __pmd(_PAGE_TABLE | __pa(pte)))
#define pmd_populate_kernel(mm, pmd, pte)	pmd_populate(mm, pmd, pte)

#define __pte_free_tlb(tlb, pte, addr)	tlb_remove_table((tlb), (pte))
#define __tlb_remove_table(table)	wasm_pte_free(table)
#endif
