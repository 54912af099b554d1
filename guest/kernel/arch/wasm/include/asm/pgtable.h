/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_PGTABLE_H
#define _ASM_WASM_PGTABLE_H

#include <asm-generic/pgtable-nopmd.h>

#ifndef __ASSEMBLY__

#include <linux/mmdebug.h>
#include <asm/boundary.h>
#include <asm/page.h>

struct mm_struct;
struct vm_area_struct;

/*
 * Two levels. A table of entries has 4 KiB whatever the page size, so that a
 * small process does not pay for the address space that it leaves empty; a
 * directory entry covers 64 MiB with pages of 64 KiB.
 */
#define PTE_TABLE_SHIFT	12
#define PTE_TABLE_SIZE	(1UL << PTE_TABLE_SHIFT)
#define PTRS_PER_PTE	(PTE_TABLE_SIZE / sizeof(pte_t))
#define PGDIR_SHIFT	(PAGE_SHIFT + PTE_TABLE_SHIFT - 2)
#define PGDIR_SIZE	(1UL << PGDIR_SHIFT)
#define PGDIR_MASK	(~(PGDIR_SIZE - 1))
#define PTRS_PER_PGD	(1UL << (32 - PGDIR_SHIFT))

/*
 * The entry, which the host reads: the frame number from bit PAGE_SHIFT up, and
 * below it the machine's bits and our own. A page of PROT_NONE is present and
 * not user. The host sets no bits, and maps a page writable only when it is
 * both "write" and "dirty", so that the first write to a clean page faults.
 */
#define _PAGE_PRESENT		MACHINE_PTE_PRESENT
#define _PAGE_WRITE		MACHINE_PTE_WRITE
#define _PAGE_USER		MACHINE_PTE_USER
#define _PAGE_DIRTY		MACHINE_PTE_DIRTY
#define _PAGE_ACCESSED		(1 << 4)
#define _PAGE_SPECIAL		(1 << 5)
#define _PAGE_SWP_EXCLUSIVE	(1 << 6)

#define _PAGE_BASE	(_PAGE_PRESENT | _PAGE_ACCESSED)
#define _PAGE_TABLE	_PAGE_PRESENT
#define _PAGE_CHG_MASK	(PAGE_MASK | _PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_SPECIAL)

#define PAGE_NONE	__pgprot(_PAGE_BASE)
#define PAGE_READONLY	__pgprot(_PAGE_BASE | _PAGE_USER)
#define PAGE_COPY	PAGE_READONLY
#define PAGE_SHARED	__pgprot(_PAGE_BASE | _PAGE_USER | _PAGE_WRITE)
#define PAGE_KERNEL	__pgprot(_PAGE_BASE | _PAGE_WRITE | _PAGE_DIRTY)

/* Nothing is mapped for the kernel; no address lies in this range. */
#define VMALLOC_START	0xffff0000UL
#define VMALLOC_END	0xffff0000UL

extern pgd_t swapper_pg_dir[PTRS_PER_PGD];
extern char empty_zero_page[PAGE_SIZE];
#define ZERO_PAGE(vaddr)	virt_to_page(empty_zero_page)

#define pte_none(x)		(!pte_val(x))
#define pte_present(x)		(pte_val(x) & _PAGE_PRESENT)
#define pte_clear(mm, addr, p)	do { pte_val(*(p)) = 0; } while (0)
#define set_pte(p, v)		(*(p) = (v))

#define pmd_none(x)		(!pmd_val(x))
#define pmd_bad(x)		((pmd_val(x) & (PTE_TABLE_SIZE - 1)) != _PAGE_TABLE)
#define pmd_present(x)		(pmd_val(x) & _PAGE_PRESENT)
#define pmd_clear(p)		do { pmd_val(*(p)) = 0; } while (0)
#define set_pmd(p, v)		(*(p) = (v))
#define pmd_pfn(x)		(pmd_val(x) >> PAGE_SHIFT)
#define pmd_page(x)		pfn_to_page(pmd_pfn(x))
#define pmd_pgtable(x)		((pgtable_t)pmd_page_vaddr(x))

