/* Directories, links, metadata. Run in an empty directory. */
#include "common.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <libgen.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void list(const char *path)
{
	static char names[600][64];
	DIR *dir = opendir(path);
	int n = 0;

	printf("%s:", path);
	if (!dir) {
		printf(" %s\n", ename(errno));
		return;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		char type = e->d_type == DT_DIR ? '/' : e->d_type == DT_LNK ? '@' : e->d_type == DT_FIFO ? '|' : e->d_type == DT_REG ? ' ' : '?';
		snprintf(names[n++], 64, "%.60s%c", e->d_name, type);
	}
	SAY(closedir(dir));
	qsort(names, n, sizeof *names, by_name);
	if (n > 20) {
		printf(" %d entries %016llx\n", n, (unsigned long long)hash_of(names[n - 1], strlen(names[n - 1])));
		return;
	}
	for (int i = 0; i < n; i++)
		printf(" %s", names[i]);
	putchar('\n');
}

static void show(const char *path)
{
	struct stat st;
	if (lstat(path, &st)) {
		printf("%s: %s\n", path, ename(errno));
		return;
	}
	/* a directory's size is the file system's own affair */
	printf("%s: mode %o links %ld uid %d gid %d size %lld\n", path, st.st_mode, (long)st.st_nlink, (int)st.st_uid, (int)st.st_gid,
	       S_ISDIR(st.st_mode) ? 0ll : (long long)st.st_size);
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	const char *kind = type == FTW_F ? "file" : type == FTW_D ? "folder" : type == FTW_DP ? "folder after" : type == FTW_SL ? "link" : "other";
	printf("walk %s: %s, level %d, base %s\n", path, kind, at->level, path + at->base);
	return 0;
}

