/*
 * A stress: stress SECONDS SEED. Workers do at random, from a seed, what a Unix does under load:
 * fork, exec, spawn, threads, pipes, mappings, signals, files, kills. Each act checks what it must
 * find: patterns in memory, statuses, the contents of pipes. What does not hold is said, and the
 * status is 1. A third argument names the one act to do. With four it is a program that a worker
 * executes.
 */
#include "process.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define RW (PROT_READ | PROT_WRITE)
#define WORKERS 6

extern char **environ;

struct shared {
	uint32_t acts[32];
	uint32_t failures;
	uint64_t exchanged;
};

static struct shared *shared;
static char self[200];
static uint64_t seed;
static int act_number;
static const char *act_name = "";

static uint32_t pick(uint32_t n)
{
	return next_random(&seed) % n;
}

/* Says what does not hold and ends this process; whoever waits for it sees the status. */
#define HOLDS(cond) do { \
		if (!(cond)) { \
			fprintf(stderr, "stress: act %d (%s), line %d: not so: %s (errno %s)\n", act_number, act_name, __LINE__, #cond, ename(errno)); \
			__atomic_add_fetch(&shared->failures, 1, __ATOMIC_SEQ_CST); \
			_exit(98); \
		} \
	} while (0)

static void pattern(void *p, size_t n, uint64_t key)
{
	uint32_t *w = p;

	for (size_t i = 0; i < n / 4; i++)
		w[i] = next_random(&key);
}

static int matches(const void *p, size_t n, uint64_t key)
{
	const uint32_t *w = p;

	for (size_t i = 0; i < n / 4; i++)
		if (w[i] != next_random(&key))
			return 0;
	return 1;
}

static int status_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		HOLDS(errno == EINTR);
	return status;
}

