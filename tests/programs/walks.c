/* What glibc has and libc here takes from other libraries: fts.h and obstack.h. */
#include "common.h"
#include <fcntl.h>
#include <fts.h>
#include <obstack.h>
#include <sys/stat.h>

#define obstack_chunk_alloc malloc
#define obstack_chunk_free free

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

int main(void)
{
	char *roots[] = { (char *)"tree", NULL };
	struct obstack stack;

	MUST(mkdir("tree", 0700) == 0 && mkdir("tree/b", 0700) == 0 && mkdir("tree/a", 0700) == 0);
	close(open("tree/a/file", O_CREAT | O_WRONLY, 0600));
	MUST(symlink("a/file", "tree/link") == 0 && symlink("none", "tree/dangling") == 0);
	for (int how = FTS_LOGICAL; how; how = how == FTS_LOGICAL ? FTS_PHYSICAL | FTS_NOCHDIR : 0) {
		FTS *walk = fts_open(roots, how, by_name);
		MUST(walk);
		for (FTSENT *e; (e = fts_read(walk));) {
			printf("%d %d %s %s %lld\n", e->fts_info, e->fts_level, e->fts_path, e->fts_name,
				e->fts_info == FTS_F ? (long long)e->fts_statp->st_size : 0);
			if (!strcmp(e->fts_name, "b"))
				fts_set(walk, e, FTS_SKIP);
		}
		SAY(errno);
		SAY(fts_close(walk));
	}
	obstack_init(&stack);
	for (int i = 0; i < 2000; i++)
		obstack_grow(&stack, &i, sizeof i);
	obstack_1grow(&stack, 'x');
	SAY(obstack_object_size(&stack));
	char *object = obstack_finish(&stack);
	printf("%d %c\n", ((int *)object)[1999], object[8000]);
	char *word = obstack_copy0(&stack, "word", 4);
	printf("%s\n", word);
	obstack_free(&stack, object);
	obstack_free(&stack, NULL);
	return 0;
}
