// SPDX-License-Identifier: GPL-2.0
/*
 * Programs are WebAssembly modules. The host compiles the code; the kernel maps
 * the memory, so that it is of user pages like any other.
 */
#include <linux/binfmts.h>
#include <linux/elf.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>
#include "image.h"

/* argc, argv, envp, auxv, as for ELF; the strings are already on the stack */
static unsigned long wasm_create_tables(struct linux_binprm *bprm)
{
	struct mm_struct *mm = current->mm;
	const struct cred *cred = current_cred();
	u32 random[4], random_at, at;
	u32 __user *sp;
	u32 auxv[] = {
		AT_PAGESZ, PAGE_SIZE, AT_UID, from_kuid_munged(cred->user_ns, cred->uid),
		AT_EUID, from_kuid_munged(cred->user_ns, cred->euid),
		AT_GID, from_kgid_munged(cred->user_ns, cred->gid),
		AT_EGID, from_kgid_munged(cred->user_ns, cred->egid),
		AT_SECURE, bprm->secureexec, AT_CLKTCK, CLOCKS_PER_SEC,
		AT_EXECFN, bprm->exec, AT_RANDOM, 0, AT_NULL, 0,
	};
	int i, pass;

	get_random_bytes(random, sizeof(random));
	random_at = (bprm->p - sizeof(random)) & ~15UL;
	auxv[ARRAY_SIZE(auxv) - 3] = random_at;
	at = random_at - sizeof(auxv) - 4 * (bprm->argc + bprm->envc + 3);
	sp = (u32 __user *)(at & ~15UL);
	at = (u32)sp;

	if (copy_to_user((void __user *)random_at, random, sizeof(random)) ||
	    put_user(bprm->argc, sp++))
		return 0;
	mm->arg_start = bprm->p;
	for (pass = 0; pass < 2; pass++) {
		for (i = pass ? bprm->envc : bprm->argc; i; i--) {
			long len;

			if (put_user(bprm->p, sp++))
				return 0;
			len = strnlen_user((void __user *)bprm->p, MAX_ARG_STRLEN);
			if (!len || len > MAX_ARG_STRLEN)
				return 0;
			bprm->p += len;
		}
		if (put_user(0, sp++))
			return 0;
		if (!pass) {
			mm->arg_end = bprm->p;
			mm->env_start = bprm->p;
		}
	}
	mm->env_end = bprm->p;
	BUILD_BUG_ON(sizeof(auxv) > sizeof(mm->saved_auxv));
	memcpy(mm->saved_auxv, auxv, sizeof(auxv));
	return copy_to_user(sp, auxv, sizeof(auxv)) ? 0 : at;
}

static struct linux_binfmt wasm_format;

static int load_wasm_binary(struct linux_binprm *bprm)
{
	static const u8 magic[8] = "\0asm\1\0\0";
	struct wasm_image *image;
	struct mm_struct *mm;
	unsigned long sp, bss = WASM_PAGE;
	int err;

	if (memcmp(bprm->buf, magic, sizeof(magic)))
		return -ENOEXEC;
	image = wasm_image_get(bprm);
	if (IS_ERR(image))
		return PTR_ERR(image);

	/* While the caller can still be told. */
	err = host_user_reserve(image->module);
	if (err)
		goto out;
	err = begin_new_exec(bprm);
	if (err)
		goto out;
	setup_new_exec(bprm);
	mm = current->mm;
	err = setup_arg_pages(bprm, STACK_TOP, EXSTACK_DISABLE_X);
	if (err)
		goto out;

	/* The first page stays free: a null pointer faults. */
	if (image->data) {
		unsigned long len = PAGE_ALIGN(image->data_len);
		unsigned long at = vm_mmap(image->data, WASM_PAGE, len,
					   PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_FIXED, 0);

		err = (int)at;
		if (IS_ERR_VALUE(at))
			goto out;
		bss += len;
	}
	if (bss < image->memory) {
		err = vm_brk_flags(bss, image->memory - bss, 0);
		if (err)
			goto out;
	}
	mm->start_data = WASM_PAGE;
	mm->end_data = image->memory;
	mm->start_brk = image->memory;
	mm->brk = image->memory;

	err = -EFAULT;
	sp = wasm_create_tables(bprm);
	if (!sp)
		goto out;
	mm->start_stack = sp;
	set_binfmt(&wasm_format);
	finalize_exec(bprm);
	start_thread(current_pt_regs(), image->module, sp);
	err = 0;
out:
	wasm_image_put(image);
	return err;
}

static struct linux_binfmt wasm_format = {
	.module		= THIS_MODULE,
	.load_binary	= load_wasm_binary,
};

static int __init init_wasm_binfmt(void)
{
	register_binfmt(&wasm_format);
	return 0;
}
core_initcall(init_wasm_binfmt);
