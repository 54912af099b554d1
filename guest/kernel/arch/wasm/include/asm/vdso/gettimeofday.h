/* SPDX-License-Identifier: GPL-2.0 */
/* There is no vDSO; see asm/vdso/processor.h. */
