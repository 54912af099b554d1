/* Sessions, process groups, terminals of their own, job control by signals; orphaned groups. */
#include "process.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

static volatile sig_atomic_t got;

static void note(int signal)
{
	got = signal;
}

int main(void)
{
	int status, p[2], q[2];
	pid_t a, b;
	char c;

	LINES();
	SAY(getpgid(0) == getpgrp());
	SAY(getsid(0) == getsid(getpid()));
	IN_CHILD({
		pid_t me = getpid();
		MUST(setpgid(0, 0) == 0 && getpgrp() == me);
		SAY(setsid()); /* a leader cannot */
		pid_t child;
		CHILD(child, {
			MUST(setsid() == getpid());
			MUST(getsid(0) == getpid() && getpgrp() == getpid());
			SAY(setpgid(0, 0));
			SAY(getsid(me) != getsid(0));
			SAY(setpgid(me, 0));
			SAY(open("/dev/tty", O_RDWR));
		});
		puts(fate_of(child));
		SAY(setpgid(0, 1));
		SAY(setpgid(1, 1));
		SAY(setpgid(0, -1));
		SAY(getpgid(999999));
		SAY(getsid(999999));
	});

	/* a terminal */
	IN_CHILD({
		int master = posix_openpt(O_RDWR | O_NOCTTY);
		MUST(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
		MUST(setsid() > 0);
		int tty = open(ptsname(master), O_RDWR);
		SAY(tty > 0);
		SAY(isatty(tty));
		SAY(tcgetpgrp(tty) == getpid());
		SAY(tcgetsid(tty) == getpid());
		int again = open("/dev/tty", O_RDWR);
		SAY(again > 0);
		/* the interrupt character goes to the foreground group */
		signal(SIGINT, note);
		signal(SIGQUIT, note);
		signal(SIGTSTP, note);
		signal(SIGTTOU, SIG_IGN);
		write(master, "\003", 1);
		pause_ms(20);
		SAY(got);
		write(master, "\034", 1);
		pause_ms(20);
		SAY(got);
		write(master, "\032", 1);
		pause_ms(20);
		SAY(got);
		/* a line */
		char line[50] = "";
		write(master, "wrong\025typed\n", 12);
		SAY(read(tty, line, sizeof line));
		printf("%s", line);
		write(master, "\004", 1);
		SAY(read(tty, line, sizeof line));
		struct termios t;
		SAY(tcgetattr(tty, &t));
		t.c_lflag &= ~(ICANON | ECHO | ISIG);
		t.c_cc[VMIN] = 1;
		t.c_cc[VTIME] = 0;
		SAY(tcsetattr(tty, TCSANOW, &t));
		write(master, "\003", 1);
		SAY(read(tty, line, sizeof line));
		SAY(line[0]);
		struct winsize w = { 24, 80, 0, 0 };
		signal(SIGWINCH, note);
		SAY(ioctl(master, TIOCSWINSZ, &w));
		pause_ms(10);
		SAY(got == SIGWINCH);
		memset(&w, 0, sizeof w);
		SAY(ioctl(tty, TIOCGWINSZ, &w));
		printf("%d %d\n", w.ws_row, w.ws_col);
		/* a background group is stopped when it reads */
		signal(SIGTTIN, SIG_DFL);
		pid_t child;
		CHILD(child, {
			setpgid(0, 0);
			char x;
			read(tty, &x, 1);
			_exit(x);
		});
		setpgid(child, child);
		SAY(waitpid(child, &status, WUNTRACED) == child);
		puts(fate(status));
		SAY(tcsetpgrp(tty, child));
		write(master, "Z", 1);
		SAY(kill(-child, SIGCONT));
		SAY(waitpid(child, &status, 0) == child);
		puts(fate(status));
		SAY(tcsetpgrp(tty, getpid()));
		SAY(tcgetpgrp(tty) == getpid());
		SAY(tcsetpgrp(tty, 999999));
		/* hangup */
		signal(SIGHUP, note);
		close(master);
		pause_ms(20);
		SAY(got == SIGHUP);
		SAY(read(tty, line, 1));
		SAY(write(tty, "x", 1));
	});

	/* an orphaned group that has stopped members gets SIGHUP and SIGCONT */
	MUST(pipe(p) == 0 && pipe(q) == 0);
	CHILD(a, {
		setpgid(0, 0);
		CHILD(b, {
			signal(SIGHUP, note);
			write(p[1], "s", 1);
			raise(SIGSTOP);
			c = got == SIGHUP ? 'h' : '?';
			write(p[1], &c, 1);
		});
		MUST(waitpid(b, &status, WUNTRACED) == b);
		_exit(1);
	});
	puts(fate_of(a));
	MUST(read(p[0], &c, 1) == 1 && c == 's');
	MUST(read(p[0], &c, 1) == 1);
	printf("%c\n", c);
	return 0;
}