static inline unsigned long pmd_page_vaddr(pmd_t pmd)
{
	return pmd_val(pmd) & ~(PTE_TABLE_SIZE - 1);
}

static inline int pte_write(pte_t pte)	 { return pte_val(pte) & _PAGE_WRITE; }
static inline int pte_dirty(pte_t pte)	 { return pte_val(pte) & _PAGE_DIRTY; }
static inline int pte_young(pte_t pte)	 { return pte_val(pte) & _PAGE_ACCESSED; }
static inline int pte_user(pte_t pte)	 { return pte_val(pte) & _PAGE_USER; }
static inline int pte_special(pte_t pte) { return pte_val(pte) & _PAGE_SPECIAL; }

#define PTE_OP(name, op)						\
static inline pte_t pte_##name(pte_t pte)				\
{									\
	pte_val(pte) op;						\
	return pte;							\
}
PTE_OP(wrprotect, &= ~_PAGE_WRITE)
PTE_OP(mkclean, &= ~_PAGE_DIRTY)
PTE_OP(mkold, &= ~_PAGE_ACCESSED)
PTE_OP(mkwrite_novma, |= _PAGE_WRITE)
PTE_OP(mkdirty, |= _PAGE_DIRTY)
PTE_OP(mkyoung, |= _PAGE_ACCESSED)
PTE_OP(mkspecial, |= _PAGE_SPECIAL)
#undef PTE_OP

static inline pte_t pte_modify(pte_t pte, pgprot_t newprot)
{
	return __pte((pte_val(pte) & _PAGE_CHG_MASK) | pgprot_val(newprot));
}

#define PFN_PTE_SHIFT		PAGE_SHIFT
#define pte_pfn(x)		(pte_val(x) >> PAGE_SHIFT)
#define pfn_pte(pfn, prot)	__pte(((pfn) << PAGE_SHIFT) | pgprot_val(prot))
#define mk_pte(page, prot)	pfn_pte(page_to_pfn(page), prot)
#define pte_page(x)		pfn_to_page(pte_pfn(x))

#define pte_ERROR(e) \
	pr_err("%s:%d: bad pte %08lx.\n", __FILE__, __LINE__, pte_val(e))
#define pgd_ERROR(e) \
	pr_err("%s:%d: bad pgd %08lx.\n", __FILE__, __LINE__, pgd_val(e))

/* The host walks the table when an access misses: nothing to preload. */
#define update_mmu_cache_range(vmf, vma, addr, ptep, nr)	do { } while (0)
#define update_mmu_cache(vma, addr, ptep)			do { } while (0)

/*
 * A permission that grew is no reason to flush: the host walks the table
 * again on the fault that the old mapping causes.
 */
#define flush_tlb_fix_spurious_fault(vma, addr, ptep)	do { } while (0)

/*
 * Swap entries: bit 0 clear, type in bits 1 to 5, exclusive in bit 6,
 * offset from bit 7.
 */
#define __swp_type(x)		(((x).val >> 1) & 0x1f)
#define __swp_offset(x)		((x).val >> 7)
#define __swp_entry(type, off)	\
	((swp_entry_t) { (((type) & 0x1f) << 1) | ((off) << 7) })
#define __pte_to_swp_entry(pte)	((swp_entry_t) { pte_val(pte) })
#define __swp_entry_to_pte(x)	((pte_t) { (x).val })

static inline int pte_swp_exclusive(pte_t pte)
{
	return pte_val(pte) & _PAGE_SWP_EXCLUSIVE;
}

static inline pte_t pte_swp_mkexclusive(pte_t pte)
{
	return __pte(pte_val(pte) | _PAGE_SWP_EXCLUSIVE);
}

static inline pte_t pte_swp_clear_exclusive(pte_t pte)
{
	return __pte(pte_val(pte) & ~_PAGE_SWP_EXCLUSIVE);
}

bool wasm_fork_copies(struct vm_area_struct *vma, unsigned long addr,
		      bool again);
#define arch_fork_copies(vma, addr, pte, again) \
	(pte_write(pte) && wasm_fork_copies(vma, addr, again))

void paging_init(void);

#endif /* !__ASSEMBLY__ */
#endif
