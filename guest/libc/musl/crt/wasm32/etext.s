# etext: as code has no addresses, where read-only data ends, and data begins.
	.section .rodata.end,"",@
	.globl etext
	.globl _etext
	.globl __etext
	.type etext,@object
	.type _etext,@object
	.type __etext,@object
	.int8 0
etext:
_etext:
__etext:
	.size etext, 0
	.size _etext, 0
	.size __etext, 0
