/*
 * The C library at large: standard I/O, memory, sorting, strings, wide characters, patterns,
 * formatted errors.
 */
#include "common.h"
#include <ctype.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <iconv.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <regex.h>
#include <search.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <wchar.h>
#include <wctype.h>

static int by_value(const void *a, const void *b)
{
	return (*(int *)a > *(int *)b) - (*(int *)a < *(int *)b);
}

static int sum(int n, ...)
{
	va_list ap;
	int total = 0;

	va_start(ap, n);
	while (n--)
		total += va_arg(ap, int);
	va_end(ap);
	return total;
}

static void stdio(void)
{
	char buf[100], *line = NULL;
	size_t size = 0;
	FILE *f = fopen("text", "w+");

	MUST(f);
	for (int i = 0; i < 2000; i++)
		fprintf(f, "line %d\n", i);
	SAY(ftell(f));
	SAY(fseek(f, 700, SEEK_SET));
	SAY(fgets(buf, sizeof buf, f) == buf);
	printf("%s", buf);
	SAY(ungetc('Z', f));
	SAY(fgetc(f));
	rewind(f);
	int n = 0;
	while (getline(&line, &size, f) > 0)
		n++;
	printf("%d lines, last %s", n, line);
	free(line);
	SAY(feof(f) != 0);
	SAY(fputs("more", f) >= 0);
	SAY(fclose(f));
	f = fopen("text", "a+");
	fprintf(f, "appended");
	SAY(fseek(f, -8, SEEK_END));
	SAY(fread(buf, 1, 100, f));
	printf("%.8s\n", buf);
	fclose(f);
	SAY(fopen("missing", "r") == NULL);
	SAY(fopen("text", "wx") == NULL);
	f = fopen("text", "r");
	SAY(fputc('x', f) == EOF);
	SAY(ferror(f) != 0);
	clearerr(f);
	SAY(setvbuf(f, NULL, _IONBF, 0));
	SAY(fgetc(f));
	fclose(f);
	f = fmemopen((char *)"in memory", 9, "r");
	SAY(fscanf(f, "%99s", buf));
	puts(buf);
	fclose(f);
	char *made;
	f = open_memstream(&made, &size);
	fprintf(f, "%d %s", 42, "streamed");
	fclose(f);
	printf("%s %zu\n", made, size);
	free(made);
	f = tmpfile();
	SAY(fwrite("12345", 1, 5, f));
	SAY(fflush(f));
	SAY(lseek(fileno(f), 0, SEEK_END));
	fclose(f);
	SAY(freopen("text", "r", stdin) == stdin);
	SAY(getchar());
}

