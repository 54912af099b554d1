/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _WASM_IMAGE_H
#define _WASM_IMAGE_H

#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/types.h>

struct file;
struct linux_binprm;

#define WASM_PAGE	65536

/* A program as it begins */
struct wasm_image {
	struct list_head list;
	refcount_t users;
	dev_t dev;
	unsigned long ino;
	u32 generation;
	u64 version;

	int module;		/* the host's handle */
	unsigned long memory;	/* bytes, from address 0 */
	struct file *data;	/* what it is from WASM_PAGE on, or NULL */
	unsigned long data_len;	/* bytes of that which are not zero */
};

struct wasm_image *wasm_image_get(struct linux_binprm *bprm);
void wasm_image_put(struct wasm_image *image);
#endif
