// SPDX-License-Identifier: GPL-2.0
/*
 * Executable images. What an exec has to find out about a file is kept: the
 * host's handle of the compiled program, and the initial memory as a file of
 * its own, which processes map privately. So a second exec of a program reads
 * and copies nothing, and its read-only data are in memory once.
 *
 * An image is known by its inode's version, which every write changes, also one
 * through a shared mapping: only the first of a mapping, so that a file with
 * writable mappings is not kept.
 */
#include <linux/binfmts.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/iversion.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/refcount.h>
#include <linux/shmem_fs.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uidgid.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <asm/host.h>
#include "image.h"

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

static u8 image_rd_byte(struct reader *r)
{
	if (r->p >= r->end) {
		r->bad = true;
		return 0;
	}
	return *r->p++;
}

/* LEB128, of at most 32 bits; the sign does not matter to addresses below 2^31 */
static u32 image_rd_leb(struct reader *r, bool sign)
{
	u32 value = 0;
	unsigned int shift = 0;
	u8 byte;

	do {
		byte = image_rd_byte(r);
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

static const u8 *image_rd_bytes(struct reader *r, u32 len)
{
	const u8 *p = r->p;

	if (len > r->end - r->p) {
		r->bad = true;
		len = r->end - r->p;
	}
	r->p += len;
	return p;
}

static bool image_find_section(struct reader *r, const void *image, size_t size, u8 id)
{
	*r = (struct reader) { image + 8, image + size };
	while (r->p < r->end && !r->bad) {
		u8 this = image_rd_byte(r);
		u32 len = image_rd_leb(r, false);
		const u8 *body = image_rd_bytes(r, len);

		if (this == id && !r->bad) {
			*r = (struct reader) { body, body + len };
			return true;
		}
	}
	return false;
}

/* Size of the imported memory in bytes, 0 if there is none */
static unsigned long image_memory_size(const void *image, size_t size)
{
	struct reader r;
	u32 n;

	if (!image_find_section(&r, image, size, SECTION_IMPORT))
		return 0;
	for (n = image_rd_leb(&r, false); n && !r.bad; n--) {
		u8 kind, flags;
		u32 min;

		image_rd_bytes(&r, image_rd_leb(&r, false));
		image_rd_bytes(&r, image_rd_leb(&r, false));
		kind = image_rd_byte(&r);
		switch (kind) {
		case 0:				/* function */
			image_rd_leb(&r, false);
			break;
		case 1:				/* table */
			image_rd_byte(&r);
			fallthrough;
		case 2:				/* memory */
			flags = image_rd_byte(&r);
			min = image_rd_leb(&r, false);
			if (flags & 1)
				image_rd_leb(&r, false);
			if (kind == 2)
				return min < 65536 ? min * WASM_PAGE : 0;
			break;
		case 3:				/* global */
			image_rd_byte(&r);
			image_rd_byte(&r);
			break;
		default:			/* none of our programs */
			return 0;
		}
	}
	return 0;
}

/*
 * Goes through the active segments: finds out where the last one ends, or writes
 * them to a file. Passive ones are the program's own affair.
 */
static int image_segments(const void *image, size_t size, unsigned long memory,
			  unsigned long *data_end, struct file *to)
{
	struct reader r;
	u32 n;

	if (!image_find_section(&r, image, size, SECTION_DATA))
		return 0;
	for (n = image_rd_leb(&r, false); n && !r.bad; n--) {
		u32 addr, len;
		const u8 *bytes;

		switch (image_rd_byte(&r)) {
		case 0:
			break;
		case 1:				/* passive */
			image_rd_bytes(&r, image_rd_leb(&r, false));
			continue;
		default:
			return -ENOEXEC;
		}
		if (image_rd_byte(&r) != 0x41)	/* i32.const */
			return -ENOEXEC;
		addr = image_rd_leb(&r, true);
		if (image_rd_byte(&r) != 0x0b)	/* end */
			return -ENOEXEC;
		len = image_rd_leb(&r, false);
		bytes = image_rd_bytes(&r, len);
		if (r.bad)
			break;
		if (!len)
			continue;
		if (addr < WASM_PAGE || addr > memory || len > memory - addr)
			return -ENOEXEC;
		*data_end = max(*data_end, (unsigned long)addr + len);
		if (to) {
			loff_t pos = addr - WASM_PAGE;
			ssize_t written = kernel_write(to, bytes, len, &pos);

			if (written != len)
				return written < 0 ? written : -ENOSPC;
		}
	}
	return r.bad ? -ENOEXEC : 0;
}

/*
 * Allocates a file's pages, the last one first: the page allocator goes down in memory, so
 * frames will follow each other as pages do, and the host maps several at once.
 */
static int image_fill_backwards(struct file *file, unsigned long len)
{
	loff_t pos = PAGE_ALIGN(len);

	while (pos) {
		loff_t at = pos -= PAGE_SIZE;
		ssize_t written = kernel_write(file, "", 1, &at);

		if (written != 1)
			return written < 0 ? written : -ENOSPC;
	}
	return 0;
}

/* Images kept, at most, and the share of memory that their data may take */
#define KEPT_MAX	64
#define KEPT_SHARE	32

static DEFINE_MUTEX(kept_lock);
/* The least recently used is the last. */
static LIST_HEAD(kept);
static unsigned int kept_count;
static unsigned long kept_pages;

static unsigned long image_data_pages(struct wasm_image *image)
{
	return PAGE_ALIGN(image->data_len) >> PAGE_SHIFT;
}

void wasm_image_put(struct wasm_image *image)
{
	if (!refcount_dec_and_test(&image->users))
		return;
	if (image->data)
		fput(image->data);
	if (image->module >= 0)
		host_module_drop(image->module);
	kfree(image);
}

static void image_forget(struct wasm_image *image)
{
	list_del(&image->list);
	kept_count--;
	kept_pages -= image_data_pages(image);
	wasm_image_put(image);
}

static struct wasm_image *image_kept_of(struct inode *inode)
{
	struct wasm_image *image;

	list_for_each_entry(image, &kept, list) {
		if (image->dev == inode->i_sb->s_dev &&
		    image->ino == inode->i_ino &&
		    image->generation == inode->i_generation)
			return image;
	}
	return NULL;
}

static struct wasm_image *image_find(struct inode *inode)
{
	struct wasm_image *image = image_kept_of(inode);

	if (!image)
		return NULL;
	if (mapping_writably_mapped(inode->i_mapping) ||
	    !inode_eq_iversion(inode, image->version)) {
		image_forget(image);
		return NULL;
	}
	list_move(&image->list, &kept);
	refcount_inc(&image->users);
	return image;
}

static void image_keep(struct wasm_image *image)
{
	unsigned long pages = image_data_pages(image), most = totalram_pages() / KEPT_SHARE;

	if (pages > most)
		return;
	refcount_inc(&image->users);
	list_add(&image->list, &kept);
	kept_count++;
	kept_pages += pages;
	while (kept_count > KEPT_MAX || kept_pages > most)
		image_forget(list_last_entry(&kept, struct wasm_image, list));
}

/* Where tasks wait for the host's compiler */
static DECLARE_WAIT_QUEUE_HEAD(compiled);

static irqreturn_t image_compiled_interrupt(int irq, void *dev)
{
	wake_up_all(&compiled);
	return IRQ_HANDLED;
}

static int __init image_init(void)
{
	return request_irq(MACHINE_IRQ_MODULE, image_compiled_interrupt, 0, "module",
			   NULL);
}
core_initcall(image_init);

/*
 * The host's handle of a program. While it is being compiled, having the handle
 * is what keeps it so: a task that is killed gives it back.
 */
static int image_compile(const void *bytes, size_t size)
{
	int module = host_module_load(bytes, size,
				      from_kuid(&init_user_ns, current_uid()));
	int state;

	if (module < 0)
		return module;
	if (wait_event_killable(compiled, host_module_state(module) != MACHINE_MODULE_PENDING))
		state = -EINTR;
	else
		state = host_module_state(module);
	if (state < 0) {
		host_module_drop(module);
		return state;
	}
	return module;
}

static int image_load(struct wasm_image *image, const void *bytes, size_t size,
		      const char *name)
{
	unsigned long end = 0;
	int err;

	image->memory = image_memory_size(bytes, size);
	if (image->memory <= WASM_PAGE)
		return -ENOEXEC;
	err = image_segments(bytes, size, image->memory, &end, NULL);
	if (err)
		return err;
	if (image->memory > MEMORY_MAX)
		return -ENOMEM;
	image->module = image_compile(bytes, size);
	if (image->module < 0)
		return image->module;
	if (!end)
		return 0;
	image->data_len = end - WASM_PAGE;
	image->data = shmem_kernel_file_setup(kbasename(name),
					      PAGE_ALIGN(image->data_len),
					      VM_NORESERVE);
	if (IS_ERR(image->data)) {
		err = PTR_ERR(image->data);
		image->data = NULL;
		return err;
	}
	err = image_fill_backwards(image->data, image->data_len);
	return err ? err : image_segments(bytes, size, image->memory, &end, image->data);
}

/* The image of the file that is executed; an error if it is none. */
struct wasm_image *wasm_image_get(struct linux_binprm *bprm)
{
	struct inode *inode = file_inode(bprm->file);
	loff_t size = i_size_read(inode), pos = 0;
	struct wasm_image *image;
	void *bytes;
	bool keeps;
	int err;

	if (size > IMAGE_MAX)
		return ERR_PTR(-ENOEXEC);
	mutex_lock(&kept_lock);
	image = image_find(inode);
	mutex_unlock(&kept_lock);
	if (image)
		return image;

	image = kzalloc(sizeof(*image), GFP_KERNEL);
	if (!image)
		return ERR_PTR(-ENOMEM);
	refcount_set(&image->users, 1);
	INIT_LIST_HEAD(&image->list);
	image->module = -1;
	image->dev = inode->i_sb->s_dev;
	image->ino = inode->i_ino;
	image->generation = inode->i_generation;
	/* Before it is read: later writes give the inode another version. */
	keeps = IS_I_VERSION(inode) && !mapping_writably_mapped(inode->i_mapping);
	if (keeps)
		image->version = inode_query_iversion(inode);

	err = -ENOMEM;
	bytes = vmalloc(size);
	if (!bytes)
		goto failed;
	err = -ENOEXEC;
	if (kernel_read(bprm->file, bytes, size, &pos) == size)
		err = image_load(image, bytes, size, bprm->filename);
	vfree(bytes);
	if (err)
		goto failed;

	if (keeps) {
		mutex_lock(&kept_lock);
		/* Unless another task was faster */
		if (!image_kept_of(inode))
			image_keep(image);
		mutex_unlock(&kept_lock);
	}
	return image;

failed:
	wasm_image_put(image);
	return ERR_PTR(err);
}
