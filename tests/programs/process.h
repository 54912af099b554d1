/* Children, how they end, and what an access to memory does. */
#include "common.h"
#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A status in words. */
static inline const char *fate(int status)
{
	static char text[64];

	if (WIFEXITED(status))
		snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
	else if (WIFSTOPPED(status))
		snprintf(text, sizeof text, "stopped %d", WSTOPSIG(status));
	else if (WIFCONTINUED(status))
		snprintf(text, sizeof text, "continued");
	else
		snprintf(text, sizeof text, "status %x", status);
	return text;
}

/* Waits for a child; its fate. */
static inline const char *fate_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		MUST(errno == EINTR);
	return fate(status);
}

/* A child that runs the statements and exits with 0; whoever comes later waits for `child`. */
#define CHILD(child, ...) do { \
		fflush(stdout); \
		MUST((child = fork()) >= 0); \
		if (!child) { \
			__VA_ARGS__; \
			fflush(stdout); \
			_exit(0); \
		} \
	} while (0)

/* Runs the statements in a child and says how it ended. */
#define IN_CHILD(...) do { \
		pid_t child_; \
		CHILD(child_, __VA_ARGS__); \
		printf("child: %s\n", fate_of(child_)); \
	} while (0)

/* What reading, or writing, of a byte does: tried by a child, which may die of it. */
static inline const char *touch(volatile void *address, int write)
{
	pid_t child;

	CHILD(child, {
		volatile char *p = address;
		if (write)
			*p = 'w';
		else
			(void)*p;
	});
	return fate_of(child);
}
#define TOUCH(p) printf("%s: read %s, ", #p, touch(p, 0)), printf("write %s\n", touch(p, 1))

/* Lines as they come, so that parent and child do not write the same twice. */
#define LINES() setvbuf(stdout, NULL, _IOLBF, 8192)

/* Sleeps for milliseconds. */
static inline void pause_ms(int ms)
{
	usleep(ms * 1000);
}

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))
#define countof(a) (sizeof(a) / sizeof *(a))

/* The state of a task, as ps shows it. */
static inline char state_of(const char *stat)
{
	FILE *file = fopen(stat, "r");
	char state = 0;

	if (file) {
		MUST(fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
		fclose(file);
	}
	return state;
}

/* Waits until a process sleeps. */
static inline void until_asleep(pid_t pid)
{
	char path[48];

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	while (state_of(path) != 'S')
		pause_ms(1);
}

/* Waits until all other threads of this process sleep. */
static inline void until_others_sleep(void)
{
	for (int awake = 1; awake; awake ? pause_ms(1) : (void)0) {
		DIR *tasks = opendir("/proc/self/task");
		struct dirent *task;

		awake = 0;
		MUST(tasks);
		while ((task = readdir(tasks))) {
			char path[300], state;

			if (atoi(task->d_name) == 0 || atoi(task->d_name) == (pid_t)syscall(SYS_gettid))
				continue;
			snprintf(path, sizeof path, "/proc/self/task/%s/stat", task->d_name);
			state = state_of(path);
			awake |= state && state != 'S';
		}
		closedir(tasks);
	}
}
