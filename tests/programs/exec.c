/*
 * execve in its forms: arguments, environment, #!, fexecve, close-on-exec, PATH, threads, limits,
 * errors. Run in an empty directory.
 */
#include "process.h"
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>

extern char **environ;
static char self[4096];

static int show(int argc, char **argv)
{
	printf("argc %d:", argc);
	for (int i = 0; i < argc; i++) {
		char *base = strrchr(argv[i], '/');
		printf(" [%s]", base && argv[i][0] == '/' ? base + 1 : argv[i]);
	}
	int n = 0;
	for (char **e = environ; *e; e++)
		n++;
	printf(" env %d", n);
	if (n && n < 4)
		printf(" %.3s", environ[0]);
	puts("");
	return 40 + argc;
}

static void script(const char *name, const char *text, int mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	MUST(fchmod(fd, mode) == 0);
	close(fd);
}

static void *execs(void *arg)
{
	execl(self, "exec", "show", "from a thread", (char *)NULL);
	return arg;
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void handler(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	LINES();
	if (argc > 1 && !strcmp(argv[1], "show"))
		return show(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "fds")) {
		for (int i = 3; i < 20; i++)
			if (fcntl(i, F_GETFD) >= 0)
				printf("%d ", i);
		puts("open");
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "signals")) {
		struct sigaction sa;
		sigset_t mask, pending;
		sigprocmask(SIG_BLOCK, NULL, &mask);
		sigpending(&pending);
		sigaction(SIGUSR1, NULL, &sa);
		printf("usr1 %s, ", sa.sa_handler == SIG_DFL ? "default" : "other");
		sigaction(SIGUSR2, NULL, &sa);
		printf("usr2 %s, blocked %d, pending %d\n", sa.sa_handler == SIG_IGN ? "ignored" : "other", sigismember(&mask, SIGTERM), sigismember(&pending, SIGTERM));
		return 0;
	}
	if (argc > 1 && !strncmp(argv[1], "script", 6)) {
		/* by a script: our path, one argument, the script's path, its arguments */
		for (int i = 1; i < argc; i++)
			printf("[%s]", argv[i]);
		puts("");
		return argc;
	}
	if (argc > 1 && !strcmp(argv[1], "count")) {
		size_t bytes = 0;
		for (int i = 0; i < argc; i++)
			bytes += strlen(argv[i]);
		printf("%d arguments, %zu bytes\n", argc, bytes);
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "again")) {
		int n = atoi(argv[2]);
		if (!n)
			return 66;
		char less[20];
		sprintf(less, "%d", n - 1);
		execl(self[0] ? self : "/proc/self/exe", "exec", "again", less, (char *)NULL);
		return 1;
	}
	char *path = strdup(getenv("PATH"));
	clearenv();
	setenv("PATH", path, 1);
	MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);

	char *none[] = { NULL }, *env[] = { "ONE=1", "TWO=2", NULL };
	char *args[] = { "exec", "show", "b c", "", NULL };
	IN_CHILD(execve(self, args, env));
	IN_CHILD(execve(self, args, none));
	IN_CHILD(execl(self, "name", "show", "x", (char *)NULL));
	IN_CHILD(execle(self, "exec", "show", (char *)NULL, env));
	IN_CHILD(execlp("exec", "exec", "show", "by PATH", (char *)NULL));
	IN_CHILD(execvp("exec", args));
	IN_CHILD(fexecve(open(self, O_RDONLY), args, env));
	IN_CHILD(fexecve(open(self, O_RDONLY | O_CLOEXEC), args, env));
	IN_CHILD(execl(self, "exec", "again", "30", (char *)NULL));

	/* errors */
	script("plain", "no program", 0755);
	script("forbidden", "#!/bin/false\n", 0644);
	script("empty", "", 0755);
	script("loop", "#!./loop\n", 0755);
	script("nothing", "#!\n", 0755);
	script("missing", "#!/does/not/exist\n", 0755);
	script("elf", "\177ELF broken", 0755);
	script("wasm", "\0asm", 0755);
	const char *files[] = { "plain", "forbidden", "empty", "loop", "nothing", "missing", "elf", "wasm", "absent", ".", "plain/x" };
	for (size_t i = 0; i < countof(files); i++) {
		errno = 0;
		execve(files[i], args, env);
		printf("%s: %s\n", files[i], ename(errno));
	}
	/* scripts */
	char text[5000];
	snprintf(text, sizeof text, "#!%s script\nwhatever\n", self);
	script("s1", text, 0755);
	snprintf(text, sizeof text, "#! %s   script two words  \n", self);
	script("s2", text, 0755);
	script("s3", "#!./s1 more\n", 0755);
	IN_CHILD(execl("./s1", "s1", "a", "b", (char *)NULL));
	IN_CHILD(execl("s2", "s2", (char *)NULL));
	IN_CHILD(execl("./s3", "s3", "c", (char *)NULL));

	/* descriptors */
	int fd = open("/dev/null", O_RDONLY);
	for (int i = 3; i < 20; i++)
		if (i != fd)
			close(i);
	dup2(fd, 10);
	fcntl(dup2(fd, 11), F_SETFD, FD_CLOEXEC);
	dup3(fd, 12, O_CLOEXEC);
	dup2(fd, 13);
	if (fd < 10)
		close(fd);
	IN_CHILD(execl(self, "exec", "fds", (char *)NULL));

	/* signals */
	IN_CHILD({
		sigset_t set;
		signal(SIGUSR1, handler);
		signal(SIGUSR2, SIG_IGN);
		sigemptyset(&set);
		sigaddset(&set, SIGTERM);
		sigprocmask(SIG_BLOCK, &set, NULL);
		raise(SIGTERM);
		execl(self, "exec", "signals", (char *)NULL);
	});

	/* threads are gone */
	IN_CHILD({
		pthread_t t;
		pid_t me = getpid();
		for (int i = 0; i < 5; i++)
			pthread_create(&t, NULL, idle, NULL);
		(void)me;
		execl(self, "exec", "show", "threads", (char *)NULL);
	});
	IN_CHILD({
		pthread_t t;
		pthread_create(&t, NULL, idle, NULL);
		pthread_create(&t, NULL, execs, NULL);
		for (;;)
			pause();
	});

	/* large */
	static char *large[2003];
	large[0] = "exec";
	large[1] = "count";
	for (int i = 2; i < 2002; i++) {
		large[i] = malloc(501);
		memset(large[i], 'x', 500);
		large[i][500] = 0;
	}
	IN_CHILD(execve(self, large, none));
	char *huge = malloc(9 << 20);
	memset(huge, 'h', 9 << 20);
	huge[(9 << 20) - 1] = 0;
	char *too[] = { "exec", "count", huge, NULL };
	SAY(execve(self, too, none));
	IN_CHILD({
		/* a quarter of the limit of the stack */
		struct rlimit limit = { 2 << 20, RLIM_INFINITY };
		MUST(setrlimit(RLIMIT_STACK, &limit) == 0);
		MUST(execve(self, large, none) == -1);
		printf("%s\n", ename(errno));
	});

	/* spawn, system, popen */
	pid_t pid;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	MUST(posix_spawn(&pid, self, NULL, NULL, args, env) == 0);
	puts(fate_of(pid));
	MUST(posix_spawnp(&pid, "exec", NULL, NULL, args, environ) == 0);
	puts(fate_of(pid));
	SAY(posix_spawn(&pid, "/does/not/exist", NULL, NULL, args, env) == ENOENT);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	posix_spawn_file_actions_addclose(&actions, 13);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
	MUST(posix_spawn(&pid, self, &actions, &attr, args, env) == 0);
	puts(fate_of(pid));
	FILE *f = fopen("out", "r");
	MUST(f && fgets(text, sizeof text, f));
	printf("in the file: %s", text);
	fclose(f);
	return 0;
}
