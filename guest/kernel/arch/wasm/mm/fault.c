// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults of user code, and of the kernel's accesses to user memory.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include "mm.h"
#include "../kernel/kernel.h"

/* 0, or the signal that the access deserves, with its code in *code */
int wasm_fault_in(unsigned long addr, bool write, unsigned int flags, int *code)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	vm_fault_t fault;

	flags |= FAULT_FLAG_DEFAULT | (write ? FAULT_FLAG_WRITE : 0);
retry:
	*code = SEGV_MAPERR;
	vma = lock_mm_and_find_vma(mm, addr, NULL);
	if (!vma)
		return SIGSEGV;

	*code = SEGV_ACCERR;
	if (!(vma->vm_flags & (write ? VM_WRITE : VM_READ | VM_EXEC | VM_WRITE))) {
		mmap_read_unlock(mm);
		return SIGSEGV;
	}

	fault = handle_mm_fault(vma, addr, flags, NULL);
	if (fault_signal_pending(fault, task_pt_regs(current)))
		return flags & FAULT_FLAG_USER ? 0 : SIGKILL;
	if (fault & VM_FAULT_COMPLETED)
		return 0;
	if (fault & VM_FAULT_RETRY) {
		flags |= FAULT_FLAG_TRIED;
		goto retry;
	}
	mmap_read_unlock(mm);

	if (unlikely(fault & VM_FAULT_ERROR)) {
		if (fault & VM_FAULT_OOM) {
			if (flags & FAULT_FLAG_USER)
				pagefault_out_of_memory();
			return flags & FAULT_FLAG_USER ? 0 : SIGKILL;
		}
		*code = fault & VM_FAULT_SIGSEGV ? SEGV_ACCERR : BUS_ADRERR;
		return fault & VM_FAULT_SIGSEGV ? SIGSEGV : SIGBUS;
	}
	return 0;
}

/*
 * Who maps one page, touches it and unmaps it, again and again, gets it with
 * the mapping: a fault costs as much as the rest. It takes some such rounds
 * until then, and a look now and then whether they still are: others, who map
 * what they may never need, get it when they touch it.
 */
#define TOUCHED_ENOUGH	8
#define LOOK_EACH	16

void wasm_mapped_page(unsigned long addr, unsigned long prot,
		      unsigned long flags)
{
	mm_context_t *context = &current->mm->context;
	int code;

	if ((prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE) ||
	    (flags & (MAP_TYPE | MAP_ANONYMOUS | MAP_NORESERVE)) !=
	    (MAP_PRIVATE | MAP_ANONYMOUS))
		return;
	if (context->untouched)
		context->touched = 0;
	context->untouched = addr;
	if (context->touched < TOUCHED_ENOUGH ||
	    ++context->mapped % LOOK_EACH == 0)
		return;
	context->untouched = 0;
	if (!wasm_fault_in(addr, true, 0, &code))
		host_tlb_load(__pa(current->mm->pgd), addr);
}

void wasm_user_fault(unsigned long addr, bool write)
{
	int code, signo = wasm_fault_in(addr, write, FAULT_FLAG_USER, &code);
	mm_context_t *context = &current->mm->context;

	if (context->untouched && addr - context->untouched < PAGE_SIZE) {
		context->untouched = 0;
		context->touched++;
	}
	if (signo)
		force_sig_fault(signo, code, (void __user *)addr);
}

/*
 * A private page that may be written has been written since a fork took that
 * away from all of them. Parent and child will most likely write it again: a
 * fault in each, a permission withdrawn, and a copy in the end. To copy it at
 * once costs less, as long as it is not many of them. The likely ones are the
 * first of a mapping (data, heap) and its last (stack).
 *
 * It costs memory where the child writes nothing: a parent of many children
 * that live gets the usual fork.
 *
 * "again": this page's copy was decided upon, and now there is memory for it.
 */
#define FORK_COPIES_EACH	SZ_256K
#define FORK_COPIES_ALL		(SZ_1M / PAGE_SIZE)
#define FORK_COPIES_CHILDREN	16

static bool fault_many_children(void)
{
	struct list_head *child;
	int n = 0;

	guard(read_lock)(&tasklist_lock);
	list_for_each(child, &current->children)
		if (++n > FORK_COPIES_CHILDREN)
			return true;
	return false;
}

bool wasm_fork_copies(struct vm_area_struct *vma, unsigned long addr,
		      bool again)
{
	unsigned int *copied = &vma->vm_mm->context.fork_copied;

	if (again)
		return true;
	if (*copied == FORK_COPIES_ALL)
		return false;
	if (!*copied && fault_many_children()) {
		*copied = FORK_COPIES_ALL;
		return false;
	}
	if (addr - vma->vm_start >= FORK_COPIES_EACH &&
	    vma->vm_end - addr > FORK_COPIES_EACH)
		return false;
	(*copied)++;
	return true;
}
