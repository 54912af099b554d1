// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel cannot dereference a user address: it walks the page table and
 * goes through the identity map, page by page. Kernel code is not preempted
 * between walk and copy; with several processors the walk would have to hold
 * the page table lock, as get_user_pages_fast() does without interrupts.
 */
#include <linux/mm.h>
#include <linux/export.h>
#include <linux/pgtable.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>
#include "mm.h"
#include "../kernel/kernel.h"

/* The same rule as the host's: a page is written only when it is dirty. */
static void *uaccess_walk(struct mm_struct *mm, unsigned long addr, bool write)
{
	pmd_t *pmd = pmd_off(mm, addr);
	pte_t pte;

	if (!pmd_present(*pmd))
		return NULL;
	pte = *pte_offset_kernel(pmd, addr);
	if (!pte_present(pte) || !pte_user(pte))
		return NULL;
	if (write && !(pte_write(pte) && pte_dirty(pte)))
		return NULL;
	return __va((pte_val(pte) & PAGE_MASK) + offset_in_page(addr));
}

/* False if the page is not there or may not be written as it is. */
bool wasm_put_timespec(unsigned long addr, const struct timespec64 *ts)
{
	u8 *p;

	if (offset_in_page(addr) > PAGE_SIZE - 16 || !access_ok((void __user *)addr, 16))
		return false;
	p = uaccess_walk(current->mm, addr, true);
	if (!p)
		return false;
	put_unaligned(ts->tv_sec, (u64 *)p);
	put_unaligned((u64)ts->tv_nsec, (u64 *)(p + 8));
	return true;
}

static void *uaccess_to_kernel(unsigned long addr, bool write)
{
	struct mm_struct *mm = current->mm;
	int code;
	void *p;

	if (unlikely(!mm))
		return NULL;
	while (!(p = uaccess_walk(mm, addr, write))) {
		if (faulthandler_disabled() ||
		    wasm_fault_in(addr, write, 0, &code))
			return NULL;
	}
	return p;
}

/* Most accesses are of one word. */
static __always_inline void copy(void *to, const void *from, unsigned long n)
{
	if (n == 4)
		put_unaligned(get_unaligned((const u32 *)from), (u32 *)to);
	else if (n == 8)
		put_unaligned(get_unaligned((const u64 *)from), (u64 *)to);
	else
		memcpy(to, from, n);
}

static unsigned long uaccess_chunk(unsigned long addr, unsigned long n)
{
	return min(n, PAGE_SIZE - offset_in_page(addr));
}

unsigned long raw_copy_from_user(void *to, const void __user *from,
				 unsigned long n)
{
	unsigned long addr = (unsigned long)from;

	while (n) {
		unsigned long len = uaccess_chunk(addr, n);
		void *p = uaccess_to_kernel(addr, false);

		if (!p)
			break;
		copy(to, p, len);
		to += len;
		addr += len;
		n -= len;
	}
	return n;
}
EXPORT_SYMBOL(raw_copy_from_user);

unsigned long raw_copy_to_user(void __user *to, const void *from,
			       unsigned long n)
{
	unsigned long addr = (unsigned long)to;

	while (n) {
		unsigned long len = uaccess_chunk(addr, n);
		void *p = uaccess_to_kernel(addr, true);

		if (!p)
			break;
		copy(p, from, len);
		from += len;
		addr += len;
		n -= len;
	}
	return n;
}
EXPORT_SYMBOL(raw_copy_to_user);

unsigned long __clear_user(void __user *to, unsigned long n)
{
	unsigned long addr = (unsigned long)to;

	while (n) {
		unsigned long len = uaccess_chunk(addr, n);
		void *p = uaccess_to_kernel(addr, true);

		if (!p)
			break;
		memset(p, 0, len);
		addr += len;
		n -= len;
	}
	return n;
}
EXPORT_SYMBOL(__clear_user);

long strncpy_from_user(char *dst, const char __user *src, long count)
{
	unsigned long addr = (unsigned long)src;
	long done = 0;

	while (done < count) {
		unsigned long len = uaccess_chunk(addr, count - done);
		char *p, *end;

		if (!access_ok((void __user *)addr, 1))
			return -EFAULT;
		p = uaccess_to_kernel(addr, false);
		if (!p)
			return -EFAULT;
		end = memchr(p, 0, len);
		if (end) {
			memcpy(dst + done, p, end - p + 1);
			return done + (end - p);
		}
		memcpy(dst + done, p, len);
		addr += len;
		done += len;
	}
	return done;
}
EXPORT_SYMBOL(strncpy_from_user);

/* With the final zero; 0 for a bad address, more than n if it is longer. */
long strnlen_user(const char __user *str, long n)
{
	unsigned long addr = (unsigned long)str;
	long done = 0;

	while (done < n) {
		unsigned long len = uaccess_chunk(addr, n - done);
		char *p, *end;

		if (!access_ok((void __user *)addr, 1))
			return 0;
		p = uaccess_to_kernel(addr, false);
		if (!p)
			return 0;
		end = memchr(p, 0, len);
		if (end)
			return done + (end - p) + 1;
		addr += len;
		done += len;
	}
	return n + 1;
}
EXPORT_SYMBOL(strnlen_user);
