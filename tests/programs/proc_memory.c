/* /proc/PID/maps, smaps, status, mem; process_vm_readv and writev; maps after changes. */
#include "process.h"
#include <fcntl.h>
#include <sys/uio.h>

#define RW (PROT_READ | PROT_WRITE)

/* The line of /proc/PID/maps that has an address: rights, and its size in pages. */
static void line_of(pid_t pid, void *address)
{
	char path[40], line[300];

	sprintf(path, "/proc/%d/maps", pid);
	FILE *f = fopen(path, "r");
	MUST(f);
	while (fgets(line, sizeof line, f)) {
		unsigned long long a, b, off;
		char rights[8], name[200] = "";
		MUST(sscanf(line, "%llx-%llx %7s %llx %*s %*s %199s", &a, &b, rights, &off, name) >= 4);
		if ((uintptr_t)address >= a && (uintptr_t)address < b) {
			char *base = strrchr(name, '/');
			printf("%s %llu %llu %s\n", rights, (b - a) / PAGE, off / PAGE, base ? base + 1 : name);
			fclose(f);
			return;
		}
	}
	puts("not mapped");
	fclose(f);
}

static long field(pid_t pid, const char *file, const char *key)
{
	char path[40], line[300];
	long value = -1;

	sprintf(path, "/proc/%d/%s", pid, file);
	FILE *f = fopen(path, "r");
	MUST(f);
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key))) {
			value = atol(line + strlen(key) + 1);
			break;
		}
	fclose(f);
	return value;
}

int main(void)
{
	size_t page = PAGE;
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	char buf[100] = "", path[40];

	LINES();
	ftruncate(fd, 4 * page);
	char *p = mmap(NULL, 10 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mmap(p + page, 2 * page, RW, MAP_SHARED | MAP_FIXED, fd, page);
	mmap(p + 4 * page, 3 * page, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(p + 8 * page, page, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
	for (int i = 0; i < 10; i++)
		line_of(getpid(), p + i * page);
	mprotect(p + 5 * page, page, PROT_READ);
	line_of(getpid(), p + 4 * page);
	line_of(getpid(), p + 5 * page);
	mprotect(p + 5 * page, page, RW);
	line_of(getpid(), p + 5 * page);
	munmap(p + page, page);
	line_of(getpid(), p + 2 * page);

	long before = field(getpid(), "status", "VmRSS:"), size = field(getpid(), "status", "VmSize:");
	char *big = mmap(NULL, 8 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SAY(field(getpid(), "status", "VmSize:") - size);
	memset(big, 1, 8 << 20);
	long grown = field(getpid(), "status", "VmRSS:") - before;
	SAY(grown >= 8192 - 512 && grown < 10000);
	munmap(big, 8 << 20);
	SAY(field(getpid(), "status", "VmSize:") - size);
	SAY(field(getpid(), "status", "Threads:"));
	SAY(field(getpid(), "status", "Pid:") == getpid());
	SAY(field(getpid(), "status", "PPid:") == getppid());
	SAY(field(getpid(), "smaps", "Rss:") >= 0);

	/* memory as a file */
	strcpy(p + 4 * page, "seen from outside");
	sprintf(path, "/proc/%d/mem", getpid());
	int mem = open(path, O_RDWR);
	SAY(mem > 0);
	SAY(pread(mem, buf, 18, (off_t)(uintptr_t)(p + 4 * page)));
	puts(buf);
	SAY(pwrite(mem, "written", 8, (off_t)(uintptr_t)(p + 6 * page)));
	puts(p + 6 * page);
	SAY(pread(mem, buf, 10, (off_t)(uintptr_t)(p + 7 * page)));
	SAY(pread(mem, buf, 10, 0));

	/* another process's memory */
	int ready[2], done[2];
	MUST(pipe(ready) == 0 && pipe(done) == 0);
	pid_t child;
	CHILD(child, {
		char c;
		strcpy(p + 4 * page, "the child's own");
		write(ready[1], "r", 1);
		read(done[0], &c, 1);
		printf("child has %s\n", p + 5 * page);
	});
	char c;
	read(ready[0], &c, 1);
	struct iovec local = { buf, 50 }, remote = { p + 4 * page, 50 };
	SAY(process_vm_readv(child, &local, 1, &remote, 1, 0));
	puts(buf);
	strcpy(buf, "from the parent");
	remote.iov_base = p + 5 * page;
	SAY(process_vm_writev(child, &local, 1, &remote, 1, 0));
	struct iovec split[2] = { { buf, 4 }, { buf + 20, 4 } };
	remote = (struct iovec){ p + 4 * page, 8 };
	SAY(process_vm_readv(child, split, 2, &remote, 1, 0));
	printf("%.4s %.4s\n", buf, buf + 20);
	remote.iov_base = p + 9 * page;
	SAY(process_vm_readv(child, &local, 1, &remote, 1, 0));
	remote = (struct iovec){ p + 7 * page - 10, 50 };
	SAY(process_vm_readv(child, &local, 1, &remote, 1, 0));
	SAY(process_vm_readv(child, &local, 1, &remote, 1, 7));
	sprintf(path, "/proc/%d/mem", child);
	int other = open(path, O_RDWR);
	SAY(pread(other, buf, 16, (off_t)(uintptr_t)(p + 4 * page)));
	puts(buf);
	line_of(child, p + 4 * page);
	write(done[1], "d", 1);
	puts(fate_of(child));
	SAY(process_vm_readv(child, &local, 1, &remote, 1, 0));
	return 0;
}
