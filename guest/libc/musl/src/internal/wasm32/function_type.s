# i32 __function_type(void *function): 1 + 2 * arguments + results of the function that a
# pointer points to, if all of them are i32 and no more than 4 and 1; else 0. What stands
# here says 0 of all; wasmlinux-cc (callbacks.rs) knows it by the number, and has it say the truth.
	.section	.text.__function_type,"",@
	.hidden	__function_type
	.globl	__function_type
	.type	__function_type,@function
__function_type:
	.functype	__function_type (i32) -> (i32)
	local.get	0
	i32.const	-1526726656
	i32.and
	end_function
