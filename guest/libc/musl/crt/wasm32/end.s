# end: where the data ends, and the heap may begin. wasm-ld lays .bss out last, and this is the last
# object of a link.
	.section .bss.end,"",@
	.globl end
	.globl _end
	.type end,@object
	.type _end,@object
	.skip 1
end:
_end:
	.size end, 0
	.size _end, 0
