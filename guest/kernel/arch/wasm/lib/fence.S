/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one instruction of the threads proposal that the kernel needs. In C it
 * would come with atomic operations all over the file.
 */
	.text
	.section .text.wasm_fence,"",@
	.globl	wasm_fence
	.type	wasm_fence,@function
wasm_fence:
	.functype wasm_fence () -> ()
	atomic.fence
	end_function
