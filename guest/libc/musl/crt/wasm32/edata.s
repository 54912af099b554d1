# edata: where data with values ends. Sections of other names than .rodata, .data and .bss lie behind
# .data, in the order of the link.
	.section edata.end,"",@
	.globl edata
	.globl _edata
	.type edata,@object
	.type _edata,@object
	.int8 0
edata:
_edata:
	.size edata, 0
	.size _edata, 0
