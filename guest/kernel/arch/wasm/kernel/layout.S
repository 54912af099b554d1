/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The linker script. wasm-ld lays data segments out in the order in which it
 * first sees their names; this object is linked first and names them in the
 * order that the kernel needs, with the symbols that bound its tables.
 *
 * A label never asks for more alignment than the elements of its section, or
 * there would be a hole in front of them. Sections whose name is a C
 * identifier get __start_ and __stop_ from the linker.
 */
#include <asm/thread_info.h>

	.macro	mark section, symbols:vararg
	.section \section,"",@
	.p2align 2
	.irp	symbol, \symbols
	.globl	\symbol
	.type	\symbol,@object
\symbol:
	.size	\symbol, 0
	.endr
	.endm

	/* scheduler classes, highest first */
	mark	__stop_sched_class, __sched_class_highest
	mark	__dl_sched_class
	mark	__rt_sched_class
	mark	__fair_sched_class
	mark	__ext_sched_class
	mark	__idle_sched_class
	mark	.sched_class.end, __sched_class_lowest

	mark	.init.setup, __setup_start
	mark	.init.setup.end, __setup_end

	mark	.initcallearly.init, __initcall_start
	mark	.initcall0.init, __initcall0_start
	mark	.initcall0s.init
	mark	.initcall1.init, __initcall1_start
	mark	.initcall1s.init
	mark	.initcall2.init, __initcall2_start
	mark	.initcall2s.init
	mark	.initcall3.init, __initcall3_start
	mark	.initcall3s.init
	mark	.initcall4.init, __initcall4_start
	mark	.initcall4s.init
	mark	.initcall5.init, __initcall5_start
	mark	.initcall5s.init
	mark	.initcallrootfs.init, __initcallrootfs_start
	mark	.initcallrootfss.init
	mark	.initcall6.init, __initcall6_start
	mark	.initcall6s.init
	mark	.initcall7.init, __initcall7_start
	mark	.initcall7s.init
	mark	.initcall.end, __initcall_end

	mark	.con_initcall.init, __con_initcall_start
	mark	.con_initcall.end, __con_initcall_end

	mark	.early_lsm_info.init, __start_early_lsm_info
	mark	.early_lsm_info.init.end, __end_early_lsm_info

	mark	.lsm_info.init, __start_lsm_info
	mark	.lsm_info.init.end, __end_lsm_info

	mark	.builtin_fw, __start_builtin_fw
	mark	.builtin_fw.end, __end_builtin_fw

	/* tables that may be empty: the linker makes their bounds only if named */
	mark	__param
	mark	__modver
	mark	__ex_table

	/*
	 * Functions have no addresses in memory, and nothing is freed or
	 * protected by section: these ranges are empty.
	 */
	mark	.bounds, _stext, _etext, _sinittext, _einittext, _sdata, _edata, \
		__start_rodata, __end_rodata, __init_begin, __init_end, \
		__bss_start, __bss_stop, _end, _text, \
		__sched_text_start, __sched_text_end, \
		__cpuidle_text_start, __cpuidle_text_end, \
		__lock_text_start, __lock_text_end, \
		__irqentry_text_start, __irqentry_text_end, \
		__softirqentry_text_start, __softirqentry_text_end, \
		__noinstr_text_start, __noinstr_text_end, \
		__start_once, __end_once, \
		__start_ro_after_init, __end_ro_after_init, \
		__start_notes, __stop_notes, \
		__initramfs_start, __start_init_stack, __end_init_stack

	/* the first task's stack; the host starts it at the top */
	.section .bss.init_stack,"",@
	.p2align 4
	.globl	init_stack
	.type	init_stack,@object
init_stack:
	.skip	THREAD_SIZE
	.size	init_stack, THREAD_SIZE
	.globl	init_stack_top
	.type	init_stack_top,@object
init_stack_top:
	.size	init_stack_top, 0

	/* no initramfs in the image: it is handed over at boot */
	.section .initramfs_size,"",@
	.p2align 2
	.globl	__initramfs_size
	.type	__initramfs_size,@object
__initramfs_size:
	.int32	0
	.size	__initramfs_size, 4
