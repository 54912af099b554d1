// SPDX-License-Identifier: GPL-2.0
/*
 * In place of mm/vmalloc.c: the kernel cannot remap its own memory, so what
 * vmalloc() returns is contiguous. An index by page number tells such memory
 * from other (kvfree) and keeps its size.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>
#include "../../../mm/internal.h"

static DEFINE_XARRAY(areas);	/* page number -> struct vm_struct */
bool vmap_initialized __read_mostly = true;

void __init vmalloc_init(void)
{
}

bool is_vmalloc_addr(const void *x)
{
	return find_vm_area(x);
}

int is_vmalloc_or_module_addr(const void *x)
{
	return is_vmalloc_addr(x);
}

#ifdef CONFIG_PRINTK
bool vmalloc_dump_obj(void *object)
{
	return false;
}
#endif

struct vm_struct *find_vm_area(const void *addr)
{
	unsigned long index = virt_to_pfn(addr);

	return xa_load(&areas, index);
}

void *__vmalloc_node_range_noprof(unsigned long size, unsigned long align,
				  unsigned long start, unsigned long end, gfp_t gfp_mask,
				  pgprot_t prot, unsigned long vm_flags, int node,
				  const void *caller)
{
	struct vm_struct *area;

	if (!size || get_order(size) > MAX_PAGE_ORDER)
		return NULL;
	area = kzalloc(sizeof(*area), gfp_mask & GFP_RECLAIM_MASK);
	if (!area)
		return NULL;
	area->size = PAGE_ALIGN(size);
	area->flags = VM_ALLOC | vm_flags;
	area->caller = caller;
	area->addr = alloc_pages_exact(size, gfp_mask & ~__GFP_HIGHMEM);
	if (!area->addr)
		goto free;
	if (xa_err(xa_store(&areas, virt_to_pfn(area->addr), area,
			    gfp_mask & GFP_RECLAIM_MASK)))
		goto free_pages;
	return area->addr;

free_pages:
	free_pages_exact(area->addr, size);
free:
	kfree(area);
	return NULL;
}

void *__vmalloc_node_noprof(unsigned long size, unsigned long align,
			    gfp_t gfp_mask, int node, const void *caller)
{
	return __vmalloc_node_range_noprof(size, align, 0, 0, gfp_mask,
					   PAGE_KERNEL, 0, node, caller);
}

void *__vmalloc_noprof(unsigned long size, gfp_t gfp_mask)
{
	return __vmalloc_node_noprof(size, 1, gfp_mask, NUMA_NO_NODE, NULL);
}

void *vmalloc_noprof(unsigned long size)
{
	return __vmalloc_noprof(size, GFP_KERNEL);
}

void *vzalloc_noprof(unsigned long size)
{
	return __vmalloc_noprof(size, GFP_KERNEL | __GFP_ZERO);
}

void *vmalloc_user_noprof(unsigned long size)
{
	return __vmalloc_node_range_noprof(size, 1, 0, 0,
					   GFP_KERNEL | __GFP_ZERO, PAGE_KERNEL,
					   VM_USERMAP, NUMA_NO_NODE, NULL);
}

void *vmalloc_node_noprof(unsigned long size, int node)
{
	return vmalloc_noprof(size);
}

void *vzalloc_node_noprof(unsigned long size, int node)
{
	return vzalloc_noprof(size);
}

void *vmalloc_32_noprof(unsigned long size)
{
	return vmalloc_noprof(size);
}

void *vmalloc_32_user_noprof(unsigned long size)
{
	return vmalloc_user_noprof(size);
}

void *vmalloc_huge_noprof(unsigned long size, gfp_t gfp_mask)
{
	return __vmalloc_noprof(size, gfp_mask);
}

void *vrealloc_noprof(const void *p, size_t size, gfp_t flags)
{
	size_t old = p ? find_vm_area(p)->size : 0;
	void *n;

	if (size && size <= old)
		return (void *)p;
	n = size ? __vmalloc_noprof(size, flags) : NULL;
	if (p && (n || !size)) {
		if (n)
			memcpy(n, p, old);
		vfree(p);
	}
	return n;
}

void vfree(const void *addr)
{
	struct vm_struct *area;

	if (!addr)
		return;
	area = xa_erase(&areas, virt_to_pfn(addr));
	if (WARN(!area, "%s() of a bad address (%p)\n", __func__, addr))
		return;
	free_pages_exact(area->addr, area->size);
	kfree(area);
}

void vfree_atomic(const void *addr)
{
	vfree(addr);
}

struct page *vmalloc_to_page(const void *addr)
{
	return virt_to_page(addr);
}

unsigned long vmalloc_to_pfn(const void *addr)
{
	return virt_to_pfn(addr);
}

unsigned long vmalloc_nr_pages(void)
{
	struct vm_struct *area;
	unsigned long index, n = 0;

	xa_for_each(&areas, index, area)
		n += area->size >> PAGE_SHIFT;
	return n;
}

/* Only pages that follow each other can be "mapped". */
void *vmap(struct page **pages, unsigned int count, unsigned long flags,
	   pgprot_t prot)
{
	unsigned int i;

	for (i = 1; i < count; i++)
		if (page_to_pfn(pages[i]) != page_to_pfn(pages[0]) + i)
			return NULL;
	return count ? page_address(pages[0]) : NULL;
}

void vunmap(const void *addr)
{
}

void *vm_map_ram(struct page **pages, unsigned int count, int node)
{
	return vmap(pages, count, 0, PAGE_KERNEL);
}

void vm_unmap_ram(const void *mem, unsigned int count)
{
}

void vm_unmap_aliases(void)
{
}

int remap_vmalloc_range_partial(struct vm_area_struct *vma, unsigned long uaddr,
				void *kaddr, unsigned long pgoff,
				unsigned long size)
{
	return remap_pfn_range(vma, uaddr, virt_to_pfn(kaddr) + pgoff,
			       PAGE_ALIGN(size), vma->vm_page_prot);
}

int remap_vmalloc_range(struct vm_area_struct *vma, void *addr,
			unsigned long pgoff)
{
	return remap_vmalloc_range_partial(vma, vma->vm_start, addr, pgoff,
					   vma->vm_end - vma->vm_start);
}

long vread_iter(struct iov_iter *iter, const char *addr, size_t count)
{
	return 0;
}
