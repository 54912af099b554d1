// SPDX-License-Identifier: GPL-2.0
#include <linux/init.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <asm/host.h>
#include <asm/pgalloc.h>

pgd_t swapper_pg_dir[PTRS_PER_PGD];
char empty_zero_page[PAGE_SIZE] __page_aligned_bss;

static struct kmem_cache *pgd_cache;
static struct kmem_cache *pte_cache;

/* There is no execute permission: code is not in memory. */
static const pgprot_t protection_map[16] = {
	[VM_NONE]					= PAGE_NONE,
	[VM_READ]					= PAGE_READONLY,
	[VM_WRITE]					= PAGE_COPY,
	[VM_WRITE | VM_READ]				= PAGE_COPY,
	[VM_EXEC]					= PAGE_READONLY,
	[VM_EXEC | VM_READ]				= PAGE_READONLY,
	[VM_EXEC | VM_WRITE]				= PAGE_COPY,
	[VM_EXEC | VM_WRITE | VM_READ]			= PAGE_COPY,
	[VM_SHARED]					= PAGE_NONE,
	[VM_SHARED | VM_READ]				= PAGE_READONLY,
	[VM_SHARED | VM_WRITE]				= PAGE_SHARED,
	[VM_SHARED | VM_WRITE | VM_READ]		= PAGE_SHARED,
	[VM_SHARED | VM_EXEC]				= PAGE_READONLY,
	[VM_SHARED | VM_EXEC | VM_READ]			= PAGE_READONLY,
	[VM_SHARED | VM_EXEC | VM_WRITE]		= PAGE_SHARED,
	[VM_SHARED | VM_EXEC | VM_WRITE | VM_READ]	= PAGE_SHARED,
};
DECLARE_VM_GET_PAGE_PROT

/* Before anything could make an address space */
void __init pgtable_cache_init(void)
{
	pgd_cache = kmem_cache_create("pgd", PTRS_PER_PGD * sizeof(pgd_t), 0,
				      SLAB_PANIC | SLAB_ACCOUNT, NULL);
	pte_cache = kmem_cache_create("pte", PTE_TABLE_SIZE, PTE_TABLE_SIZE,
				      SLAB_PANIC | SLAB_ACCOUNT, NULL);
}

pgd_t *pgd_alloc(struct mm_struct *mm)
{
	return kmem_cache_zalloc(pgd_cache, GFP_KERNEL);
}

void pgd_free(struct mm_struct *mm, pgd_t *pgd)
{
	kmem_cache_free(pgd_cache, pgd);
}

pte_t *wasm_pte_alloc(void)
{
	return kmem_cache_zalloc(pte_cache, GFP_KERNEL);
}

void wasm_pte_free(pte_t *pte)
{
	kmem_cache_free(pte_cache, pte);
}

void __init paging_init(void)
{
	unsigned long max_zone_pfn[MAX_NR_ZONES] = { 0 };

	min_low_pfn = 0;
	max_pfn = boot_info.memory_size >> PAGE_SHIFT;
	max_low_pfn = max_pfn;
	max_zone_pfn[ZONE_NORMAL] = max_low_pfn;
	free_area_init(max_zone_pfn);
}

/*
 * Boot takes some megabytes for slabs and tables: from where the allocator says.
 * The host brings them in meanwhile.
 */
static void __init mm_announce_use(void)
{
	unsigned int order = get_order(SZ_8M);
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_NOWARN, order);

	if (page) {
		host_memory_use(page_to_phys(page), SZ_4M + SZ_1M);
		__free_pages(page, order);
	}
}

void __init mem_init(void)
{
	set_max_mapnr(max_low_pfn);
	high_memory = __va(max_low_pfn << PAGE_SHIFT);
	memblock_free_all();
	mm_announce_use();
}

/* Init data is spread over the image; the layout has no range to free yet. */
void free_initmem(void)
{
}
