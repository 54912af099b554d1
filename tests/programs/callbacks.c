/*
 * fork where a library calls the program back, and in functions that are named as a library's own.
 */
#include "process.h"
#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <search.h>

static const char *place;

/* Forks once in each place. */
static int forks(void)
{
	if (place) {
		printf("%s: ", place);
		place = NULL;
		IN_CHILD(_exit(7));
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	forks();
	return *(int *)a - *(int *)b;
}

static void on_node(const void *node, VISIT visit, int depth) { forks(); }
static void on_free(void *node) { forks(); }
static int on_file(const char *path, const struct stat *st, int type, struct FTW *ftw) { return forks(); }
static int on_entry(const struct dirent *entry) { forks(); return entry->d_name[0] != '.'; }
static void at_end(void) { place = "atexit"; forks(); }
static void on_value(void *value) { place = value; forks(); }
static void on_signal(int signo) { forks(); }
static void in_once(void) { place = "pthread_once"; forks(); }
__attribute__((constructor)) static void first(void) { LINES(); place = "constructor"; forks(); }
__attribute__((destructor)) static void last(void) { place = "destructor"; forks(); }

static ssize_t on_write(void *cookie, const char *bytes, size_t n)
{
	forks();
	return n;
}

static void *thread(void *arg)
{
	pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_key_t key;

	MUST(!pthread_key_create(&key, on_value));
	pthread_setspecific(key, "destructor of a key");
	pthread_once(&once, in_once);
	pthread_cleanup_push(on_value, "clean-up handler");
	pthread_exit(NULL);
	pthread_cleanup_pop(0);
}

/* Names of musl's. */
__attribute__((noinline)) static int walk(int (*volatile f)(void)) { place = "walk"; return f(); }
__attribute__((noinline)) static int sift(int (*volatile f)(void)) { place = "sift"; return f(); }
__attribute__((noinline)) static int close_file(int (*volatile f)(void)) { place = "close_file"; return f(); }

int main(void)
{
	int numbers[] = { 5, 3, 1, 4, 2 }, three = 3;
	size_t count = countof(numbers);
	void *tree = NULL;
	struct dirent **entries;
	pthread_t t;

	atexit(at_end);
	place = "qsort";
	qsort(numbers, count, sizeof *numbers, by_number);
	for (size_t i = 0; i < count; i++)
		printf("%d%c", numbers[i], i + 1 < count ? ' ' : '\n');
	place = "bsearch";
	printf("%d\n", *(int *)bsearch(&three, numbers, count, sizeof *numbers, by_number));
	place = "lfind";
	MUST(lfind(&three, numbers, &count, sizeof *numbers, by_number));
	for (size_t i = 0; i < count; i++) {
		place = i ? NULL : "tsearch";
		tsearch(&numbers[(i + 2) % count], &tree, by_number);
		if (i == 1)
			place = "tsearch of two", tsearch(&numbers[0], &tree, by_number);
	}
	place = "twalk";
	twalk(tree, on_node);
	place = "tdestroy";
	tdestroy(tree, on_free);
	place = "nftw";
	nftw("/proc/self/fd", on_file, 4, FTW_PHYS);
	place = "scandir";
	MUST(scandir("/proc/self", &entries, on_entry, alphasort) > 0);
	place = "fopencookie";
	FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = on_write });
	fputs("text", f);
	fclose(f);
	pthread_create(&t, NULL, thread, NULL);
	pthread_join(t, NULL);
	signal(SIGUSR1, on_signal);
	place = "signal handler";
	raise(SIGUSR1);
	walk(forks);
	sift(forks);
	close_file(forks);
	return 3;
}
