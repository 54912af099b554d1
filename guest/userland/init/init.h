/* SPDX-License-Identifier: MIT */
/* What the parts of init know of each other. */
#ifndef INIT_H
#define INIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "control.h"

/* log.c: one line into the kernel's log. Levels are the kernel's: 3 error, 4 warning, 6 information. */
void log_open(void);
void log_message(int level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * mounts.c: file systems, device nodes, the machine's name. Failures are logged; what works is
 * there. The first are those that files_receive() needs.
 */
void mounts_first(void);
void mounts_rest(void);

/* files.c: makes the files that the host sends. Without all of them the machine goes off. */
void files_receive(void);

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
 * terminal.c: opens the line behind a stream and gives it a size; a descriptor, close-on-exec, or -1 and errno.
 */
int terminal_open(unsigned stream, unsigned rows, unsigned columns);

/* message.c: messages over a stream. Whole ones only; 0, or -1 when the other side has gone. */
struct message {
	uint32_t length, type, id;
};

int read_all(int fd, void *data, size_t length);
int write_all(int fd, const void *data, size_t length);
int message_send(int fd, uint32_t type, uint32_t id, const uint32_t *words, size_t count);
uint32_t word_at(const unsigned char *bytes, size_t index);

/* A command line out of a message. */
struct command {
	const char *file;	/* NULL: the first argument, looked for in PATH */
	const char *cwd;
	char **argv, **envp, **paths;
	int terminal;		/* descriptor 0 becomes the controlling terminal */
};

/*
 * `text` holds, one after the other, the working directory, `argc` arguments, `envc`
 * variables and `paths` paths, and must live as long as the command. 0, or -1 if it does not.
 */
int command_parse(struct command *command, uint32_t argc, uint32_t envc, uint32_t paths,
		  char *text, size_t length);
void command_free(struct command *command);

/*
 * spawn.c: runs a command as the leader of a session of its own, with these descriptors as
 * its 0, 1 and 2 (each above 2). Returns its process id once it runs, or a negative errno
 * and in `step` what failed (CONTROL_FAILED_*).
 */
pid_t spawn(const struct command *command, const int fds[3], uint32_t *step);

/* Makes a folder and those above it, as far as they are absent. */
void make_folders(const char *path);

/* hosttask.c: serves the system calls that the host asks for on descriptor 0. Returns when the host has gone. */
int hosttask_serve(void);

/* control.c: serves the control channel, forever. `signals` is a signalfd or -1. */
void control_serve(int channel, int signals) __attribute__((noreturn));

/* power.c: ends the machine (a RB_* of <sys/reboot.h>). */
void power_down(int how) __attribute__((noreturn));

#endif