static void memory(void)
{
	enum { N = 2000 };
	static unsigned char *blocks[N];
	static size_t sizes[N];
	uint64_t seed = 12;

	for (int round = 0; round < 20000; round++) {
		int i = next_random(&seed) % N;
		for (size_t j = 0; j < sizes[i]; j += 97)
			MUST(blocks[i][j] == (unsigned char)(i + j));
		size_t size = next_random(&seed) % (next_random(&seed) % 50 ? 300 : 100000);
		blocks[i] = realloc(blocks[i], size + 1);
		MUST(blocks[i] && (uintptr_t)blocks[i] % (2 * sizeof(void *)) == 0);
		for (size_t j = 0; j < size; j++)
			blocks[i][j] = (unsigned char)(i + j);
		sizes[i] = size;
	}
	for (int i = 0; i < N; i++)
		free(blocks[i]);
	char *p = calloc(1000, 1000);
	for (int i = 0; i < 1000000; i++)
		MUST(p[i] == 0);
	free(p);
	/* volatile, or a compiler may leave out the allocation and say that it succeeded */
	volatile size_t many = SIZE_MAX - 65536;
	void *volatile none = malloc(many);
	SAY(none == NULL);
	many = SIZE_MAX / 2;
	none = calloc(many, 3);
	SAY(none == NULL);
	p = aligned_alloc(65536, 65536 * 2);
	SAY((uintptr_t)p % 65536);
	free(p);
	/* large ones come and go */
	for (int i = 0; i < 200; i++) {
		p = malloc(4 << 20);
		MUST(p);
		p[0] = p[(4 << 20) - 1] = 1;
		free(p);
	}
	char *q = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(q != MAP_FAILED && q[0] == 0 && q[(1 << 20) - 1] == 0);
	memset(q, 7, 1 << 20);
	SAY(munmap(q, 1 << 20));
	int fd = open("mapped", O_RDWR | O_CREAT, 0600);
	MUST(ftruncate(fd, 200000) == 0 && pwrite(fd, "in the file", 11, 100000) == 11);
	q = mmap(NULL, 200000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(q != MAP_FAILED);
	printf("%.11s\n", q + 100000);
	memcpy(q + 150000, "through the map", 15);
	char buf[20] = "";
	SAY(pread(fd, buf, 15, 150000));
	puts(buf);
	SAY(munmap(q, 200000));
}

static void strings(void)
{
	char buf[200];

	strcpy(buf, "one,two;;three");
	for (char *save, *t = strtok_r(buf, ",;", &save); t; t = strtok_r(NULL, ",;", &save))
		printf("[%s]", t);
	putchar('\n');
	strcpy(buf, "a::b");
	for (char *s = buf, *t; (t = strsep(&s, ":"));)
		printf("[%s]", t);
	putchar('\n');
	SAY(strspn("aabbc", "ab") * 10 + strcspn("xyz", "z"));
	SAY(strcmp("a\xff", "a\x01") > 0);
	SAY(strncasecmp("HELLO", "help", 3));
	SAY(strstr("a needle in hay", "needle") != NULL);
	SAY(memmem("abc\0def", 7, "\0d", 2) != NULL);
	SAY(strchrnul("abc", 'x')[0]);
	SAY(strnlen("12345", 3));
	SAY(strverscmp("a9", "a10") < 0);
	memmove(strcpy(buf, "0123456789") + 2, buf, 8);
	puts(buf);
	for (size_t n = 0; n < 130; n++) {
		char a[300], b[300];
		memset(a, 'x', sizeof a);
		memset(b, 'y', sizeof b);
		memcpy(b + 3, a + 1, n);
		MUST(b[2] == 'y' && b[3 + n] == 'y' && (n == 0 || (b[3] == 'x' && b[2 + n] == 'x')));
		a[n] = 0;
		MUST(strlen(a) == n && memchr(a, 0, 300) == a + n);
	}
	for (int c = 0; c < 128; c++)
		printf("%x", (isalpha(c) ? 1 : 0) | (isdigit(c) ? 2 : 0) | (isspace(c) ? 4 : 0) | (ispunct(c) ? 8 : 0));
	putchar('\n');
	/* strerror's words are each library's own; only that there are some */
	SAY(strlen(strerror(ENOENT)) > 5);
}

static void wide(void)
{
	wchar_t w[50];
	char buf[100];
	mbstate_t state = { 0 };

	SAY(setlocale(LC_ALL, "C.UTF-8") != NULL);
	SAY(mbstowcs(w, "gr\xc3\xb6\xc3\x9f" "e \xf0\x9f\x90\xa7", 50));
	printf("%x %x %x\n", (unsigned)w[2], (unsigned)w[3], (unsigned)w[6]);
	SAY(wcstombs(buf, w, sizeof buf));
	puts(buf);
	SAY((ssize_t)mbrtowc(w, "\xe2\x82", 2, &state));
	SAY(mbrtowc(w, "\xac", 1, &state));
	printf("%x\n", (unsigned)w[0]);
	SAY(mbtowc(w, "\xff", 1));
	SAY(wcslen(L"\u00e4\u00f6"));
	SAY(towupper(L'\u00e4') == L'\u00c4');
	SAY(iswalpha(L'\u00e9') != 0);
	SAY(wcstol(L"-123x", NULL, 10));
	SAY(wcscmp(L"a", L"b") < 0);
	iconv_t cd = iconv_open("UTF-16LE", "UTF-8");
	char *in = (char *)"\xc3\xa4x", *out = buf;
	size_t left = 3, room = 50;
	SAY(iconv(cd, &in, &left, &out, &room));
	printf("%zu %02x%02x%02x%02x\n", 50 - room, (unsigned char)buf[0], (unsigned char)buf[1], (unsigned char)buf[2], (unsigned char)buf[3]);
	iconv_close(cd);
	setlocale(LC_ALL, "C");
}

static void patterns(void)
{
	regex_t re;
	regmatch_t m[3];

	SAY(regcomp(&re, "([a-z]+)[0-9]{2,3}(x|y)$", REG_EXTENDED));
	SAY(regexec(&re, "--abc123y", 3, m, 0));
	printf("%d %d %d %d\n", (int)m[0].rm_so, (int)m[0].rm_eo, (int)m[1].rm_so, (int)m[2].rm_so);
	SAY(regexec(&re, "abc1y", 3, m, 0) == REG_NOMATCH);
	regfree(&re);
	SAY(regcomp(&re, "(", REG_EXTENDED) != 0);
	SAY(fnmatch("*.[ch]", "file.c", 0));
	SAY(fnmatch("a/*", "a/b/c", FNM_PATHNAME) == FNM_NOMATCH);
	char *args[] = { (char *)"prog", (char *)"-a", (char *)"-bvalue", (char *)"--long=x", (char *)"rest", NULL };
	struct option longs[] = { { "long", required_argument, NULL, 'l' }, { 0 } };
	for (int c; (c = getopt_long(5, args, "ab:", longs, NULL)) != -1;)
		printf("%c %s\n", c, optarg && c != 'a' ? optarg : "");
	SAY(optind);
}

static pthread_key_t key;
static _Thread_local int local = 5;
static int shared;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

int main(void)
{
	stdio();
	memory();
	strings();
	wide();
	patterns();

	int numbers[5000], found = 777;
	uint64_t seed = 99;
	for (int i = 0; i < 5000; i++)
		numbers[i] = (int)next_random(&seed);
	numbers[1234] = found;
	qsort(numbers, 5000, sizeof *numbers, by_value);
	for (int i = 1; i < 5000; i++)
		MUST(numbers[i - 1] <= numbers[i]);
	SAY(*(int *)bsearch(&found, numbers, 5000, sizeof *numbers, by_value));
	srand(1);
	int a = rand();
	srand(1);
	SAY(rand() == a);
	SAY(sum(5, 1, 2, 3, 4, 5));
	SAY(sum(0));
	div_t d = div(-7, 2);
	printf("%d %d %lld\n", d.quot, d.rem, llabs(-5000000000ll));
	/* one thread alone has mutexes, keys and variables of its own */
	SAY(pthread_mutex_lock(&mutex));
	SAY(pthread_mutex_trylock(&mutex) == EBUSY);
	SAY(pthread_mutex_unlock(&mutex));
	SAY(pthread_key_create(&key, NULL));
	SAY(pthread_setspecific(key, &shared));
	SAY(pthread_getspecific(key) == &shared);
	local++;
	SAY(local);
	SAY(pthread_equal(pthread_self(), pthread_self()) != 0);
	struct utsname u;
	SAY(uname(&u));
	printf("%s\n", u.sysname);
	SAY(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	SAY(sysconf(_SC_OPEN_MAX) > 0);
	char host[100];
	SAY(gethostname(host, sizeof host));
	SAY(getpid() > 0 && getppid() >= 0);
	SAY(getuid() + geteuid() + getgid());
	errno = 0;
	SAY(syscall(100000));
	return 0;
}
