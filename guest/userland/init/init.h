/* SPDX-License-Identifier: MIT */
/* What the parts of init know of each other. */
#ifndef INIT_H
#define INIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "message.h"

/*
 * log.c: one line into the kernel's log. Levels are the kernel's: 3 error, 4 warning, 6
 * information.
 */
void log_open(void);
void log_message(int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * mounts.c: file systems, device nodes, the machine's name. Failures are logged; what works is
 * there. The first are those that files_receive() needs.
 */
void mounts_first(void);
void mounts_rest(void);

/*
 * files.c: makes the files that the host sends at boot. Without all of them the machine goes off.
 */
void files_receive(void);
/*
 * Makes the files that come on a stream, or sends those of a path (of what it leads to, if it is a
 * link): processes of their own. The exit status.
 */
int files_take(int fd);
int files_give(int fd, const char *path, int follow);

/* network.c: loopback and, if there is one, the Ethernet. Failures are logged. */
void network_up(void);
/* Waits until what was sent on closed connections has arrived, for two seconds at most. */
void network_finish(void);

/*
 * stream.c: opens a stream of the machine, close-on-exec; -1 and errno. A stream is
 * closed for the host when the last descriptor of it is.
 */
int stream_open(unsigned stream, int flags);

/* The major number of a driver in a file of /proc, or 0. */
unsigned driver_major(const char *name);

/*
 * terminal.c: opens the line behind a stream and gives it a size; a descriptor, close-on-exec, or
 * -1 and errno.
 */
int terminal_open(unsigned stream, unsigned rows, unsigned columns);

/*
 * Why something cannot be: a number of Linux's, CONTROL_STEP_*, and what it was done with, or NULL.
 */
struct failure {
	int error;
	uint32_t step;
	const char *text;
};

/* A message that says so. */
int failure_send(int fd, uint32_t id, const struct failure *failure);

/* user.c: whom a command runs as. Zero at first, and then root. */
struct user {
	int set;
	uid_t uid;
	gid_t gid, *groups;
	size_t count;
	char *home;
};

/* NAME or NUMBER, perhaps a colon and a group. `text` is cut into these. 0, or a negative errno. */
int user_find(struct user *user, char *text, struct failure *failure);
/* One more group, by name or number. */
int user_add_group(struct user *user, const char *name);
void user_free(struct user *user);

/* command.c: a command as a message describes it. */
struct limit {
	uint32_t resource;
	uint64_t soft, hard;
};

struct command {
	const char *file;	/* NULL: the first argument, looked for in PATH */
	const char *directory;
	char **argv, **envp;
	int fds[3];		/* above 2; -1: open the path */
	char *paths[3];
	uint32_t terminal, rows, columns;	/* the stream of its terminal, or 0 */
	int power_off, start;
	struct user user;
	struct limit *limits;
	size_t limit_count;
	unsigned char *memory;	/* of its texts */
};

/* Takes a message apart and opens what the command is given. 0, or a negative errno. */
int command_parse(struct command *command, const struct message *message,
		  struct failure *failure);
/* Closes what is open here. What the child has stays open. */
void command_close(struct command *command);
void command_free(struct command *command);

/*
 * spawn.c: a process that becomes a command, as the leader of a session of its own. It is on this
 * process's memory until it has executed the program, so `command` must stay, and be as it was
 * given.
 */
struct spawn;

/* Whether it has come so far. */
enum spawned { SPAWN_PENDING, SPAWN_CREATED, SPAWN_STARTED, SPAWN_FAILED };

/* Makes the process. NULL, and why. */
struct spawn *spawn_begin(const struct command *command, pid_t *pid, struct failure *failure);
/* Readable when there is news. */
int spawn_fd(const struct spawn *spawn);
/* The news; does not wait. `failure` is set with SPAWN_FAILED. */
enum spawned spawn_state(struct spawn *spawn, struct failure *failure);
/* Lets one go on that was created only. */
void spawn_start(struct spawn *spawn);
/* After SPAWN_STARTED or SPAWN_FAILED, or when the process has ended. */
void spawn_free(struct spawn *spawn);

/* Makes a directory and those above it, as far as they are absent. */
void make_directories(const char *path);

/* memory.c: processes that the kernel has killed for want of memory until now; -1: not known. */
long oom_kills(void);

/*
 * hosttask.c: serves the system calls that the host asks for on descriptor 0. Returns when the host
 * has gone.
 */
int hosttask_serve(void);

/* control.c: serves the control channel, forever. `signals` is a signalfd or -1. */
void control_serve(int channel, int signals) __attribute__((noreturn));

/* power.c: ends the machine (a RB_* of <sys/reboot.h>). */
void power_down(int how) __attribute__((noreturn));

#endif
