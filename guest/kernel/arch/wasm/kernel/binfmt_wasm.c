// SPDX-License-Identifier: GPL-2.0
/*
 * Programs are WebAssembly modules. The host compiles the code; the kernel
 * maps the memory and writes the data segments, so that they are user pages
 * like any other.
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
#include <linux/sizes.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <asm/host.h>

#define WASM_PAGE	65536
#define SECTION_IMPORT	2
#define SECTION_DATA	11
/* What a program's memory leaves free for mappings and the stack */
#define MEMORY_MAX	(TASK_SIZE - SZ_128M)
#define IMAGE_MAX	SZ_256M

/* A reader that goes no further than the end; "bad" sticks. */
struct reader {
	const u8 *p, *end;
	bool bad;
};

static u8 rd_byte(struct reader *r)
{
	if (r->p >= r->end) {
		r->bad = true;
		return 0;
	}
	return *r->p++;
}

/* LEB128, of at most 32 bits; the sign does not matter to addresses below 2^31 */
static u32 rd_leb(struct reader *r, bool sign)
{
	u32 value = 0;
	unsigned int shift = 0;
	u8 byte;

	do {
		byte = rd_byte(r);
		if (shift < 32)
			value |= (u32)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) && shift < 35);
	if (sign && shift < 32 && (byte & 0x40))
		value |= ~0U << shift;
	if (byte & 0x80)
		r->bad = true;
	return value;
}

static const u8 *rd_bytes(struct reader *r, u32 len)
{
	const u8 *p = r->p;

	if (len > r->end - r->p) {
		r->bad = true;
		len = r->end - r->p;
	}
	r->p += len;
	return p;
}

static bool find_section(struct reader *r, const void *image, size_t size, u8 id)
{
	*r = (struct reader) { image + 8, image + size };
	while (r->p < r->end && !r->bad) {
		u8 this = rd_byte(r);
		u32 len = rd_leb(r, false);
		const u8 *body = rd_bytes(r, len);

		if (this == id && !r->bad) {
			*r = (struct reader) { body, body + len };
			return true;
		}
	}
	return false;
}

/* Size of the imported memory in bytes, 0 if there is none */
static unsigned long memory_size(const void *image, size_t size)
{
	struct reader r;
	u32 n;

	if (!find_section(&r, image, size, SECTION_IMPORT))
		return 0;
	for (n = rd_leb(&r, false); n && !r.bad; n--) {
		u8 kind, flags;
		u32 min;

		rd_bytes(&r, rd_leb(&r, false));
		rd_bytes(&r, rd_leb(&r, false));
		kind = rd_byte(&r);
		switch (kind) {
		case 0:				/* function */
			rd_leb(&r, false);
			break;
		case 1:				/* table */
			rd_byte(&r);
			fallthrough;
		case 2:				/* memory */
			flags = rd_byte(&r);
			min = rd_leb(&r, false);
			if (flags & 1)
				rd_leb(&r, false);
			if (kind == 2)
				return min < 65536 ? min * WASM_PAGE : 0;
			break;
		case 3:				/* global */
			rd_byte(&r);
			rd_byte(&r);
			break;
		default:			/* none of our programs */
			return 0;
		}
	}
	return 0;
}

/*
 * Checks the active segments against the size of memory, or writes them.
 * Passive ones are the program's own affair.
 */
static int write_data(const void *image, size_t size, unsigned long memory,
		      bool check)
{
	struct reader r;
	u32 n;

	if (!find_section(&r, image, size, SECTION_DATA))
		return 0;
	for (n = rd_leb(&r, false); n && !r.bad; n--) {
		u32 addr, len;
		const u8 *bytes;

		switch (rd_byte(&r)) {
		case 0:
			break;
		case 1:				/* passive */
			rd_bytes(&r, rd_leb(&r, false));
			continue;
		default:
			return -ENOEXEC;
		}
		if (rd_byte(&r) != 0x41)	/* i32.const */
			return -ENOEXEC;
		addr = rd_leb(&r, true);
		if (rd_byte(&r) != 0x0b)	/* end */
			return -ENOEXEC;
		len = rd_leb(&r, false);
		bytes = rd_bytes(&r, len);
		if (r.bad)
			break;
		if (check && len && (addr < WASM_PAGE || addr > memory ||
				     len > memory - addr))
			return -ENOEXEC;
		if (!check && copy_to_user((void __user *)addr, bytes, len))
			return -EFAULT;
	}
	return r.bad ? -ENOEXEC : 0;
}

/* argc, argv, envp, auxv, as for ELF; the strings are already on the stack */
static unsigned long create_tables(struct linux_binprm *bprm)
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
		if (!pass)
			mm->arg_end = mm->env_start = bprm->p;
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
	unsigned long size = i_size_read(file_inode(bprm->file)), memory, sp;
	struct mm_struct *mm;
	loff_t pos = 0;
	void *image;
	int module = -1, err = -ENOEXEC;

	if (memcmp(bprm->buf, magic, sizeof(magic)) || size > IMAGE_MAX)
		return -ENOEXEC;
	image = vmalloc(size);
	if (!image)
		return -ENOMEM;
	if (kernel_read(bprm->file, image, size, &pos) != size)
		goto out;
	memory = memory_size(image, size);
	if (memory <= WASM_PAGE)
		goto out;
	err = write_data(image, size, memory, true);
	if (err)
		goto out;
	err = -ENOMEM;
	if (memory > MEMORY_MAX)
		goto out;
	module = host_module_load(image, size);
	err = module;
	if (module < 0)
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
	err = vm_brk_flags(WASM_PAGE, memory - WASM_PAGE, 0);
	if (err)
		goto out;
	mm->start_data = WASM_PAGE;
	mm->end_data = mm->start_brk = mm->brk = memory;
	err = write_data(image, size, memory, false);
	if (err)
		goto out;

	err = -EFAULT;
	sp = create_tables(bprm);
	if (!sp)
		goto out;
	mm->start_stack = sp;
	set_binfmt(&wasm_format);
	finalize_exec(bprm);
	start_thread(current_pt_regs(), module, sp);
	module = -1;
	err = 0;
out:
	if (module >= 0)
		host_module_drop(module);
	vfree(image);
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