static int exited_with(pid_t pid, int code)
{
	int status = status_of(pid);

	return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static int killed_by(pid_t pid, int signal)
{
	int status = status_of(pid);

	return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

static pid_t forked(void)
{
	pid_t pid = fork();

	/* processes may run out, but nothing else */
	HOLDS(pid >= 0);
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* Private memory is each side's own. */
static void act_cow(void)
{
	size_t n = (1 + pick(8)) * PAGE;
	uint64_t key = next_random(&seed), other = next_random(&seed);
	char *p = mmap(NULL, n, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	HOLDS(p != MAP_FAILED);
	pattern(p, n, key);
	int code = pick(100);
	pid_t pid = forked();
	if (!pid) {
		HOLDS(matches(p, n, key));
		pattern(p, n, other);
		if (pick(2)) {
			pid_t next = forked();
			if (!next) {
				HOLDS(matches(p, n, other));
				p[0]++;
				_exit(3);
			}
			HOLDS(exited_with(next, 3));
		}
		HOLDS(matches(p, n, other));
		_exit(code);
	}
	if (pick(2))
		pattern(p, n, key += 5);
	HOLDS(exited_with(pid, code));
	HOLDS(matches(p, n, key));
	HOLDS(munmap(p, n) == 0);
}

/* What is written to a pipe comes out, in order, whatever its pieces. */
static void act_pipe(void)
{
	int p[2];
	size_t n = 1 + pick(300000);
	uint64_t key = next_random(&seed);
	uint32_t piece = 1 + pick(20000);
	char *bytes = malloc(n + 4);

	HOLDS(bytes && pipe(p) == 0);
	pattern(bytes, n + 4, key);
	pid_t pid = forked();
	if (!pid) {
		close(p[0]);
		for (size_t at = 0; at < n;) {
			size_t m = n - at < piece ? n - at : piece;
			ssize_t w = write(p[1], bytes + at, m);
			HOLDS(w > 0);
			at += w;
		}
		_exit(7);
	}
	close(p[1]);
	char *got = calloc(1, n + 8);
	size_t at = 0;
	HOLDS(got);
	for (ssize_t r; (r = read(p[0], got + at, 1 + pick(n + 1 - at))) != 0; at += r)
		HOLDS(r > 0 && at + r <= n);
	HOLDS(at == n && memcmp(got, bytes, n) == 0);
	HOLDS(exited_with(pid, 7));
	close(p[0]);
	free(got);
	free(bytes);
	__atomic_add_fetch(&shared->exchanged, n, __ATOMIC_SEQ_CST);
}

/* Programs start with the arguments that they are given. */
static void act_exec(void)
{
	char code[20];
	pid_t pid;
	int status = pick(200);

	sprintf(code, "%d", status);
	char *args[] = { "stress", "0", "0", "", code, NULL };
	switch (pick(3)) {
	case 0:
		pid = forked();
		if (!pid) {
			execv(self, args);
			_exit(97);
		}
		break;
	case 1:
		HOLDS(posix_spawn(&pid, self, NULL, NULL, args, environ) == 0);
		break;
	default:
		pid = vfork();
		HOLDS(pid >= 0);
		if (!pid) {
			execv(self, args);
			_exit(97);
		}
	}
	HOLDS(exited_with(pid, status));
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static uint32_t total, at_barrier;
static __thread uint32_t own;

static void *thread(void *arg)
{
	uint64_t mine = (uintptr_t)arg;
	uint32_t sum = 0, rounds = 50 + next_random(&mine) % 200;
	char *block = malloc(1000);

	memset(block, (int)(uintptr_t)arg, 1000);
	for (uint32_t i = 0; i < rounds; i++) {
		own++;
		if (next_random(&mine) % 4 == 0)
			sched_yield();
		pthread_mutex_lock(&mutex);
		uint32_t t = total;
		if (next_random(&mine) % 8 == 0)
			sched_yield();
		total = t + 1;
		pthread_mutex_unlock(&mutex);
		sum++;
	}
	HOLDS(own == rounds);
	pthread_mutex_lock(&mutex);
	at_barrier++;
	pthread_cond_broadcast(&cond);
	while (at_barrier % 100 != 0)
		pthread_cond_wait(&cond, &mutex);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < 1000; i++)
		HOLDS(block[i] == (char)(uintptr_t)arg);
	free(block);
	return (void *)(uintptr_t)sum;
}

/* Threads: sums under a lock, a condition that all wait for, thread-local data. */
static void act_threads(void)
{
	pthread_t t[10];
	int n = 1 + pick(10);
	uint32_t sum = 0;

	pid_t pid = forked();
	if (pid) {
		HOLDS(exited_with(pid, 11));
		return;
	}
	total = 0;
	at_barrier = 100 - n;
	for (int i = 0; i < n; i++)
		HOLDS(pthread_create(&t[i], NULL, thread, (void *)(uintptr_t)pick(1u << 30)) == 0);
	if (pick(4) == 0)
		_exit(11); /* with them running */
	if (pick(8) == 0) {
		char *args[] = { "stress", "0", "0", "", "11", NULL };
		execv(self, args);
	}
	for (int i = 0; i < n; i++) {
		void *r;
		HOLDS(pthread_join(t[i], &r) == 0);
		sum += (uintptr_t)r;
	}
	HOLDS(total == sum);
	_exit(11);
}

/* Mappings come, move, lose rights and go, among others that must not change. */
static void act_mappings(void)
{
	enum { N = 24 };
	size_t page = PAGE;
	struct {
		char *p;
		size_t n;
		uint64_t key;
	} m[N] = { 0 };

	for (int round = 0; round < 150; round++) {
		int i = pick(N);
		if (!m[i].p) {
			m[i].n = (1 + pick(4)) * page;
			m[i].key = next_random(&seed);
			m[i].p = mmap(NULL, m[i].n, RW, (pick(2) ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS | (pick(4) ? 0 : MAP_POPULATE), -1, 0);
			HOLDS(m[i].p != MAP_FAILED);
			HOLDS(m[i].p[0] == 0 && m[i].p[m[i].n - 1] == 0);
			pattern(m[i].p, m[i].n, m[i].key);
			continue;
		}
		switch (pick(6)) {
		case 0:
			HOLDS(matches(m[i].p, m[i].n, m[i].key));
			HOLDS(munmap(m[i].p, m[i].n) == 0);
			m[i].p = NULL;
			break;
		case 1: {
			size_t n = m[i].n + page;
			char *p = mremap(m[i].p, m[i].n, n, MREMAP_MAYMOVE);
			/*
			 * shared memory does not grow past its object, but its address range does
			 */
			HOLDS(p != MAP_FAILED && matches(p, m[i].n, m[i].key));
			HOLDS(munmap(p + m[i].n, page) == 0);
			m[i].p = p;
			break;
		}
		case 2:
			HOLDS(mprotect(m[i].p, m[i].n, PROT_READ) == 0);
			HOLDS(matches(m[i].p, m[i].n, m[i].key));
			HOLDS(mprotect(m[i].p, m[i].n, RW) == 0);
			break;
		case 3: {
			pid_t pid = forked();
			if (!pid) {
				HOLDS(matches(m[i].p, m[i].n, m[i].key));
				mprotect(m[i].p, m[i].n, PROT_READ);
				*(volatile char *)m[i].p = 1;
				_exit(0);
			}
			HOLDS(killed_by(pid, SIGSEGV));
			break;
		}
		case 4:
			m[i].key = next_random(&seed);
			pattern(m[i].p, m[i].n, m[i].key);
			break;
		default:
			HOLDS(matches(m[i].p, m[i].n, m[i].key));
		}
	}
	for (int i = 0; i < N; i++)
		if (m[i].p) {
			HOLDS(matches(m[i].p, m[i].n, m[i].key));
			HOLDS(munmap(m[i].p, m[i].n) == 0);
		}
}

static volatile sig_atomic_t handled;

static void handler(int signal)
{
	(void)signal;
	handled++;
}

/* Signals that queue are neither lost nor doubled. */
static void act_signals(void)
{
	int n = 1 + pick(60), parent = getpid();
	sigset_t set, old;
	uint64_t sum = 0, right = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	HOLDS(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	pid_t pid = forked();
	if (!pid) {
		for (int i = 1; i <= n; i++) {
			HOLDS(sigqueue(parent, SIGRTMIN, (union sigval){ .sival_int = i }) == 0);
			if (pick(10) == 0)
				sched_yield();
		}
		_exit(0);
	}
	for (int i = 1; i <= n; i++) {
		siginfo_t info;
		struct timespec ts = { 20, 0 };
		int s;
		while ((s = sigtimedwait(&set, &info, &ts)) < 0 && errno == EINTR)
			;
		HOLDS(s == SIGRTMIN);
		HOLDS(info.si_pid == pid && info.si_value.sival_int == i);
		sum += info.si_value.sival_int;
		right += i;
	}
	HOLDS(sum == right);
	HOLDS(exited_with(pid, 0));
	signal(SIGRTMIN, handler);
	handled = 0;
	for (int i = 0; i < n; i++)
		HOLDS(sigqueue(parent, SIGRTMIN, (union sigval){ .sival_int = i }) == 0);
	HOLDS(handled == 0);
	HOLDS(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	HOLDS(handled == n);
	signal(SIGRTMIN, SIG_DFL);
}

/* Who is killed dies of it, whatever it does: sleeps, computes, writes, maps, waits. */
static void act_kill(void)
{
	int how = pick(7), signal = pick(2) ? SIGKILL : SIGTERM;
	int p[2];

	HOLDS(pipe(p) == 0);
	pid_t pid = forked();
	if (!pid) {
		pthread_t t;
		char c[4096] = "";
		switch (how) {
		case 0:
			for (;;)
				pause();
		case 1:
			for (volatile uint32_t i = 0;; i++)
				;
		case 2:
			for (;;)
				write(p[1], c, sizeof c);
		case 3:
			for (;;) {
				char *m = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
				HOLDS(m != MAP_FAILED);
				memset(m, 1, 4 * PAGE);
				munmap(m, 4 * PAGE);
			}
		case 4:
			for (;;) {
				pid_t child = forked();
				if (!child)
					_exit(0);
				status_of(child);
			}
		case 5:
			for (;;) {
				HOLDS(pthread_create(&t, NULL, thread, (void *)(uintptr_t)pick(1000)) == 0);
				pthread_mutex_lock(&mutex);
				at_barrier = 99;
				pthread_mutex_unlock(&mutex);
				pthread_detach(t);
				usleep(1000);
			}
		default:
			for (;;)
				read(p[0], c, 1);
		}
	}
	usleep(pick(8000));
	if (pick(3) == 0) {
		int status;
		HOLDS(kill(pid, SIGSTOP) == 0);
		HOLDS(waitpid(pid, &status, WUNTRACED) == pid);
		HOLDS(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
		if (signal != SIGKILL)
			HOLDS(kill(pid, SIGCONT) == 0);
	}
	HOLDS(kill(pid, signal) == 0);
	HOLDS(killed_by(pid, signal));
	close(p[0]);
	close(p[1]);
}

/* Files: written here, mapped there, cut, removed. */
static void act_files(void)
{
	char name[60];
	size_t page = PAGE, n = (1 + pick(6)) * page;
	uint64_t key = next_random(&seed);

	sprintf(name, "stress-%d", getpid());
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	HOLDS(fd >= 0);
	char *bytes = malloc(n);
	pattern(bytes, n, key);
	HOLDS(write(fd, bytes, n) == (ssize_t)n);
	char *p = mmap(NULL, n, RW, MAP_SHARED, fd, 0);
	HOLDS(p != MAP_FAILED && matches(p, n, key));
	pid_t pid = forked();
	if (!pid) {
		int again = open(name, O_RDONLY);
		HOLDS(again >= 0 && read(again, bytes, n) == (ssize_t)n && matches(bytes, n, key));
		pattern(p, n, key + 1);
		_exit(4);
	}
	HOLDS(exited_with(pid, 4));
	HOLDS(pread(fd, bytes, n, 0) == (ssize_t)n && matches(bytes, n, key + 1));
	HOLDS(ftruncate(fd, 0) == 0);
	pid = forked();
	if (!pid) {
		*(volatile char *)p = 1;
		_exit(0);
	}
	HOLDS(killed_by(pid, SIGBUS));
	HOLDS(munmap(p, n) == 0 && close(fd) == 0 && unlink(name) == 0);
	free(bytes);
}

/* Processes that nobody waits for in time, and those whose parents are gone. */
static void act_orphans(void)
{
	int n = 1 + pick(5), p[2];
	char c;

	HOLDS(pipe(p) == 0);
	pid_t pid = forked();
	if (!pid) {
		for (int i = 0; i < n; i++) {
			pid_t orphan = fork();
			HOLDS(orphan >= 0);
			if (!orphan) {
				usleep(pick(5000));
				write(p[1], "o", 1);
				_exit(0);
			}
		}
		_exit(9);
	}
	close(p[1]);
	HOLDS(exited_with(pid, 9));
	int got = 0;
	for (ssize_t r; (r = read(p[0], &c, 1)) != 0;) {
		HOLDS(r == 1 || errno == EINTR);
		got += r == 1;
	}
	HOLDS(got == n);
	close(p[0]);
}

/* Crashes are their own affair. */
static void act_crash(void)
{
	static volatile int zero;
	int how = pick(4), signals[] = { SIGSEGV, SIGFPE, SIGABRT, SIGILL };
	pid_t pid = forked();

	if (!pid) {
		switch (how) {
		case 0: *(volatile char *)(uintptr_t)pick(4096) = 1; break;
		case 1: zero = 7 / zero; break;
		case 2: abort();
		default: __builtin_trap();
		}
		_exit(0);
	}
	HOLDS(killed_by(pid, signals[how]));
}

static const struct {
	const char *name;
	void (*run)(void);
} acts[] = {
	{ "cow", act_cow }, { "pipe", act_pipe }, { "exec", act_exec }, { "threads", act_threads }, { "mappings", act_mappings },
	{ "signals", act_signals }, { "kill", act_kill }, { "files", act_files }, { "orphans", act_orphans }, { "crash", act_crash },
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	if (argc > 4)
		return atoi(argv[4]);
	double end = now() + (argc > 1 ? atof(argv[1]) : 5);
	uint64_t base = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	pid_t workers[WORKERS];
	uint32_t all = 0, wrong = 0;

	LINES();
	MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(shared != MAP_FAILED);
	for (int w = 0; w < WORKERS; w++) {
		fflush(stdout);
		MUST((workers[w] = fork()) >= 0);
		if (workers[w])
			continue;
		while (now() < end) {
			/* each act has a seed of its own, so that it can be repeated alone */
			act_number++;
			uint64_t numbers[] = { base, w, act_number };
			seed = hash_of(numbers, sizeof numbers);
			int act = pick(countof(acts));
			while (argc > 3 && strcmp(argv[3], acts[act].name))
				act = pick(countof(acts));
			act_name = acts[act].name;
			/* a hang is a failure too */
			alarm(60);
			acts[act].run();
			alarm(0);
			__atomic_add_fetch(&shared->acts[act], 1, __ATOMIC_SEQ_CST);
		}
		_exit(0);
	}
	for (int w = 0; w < WORKERS; w++) {
		const char *end_of = fate_of(workers[w]);
		if (strcmp(end_of, "exit 0")) {
			fprintf(stderr, "stress: worker %d: %s\n", w, end_of);
			wrong++;
		}
	}
	for (size_t i = 0; i < countof(acts); i++) {
		printf("%s %u\n", acts[i].name, shared->acts[i]);
		all += shared->acts[i];
	}
	printf("%u acts, %u failures\n", all, wrong + shared->failures);
	return wrong || shared->failures;
}
