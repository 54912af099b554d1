/* SPDX-License-Identifier: MIT */
/* The demonstration of `cargo xtask run`: what a C program sees of the system that it runs on. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The lines of a file that begin with one of the words. */
static void show(const char *path, const char *const *words)
{
	char line[256];
	FILE *file = fopen(path, "r");

	if (!file) {
		perror(path);
		return;
	}
	while (fgets(line, sizeof line, file))
		for (const char *const *word = words; *word; word++)
			if (!strncmp(line, *word, strlen(*word)))
				printf("  %s", line);
	fclose(file);
}

int main(int argc, char **argv, char **envp)
{
	static const char *const memory[] = { "MemTotal:", "MemFree:", NULL };
	static const char *const status[] = { "Name:", "Pid:", "PPid:", "VmRSS:", NULL };
	struct utsname name;
	time_t now = time(NULL);

	printf("Hello from a C program, through printf and a real Linux kernel in WebAssembly!\n");
	printf("arguments:\n");
	for (int i = 0; i < argc; i++)
		printf("  %d: %s\n", i, argv[i]);
	printf("environment:\n");
	for (; *envp; envp++)
		printf("  %s\n", *envp);
	if (uname(&name)) {
		perror("uname");
		return 1;
	}
	printf("system: %s %s %s %s %s\n", name.sysname, name.nodename, name.release, name.version, name.machine);
	printf("time: %s", asctime(gmtime(&now)));
	printf("memory:\n");
	show("/proc/meminfo", memory);
	printf("this process:\n");
	show("/proc/self/status", status);
	return 0;
}
