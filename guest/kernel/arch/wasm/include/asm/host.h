/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_WASM_HOST_H
#define _ASM_WASM_HOST_H

#include <linux/types.h>
#include <asm/boundary.h>

/*
 * The machine that the kernel runs on: all its imports and all its exports.
 * What each does is written in docs/machine.md of the project; numbers and
 * struct boot_info are in asm/boundary.h, which is generated.
 */
#define HOST_IMPORT(name) \
	__attribute__((import_module("machine"), import_name(#name)))

HOST_IMPORT(console_write)
void host_console_write(const void *buf, unsigned long len);
HOST_IMPORT(clock_monotonic)
u64 host_clock_monotonic(void);
HOST_IMPORT(clock_realtime)
u64 host_clock_realtime(void);
HOST_IMPORT(timer_set)
void host_timer_set(u64 delta_ns);
HOST_IMPORT(halt)
void host_halt(void);
HOST_IMPORT(power_off)
void host_power_off(unsigned int how) __attribute__((noreturn));

HOST_IMPORT(memory_use)
void host_memory_use(unsigned long start, unsigned long len);

HOST_IMPORT(task_create)
int host_task_create(unsigned long task, unsigned long sp);
HOST_IMPORT(task_destroy)
void host_task_destroy(unsigned long task);
HOST_IMPORT(task_switch)
void host_task_switch(unsigned long task);

HOST_IMPORT(module_load)
int host_module_load(const void *image, unsigned long len, unsigned int user);
HOST_IMPORT(module_state)
int host_module_state(int module);
HOST_IMPORT(module_drop)
void host_module_drop(int module);
HOST_IMPORT(user_reserve)
int host_user_reserve(int module);
HOST_IMPORT(user_exec)
void host_user_exec(int module, unsigned long pgd, unsigned long sp);
HOST_IMPORT(user_clone)
int host_user_clone(unsigned long task, unsigned long pgd, unsigned int entry,
		    unsigned long sp, unsigned long tp);
HOST_IMPORT(user_restart)
void host_user_restart(void) __attribute__((noreturn));
HOST_IMPORT(user_sp_get)
unsigned long host_user_sp_get(void);
HOST_IMPORT(user_sp_set)
void host_user_sp_set(unsigned long sp);

HOST_IMPORT(tlb_flush)
void host_tlb_flush(unsigned long pgd, unsigned long start, unsigned long end);
HOST_IMPORT(tlb_protect)
void host_tlb_protect(unsigned long pgd);
HOST_IMPORT(tlb_load)
void host_tlb_load(unsigned long pgd, unsigned long addr);
HOST_IMPORT(mm_destroy)
void host_mm_destroy(unsigned long pgd);

HOST_IMPORT(stack_check)
void host_stack_check(void);
HOST_IMPORT(backtrace)
int host_backtrace(char *buf, unsigned long len);

HOST_IMPORT(stream_read)
int host_stream_read(unsigned int stream, void *buf, unsigned long len);
HOST_IMPORT(stream_write)
int host_stream_write(unsigned int stream, const void *buf, unsigned long len);
HOST_IMPORT(stream_poll)
int host_stream_poll(unsigned int stream);
HOST_IMPORT(stream_close)
void host_stream_close(unsigned int stream);

HOST_IMPORT(mmio_read)
u32 host_mmio_read(unsigned long addr, unsigned int size);
HOST_IMPORT(mmio_write)
void host_mmio_write(unsigned long addr, unsigned int size, u32 value);

/* The other direction: what the host calls */
#define HOST_EXPORT(name) __attribute__((export_name(#name), used))

void wasm_boot(void);
unsigned long wasm_task_start(void);
long wasm_syscall(unsigned long nr, unsigned long a0, unsigned long a1,
		  unsigned long a2, unsigned long a3, unsigned long a4,
		  unsigned long a5);
unsigned long wasm_fault(unsigned long addr, unsigned long write);
unsigned long wasm_irq(unsigned long defer);
unsigned long wasm_trap(unsigned long signo, unsigned long code,
			unsigned long addr);
void wasm_abort(unsigned long signo) __attribute__((noreturn));
void wasm_oops(const char *text, unsigned long len) __attribute__((noreturn));

extern struct boot_info boot_info;
#endif
