#include <malloc.h>
#include "meta.h"

/*
 * Groups of equal slots, each of its own mapping or in a slot of a group of larger ones, which then
 * is in use. Sizes of mappings are in units of 4096 bytes.
 */
struct mallinfo2 mallinfo2(void)
{
	struct mallinfo2 info = { 0 };

	wrlock();
	for (struct meta_area *area = ctx.meta_area_head; area; area = area->next) {
		for (int i = 0; i < area->nslots; i++) {
			const struct meta *m = &area->slots[i];

			if (!m->mem) continue;
			if (m->sizeclass >= 48) {
				info.hblks++;
				info.hblkhd += m->maplen * 4096UL;
				continue;
			}
			size_t free_slots = __builtin_popcount(m->avail_mask | m->freed_mask);
			info.arena += m->maplen * 4096UL;
			info.ordblks += free_slots;
			info.fordblks += free_slots * UNIT * size_classes[m->sizeclass];
		}
	}
	unlock();
	info.uordblks = info.arena > info.fordblks ? info.arena - info.fordblks : 0;
	return info;
}

struct mallinfo mallinfo(void)
{
	struct mallinfo2 i = mallinfo2();

	return (struct mallinfo){
		i.arena, i.ordblks, i.smblks, i.hblks, i.hblkhd,
		i.usmblks, i.fsmblks, i.uordblks, i.fordblks, i.keepcost
	};
}

int mallopt(int parameter, int value)
{
	return 0;
}

int malloc_trim(size_t pad)
{
	return 0;
}
