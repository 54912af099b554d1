// SPDX-License-Identifier: GPL-2.0
/*
 * memory.copy and memory.fill cost a call into the host's runtime, which pays
 * only for more than some bytes. So the kernel is compiled without them (the
 * compiler then expands small copies of known size), and only this file has
 * them.
 */
#include <linux/export.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#undef memcpy
#undef memmove
#undef memset

#define SMALL	64

void *memcpy(void *to, const void *from, __kernel_size_t n)
{
	u8 *d = to;
	const u8 *s = from;

	if (n > SMALL)
		return __builtin_memcpy(to, from, n);
	for (; n >= 8; n -= 8, d += 8, s += 8)
		put_unaligned(get_unaligned((const u64 *)s), (u64 *)d);
	for (; n; n--)
		*d++ = *s++;
	return to;
}
EXPORT_SYMBOL(memcpy);

void *memmove(void *to, const void *from, __kernel_size_t n)
{
	return __builtin_memmove(to, from, n);
}
EXPORT_SYMBOL(memmove);

void *memset(void *to, int c, __kernel_size_t n)
{
	u64 word = (u8)c * 0x0101010101010101ULL;
	u8 *d = to;

	if (n > SMALL)
		return __builtin_memset(to, c, n);
	for (; n >= 8; n -= 8, d += 8)
		put_unaligned(word, (u64 *)d);
	for (; n; n--)
		*d++ = c;
	return to;
}
EXPORT_SYMBOL(memset);
