/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_UACCESS_H
#define _ASM_WASM_UACCESS_H

#include <asm/page.h>
#include <asm/host.h>

/* User memory is reached by a walk of the page table: arch/wasm/mm/uaccess.c */
unsigned long raw_copy_from_user(void *to, const void __user *from,
				 unsigned long n);
unsigned long raw_copy_to_user(void __user *to, const void *from,
			       unsigned long n);
unsigned long __clear_user(void __user *to, unsigned long n);
#define __clear_user __clear_user
long strncpy_from_user(char *dst, const char __user *src, long count);
long strnlen_user(const char __user *str, long n);
#define strnlen_user strnlen_user

/* There is no fault on kernel addresses, only the end of memory. */
#define __wasm_kernel_ok(p, size) \
	((unsigned long)(p) >= PAGE_SIZE && \
	 (unsigned long)(p) < boot_info.memory_size - (size))

#define __get_kernel_nofault(dst, src, type, err_label)		\
do {								\
	if (!__wasm_kernel_ok(src, sizeof(type)))		\
		goto err_label;					\
	__builtin_memcpy(dst, src, sizeof(type));		\
} while (0)

#define __put_kernel_nofault(dst, src, type, err_label)		\
do {								\
	if (!__wasm_kernel_ok(dst, sizeof(type)))		\
		goto err_label;					\
	__builtin_memcpy(dst, src, sizeof(type));		\
} while (0)

#include <asm-generic/uaccess.h>
#endif