int main(void)
{
	char buf[5000];
	struct stat st, st2;
	struct statfs fs;
	struct statvfs vfs;
	int fd;

	/* whose mode is known, unlike that of the directory that we are started in */
	umask(022);
	SAY(mkdir("root", 0755));
	SAY(chdir("root"));
	SAY(mkdir("d", 0777));
	SAY(mkdir("d", 0777));
	SAY(mkdir("d/e/f", 0777));
	SAY(mkdir("d/e", 0700));
	show("d");
	show("d/e");
	SAY(rmdir("d"));
	SAY(rmdir("missing"));
	SAY(unlink("d"));
	SAY(remove("d/e"));
	show("d");
	close(open("d/file", O_CREAT | O_WRONLY, 0666));
	SAY(rmdir("d/file"));
	SAY(link("d/file", "d/hard"));
	SAY(link("d/file", "d/hard"));
	SAY(link("d", "dd"));
	SAY(symlink("file", "d/soft"));
	SAY(symlink("nowhere", "d/broken"));
	SAY(symlink("loop", "d/loop"));
	SAY(mkfifo("d/fifo", 0640));
	SAY(mknod("d/node", S_IFCHR | 0600, 0x0103));
	list("d");
	show("d/file");
	show("d/soft");
	show("d/fifo");
	stat("d/file", &st);
	stat("d/hard", &st2);
	SAY(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev);
	SAY(stat("d/soft", &st2));
	SAY(st.st_ino == st2.st_ino);
	SAY(stat("d/broken", &st));
	SAY(stat("d/loop", &st));
	SAY(open("d/soft", O_RDONLY | O_NOFOLLOW));
	SAY(readlink("d/soft", buf, sizeof buf));
	printf("%.4s\n", buf);
	SAY(readlink("d/soft", buf, 2));
	SAY(readlink("d/file", buf, 2));
	SAY(unlink("d/hard"));
	show("d/file");

	/* permissions and umask */
	SAY(umask(077) == 022);
	close(open("private", O_CREAT | O_WRONLY, 0666));
	show("private");
	SAY(chmod("private", 04711));
	show("private");
	SAY(fchmodat(AT_FDCWD, "private", 0444, 0));
	SAY(chown("private", 12, 34));
	show("private");
	SAY(lchown("d/soft", 5, 6));
	show("d/soft");
	SAY(access("private", R_OK));
	SAY(access("private", X_OK));
	/* without the privileges of root */
	SAY(setegid(1000));
	SAY(seteuid(1000));
	SAY(open("private", O_WRONLY));
	SAY(close(open("private", O_RDONLY)));
	SAY(mkdir("mine", 0755));
	SAY(chmod("private", 0777));
	SAY(unlink("private"));
	SAY(seteuid(0));
	SAY(setegid(0));
	umask(022);

	/* times */
	struct timespec times[2] = { { 1000000000, 123456789 }, { 1700000000, 987654321 } };
	SAY(utimensat(AT_FDCWD, "private", times, 0));
	stat("private", &st);
	printf("%lld.%09ld %lld.%09ld\n", (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	times[0].tv_nsec = UTIME_OMIT;
	times[1].tv_nsec = UTIME_NOW;
	SAY(utimensat(AT_FDCWD, "private", times, 0));
	stat("private", &st);
	SAY(st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec > 1700000001);
	/* beyond 2038 */
	times[0] = times[1] = (struct timespec){ 5000000000ll, 5 };
	SAY(utimensat(AT_FDCWD, "private", times, 0));
	stat("private", &st);
	printf("%lld\n", (long long)st.st_mtim.tv_sec);
	times[0].tv_nsec = 1000000000;
	SAY(utimensat(AT_FDCWD, "private", times, 0));

	/* by descriptor of a directory */
	fd = open("d", O_RDONLY | O_DIRECTORY);
	SAY(mkdirat(fd, "sub", 0755));
	SAY(close(openat(fd, "sub/x", O_CREAT | O_RDWR, 0600)));
	SAY(renameat(fd, "sub/x", fd, "y"));
	SAY(unlinkat(fd, "y", 0));
	SAY(unlinkat(fd, "sub", 0));
	SAY(unlinkat(fd, "sub", AT_REMOVEDIR));
	SAY(symlinkat("t", fd, "s"));
	SAY(readlinkat(fd, "s", buf, 10));
	SAY(fstatat(fd, "s", &st, AT_SYMLINK_NOFOLLOW));
	SAY(S_ISLNK(st.st_mode));
	SAY(fstatat(fd, "", &st, AT_EMPTY_PATH));
	SAY(S_ISDIR(st.st_mode));
	SAY(faccessat(fd, "file", R_OK, 0));
	/*
	 * struct statx has one layout everywhere, and not every libc has it: nlink at 16, mode at
	 * 28, size at 40
	 */
	uint32_t sx[64];
	SAY(syscall(SYS_statx, fd, "file", 0, 0x7ff, sx));
	printf("%u %o %u\n", sx[4], sx[7] & 0xffff, sx[10]);
	list("d");

	/* where am I */
	SAY(chdir("d/missing"));
	SAY(chdir("d/file"));
	SAY(mkdir("deep", 0755));
	char *before = strdup(getcwd(buf, sizeof buf));
	SAY(chdir("deep"));
	getcwd(buf, sizeof buf);
	printf("%s\n", buf + strlen(before));
	SAY(getcwd(buf, 2) == NULL);
	SAY(rmdir("../deep"));
	SAY(getcwd(buf, sizeof buf) == NULL);
	SAY(open("x", O_CREAT | O_RDWR, 0600));
	SAY(chdir(".."));
	SAY(chdir(before));
	SAY(fchdir(fd));
	SAY(access("file", F_OK));
	SAY(chdir(".."));
	SAY(strcmp(getcwd(buf, sizeof buf), before));
	SAY(realpath("d/../d/./soft", buf) == buf);
	printf("%s\n", buf + strlen(before));
	SAY(realpath("d/loop", buf) == NULL);

	/* move directories about */
	SAY(mkdir("m1", 0755));
	SAY(mkdir("m1/in", 0755));
	SAY(rename("m1", "m1/in/self"));
	SAY(rename("m1", "m2"));
	SAY(mkdir("m3", 0755));
	SAY(rename("m2", "m3"));
	SAY(rename("d", "m3"));
	SAY(rename("d", "private"));
	list("m3");

	/* many entries, and reading from a known place */
	SAY(mkdir("many", 0755));
	for (int i = 0; i < 500; i++) {
		sprintf(buf, "many/a-rather-long-name-%03d", i);
		close(open(buf, O_CREAT | O_WRONLY, 0600));
	}
	list("many");
	DIR *dir = opendir("many");
	for (int i = 0; i < 10; i++)
		readdir(dir);
	long place = telldir(dir);
	char *name = strdup(readdir(dir)->d_name);
	for (int i = 0; i < 200; i++)
		readdir(dir);
	seekdir(dir, place);
	SAY(strcmp(readdir(dir)->d_name, name));
	rewinddir(dir);
	int n = 0;
	while (readdir(dir))
		n++;
	SAY(n);
	SAY(dirfd(dir) >= 0);
	closedir(dir);
	struct dirent **found;
	n = scandir("many", &found, NULL, alphasort);
	printf("%d %s %s\n", n, found[2]->d_name, found[n - 1]->d_name);
	glob_t g;
	SAY(glob("many/*-00?", 0, NULL, &g));
	printf("%zu %s\n", g.gl_pathc, g.gl_pathv[9]);
	globfree(&g);
	for (int i = 0; i < 500; i++) {
		sprintf(buf, "many/a-rather-long-name-%03d", i);
		MUST(unlink(buf) == 0);
	}
	SAY(rmdir("many"));
	SAY(mkdir("w", 0755));
	SAY(mkdir("w/x", 0755));
	SAY(symlink("x", "w/x/y"));
	SAY(nftw("w", visit, 10, FTW_PHYS | FTW_DEPTH));

	SAY(statfs(".", &fs));
	SAY(fs.f_bsize > 0 && fs.f_namelen == 255);
	SAY(statvfs(".", &vfs));
	SAY(vfs.f_namemax);
	SAY(pathconf(".", _PC_NAME_MAX));
	strcpy(buf, "/usr/lib/x");
	printf("%s\n", basename(strdup(buf)));
	printf("%s\n", dirname(buf));
	strcpy(buf, "tmpXXXXXX");
	fd = mkstemp(buf);
	SAY(fd >= 0 && strcmp(buf, "tmpXXXXXX") != 0);
	strcpy(buf, "dirXXXXXX");
	SAY(mkdtemp(buf) == buf && rmdir(buf) == 0);
	return 0;
}
