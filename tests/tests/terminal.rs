//! `wasmlinux run -it`: a person in a shell.
use std::io::{Read, Write};
use std::time::Duration;
use wasmlinux::{Error, Machine, TerminalSize};
use wasmlinux_tests::{Terminal, guest, wasmlinux, wasmlinux_with};

/// A shell at its first prompt.
#[track_caller]
fn shell() -> Terminal {
    let mut terminal = Terminal::run(["-it", "sh"]);
    terminal.expect("Ctrl-] q");
    terminal.prompt();
    terminal
}

/// A shell of the host with job control, in which `$W` is the product.
#[track_caller]
fn host_shell() -> Terminal {
    let product = format!("W={}", wasmlinux().display());
    // The terminal is as it was while this shell has it: it does not edit lines.
    let bash = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
    let mut terminal = Terminal::of(["env", &product, "PS1=# "].into_iter().chain(bash));
    terminal.prompt();
    terminal
}

/// Lets a program of the guest get where it waits.
fn settle() {
    std::thread::sleep(Duration::from_millis(600));
}

#[test]
fn commands_and_their_status() {
    // As another one is: the machine may have this one before we look.
    let modes = Terminal::of(["true"]).modes();
    let mut terminal = Terminal::run(["-it", "sh"]);
    terminal.prompt();
    assert_ne!(terminal.modes(), modes, "the terminal is lent");
    assert_eq!(terminal.command("tty; stty size; echo a$((1 + 1))b"), "/dev/ttyW0\n24 80\na2b\n");
    assert_eq!(terminal.command("ls -l /dev/ttyW0 | cut -c 1-10"), "crw--w----\n");
    terminal.line("exit 7");
    assert_eq!(terminal.end().0, 7);
    assert_eq!(terminal.modes(), modes, "the terminal is as it was");
}

#[test]
fn interrupt_and_quit() {
    let mut terminal = shell();
    terminal.line("sleep 100");
    settle();
    terminal.type_in("\x03");
    terminal.prompt();
    assert_eq!(terminal.command("echo $?"), "130\n");
    terminal.line("cat");
    terminal.expect("cat\r\n");
    settle();
    terminal.type_in("\x1c");
    terminal.prompt();
    assert_eq!(terminal.command("echo $?"), "131\n");
    terminal.line("cat > file");
    terminal.expect("\r\n");
    // The shell gives the terminal its own settings back only then.
    settle();
    terminal.type_in("text\r\x04");
    terminal.prompt();
    assert_eq!(terminal.command("cat file"), "text\n");
    terminal.type_in("\x04");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn job_control() {
    let mut terminal = shell();
    terminal.line("sleep 100");
    settle();
    terminal.type_in("\x1a");
    terminal.expect("Stopped");
    terminal.prompt();
    assert!(terminal.command("jobs").contains("Stopped"));
    terminal.command("bg");
    assert!(!terminal.command("jobs").contains("Stopped"));
    terminal.line("fg");
    terminal.expect("sleep 100");
    settle();
    terminal.type_in("\x03");
    terminal.prompt();
    assert_eq!(terminal.command("jobs"), "");
    // A background process that reads is stopped.
    terminal.command("cat &");
    settle();
    assert!(terminal.command("").contains("Stopped (tty input)") || terminal.command("jobs").contains("Stopped"));
    terminal.command("kill -9 %1");
}

#[test]
fn window_size() {
    let mut terminal = shell();
    terminal.resize(40, 100);
    settle();
    assert_eq!(terminal.command("stty size"), "40 100\n");
    terminal.line("sh -c 'trap \"stty size\" WINCH; echo ready; while :; do sleep 1; done'");
    terminal.expect("ready\r\n");
    terminal.resize(50, 132);
    terminal.expect("50 132\r\n");
}

#[test]
fn editing_a_line() {
    let mut terminal = shell();
    // Left, left, insert; home and end; history; a character of two bytes, erased.
    terminal.type_in("echo ac\x1b[Db\x01\x05 x\r");
    terminal.expect("\r\nabc x\r\n");
    terminal.prompt();
    terminal.type_in("\x1b[A\x7fy\r");
    terminal.expect("\r\nabc y\r\n");
    terminal.prompt();
    terminal.line("cat");
    terminal.expect("cat\r\n");
    settle();
    terminal.type_in("aä\x7fb\r");
    terminal.expect("\r\nab\r\n");
    terminal.type_in("\x03");
    terminal.prompt();
}

#[test]
fn much_output_is_not_lost() {
    let mut terminal = shell();
    terminal.line("seq 500000; echo the end");
    let shown = terminal.expect("\r\nthe end\r\n");
    let numbers: Vec<&str> = shown.split("\r\n").skip(1).collect();
    assert_eq!(numbers.len(), 500_000);
    assert!(numbers.iter().zip(1..).all(|(text, number)| text.parse() == Ok(number)));
}

#[test]
fn a_stalled_terminal_stalls_who_writes_and_nobody_else() {
    let mut terminal = shell();
    terminal.stall();
    terminal.line(
        "(while :; do echo $((n += 1)) > /tmp/n; sleep 0.1; done) & seq 300000; cat /tmp/n; kill $!; echo the end",
    );
    std::thread::sleep(Duration::from_secs(2));
    terminal.go_on();
    let shown = terminal.expect("the end\r\n");
    let shown = shown + &terminal.expect("the end\r\n");
    assert!(shown.contains("\r\n299999\r\n300000\r\n"));
    let counted: u32 = shown.rsplit("\r\n300000\r\n").next().unwrap().lines().next().unwrap().trim().parse().unwrap();
    assert!(counted >= 10, "the other process got to {counted} while the terminal was stalled");
}

#[test]
fn output_of_the_end_is_not_lost() {
    let mut terminal = Terminal::run(["-it", "seq", "60000"]);
    terminal.stall();
    std::thread::sleep(Duration::from_secs(1));
    terminal.go_on();
    terminal.expect("\r\n59999\r\n60000\r\n");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn leaving() {
    // As another one is: the machine may have this one before we look.
    let modes = Terminal::of(["true"]).modes();
    let mut terminal = Terminal::run(["-it", "sh"]);
    terminal.prompt();
    // Ctrl-] before another key, and twice, is for the guest.
    terminal.line("od -c -An");
    settle();
    terminal.type_in("a\x1dx\x1d\x1d\r\x04");
    assert!(terminal.expect("\\n\r\n").contains("035"));
    terminal.prompt();
    terminal.type_in("\x1dq");
    let (status, _) = terminal.end();
    assert!(status == 129 || status == 137, "{status}");
    assert_eq!(terminal.modes(), modes);
}

#[test]
fn signals_from_outside() {
    for (name, statuses) in [("HUP", [129, 137]), ("TERM", [143, 137])] {
        let mut terminal = Terminal::run(["-it", "sleep", "100"]);
        let modes = terminal.modes();
        terminal.expect("Ctrl-] q");
        settle();
        terminal.signal(name);
        let (status, _) = terminal.end();
        assert!(statuses.contains(&status), "SIG{name}: {status}");
        assert_eq!(terminal.modes(), modes, "SIG{name}");
    }
}

#[test]
fn suspended_and_continued() {
    // As another one is: the machine may have this one before we look.
    let modes = Terminal::of(["true"]).modes();
    let mut terminal = Terminal::run(["-it", "sh"]);
    terminal.prompt();
    let raw = terminal.modes();
    terminal.signal("TSTP");
    settle();
    assert!(terminal.is_stopped());
    assert_eq!(terminal.modes(), modes);
    terminal.signal("CONT");
    settle();
    assert_eq!(terminal.modes(), raw);
    assert_eq!(terminal.command("echo alive"), "alive\n");
}

#[test]
fn one_machine_at_a_time_has_a_terminal() {
    // All of one script, so of one job.
    let script = format!(
        "W={}
        $W run -it sh -c 'read x; echo got $x' </dev/tty &
        until stty -a </dev/tty | grep -q -e -icanon; do sleep 0.1; done
        $W run -it echo two; echo status $?
        $W run echo three; echo status $?
        echo now; wait; exit 5",
        wasmlinux().display()
    );
    let mut terminal = Terminal::of(["bash", "-c", &script]);
    let modes = terminal.modes();
    terminal.expect("another machine has this terminal");
    terminal.expect("status 125");
    // Without being asked it is not taken, and the streams are what they are.
    terminal.expect("three");
    terminal.expect("status 0");
    terminal.expect("now");
    terminal.type_in("a word\r");
    terminal.expect("got a word");
    assert_eq!(terminal.end().0, 5);
    assert_eq!(terminal.modes(), modes);
}

#[test]
fn a_suspended_machine_is_a_job() {
    let mut terminal = host_shell();
    let modes = terminal.modes();
    terminal.line("$W run -it sh");
    terminal.expect("Ctrl-] q");
    terminal.prompt();
    terminal.type_in("\x1dz");
    terminal.expect("Stopped");
    terminal.prompt();
    assert_eq!(terminal.modes(), modes);
    // Meanwhile the terminal is free.
    terminal.line("$W run -t echo sec''ond");
    terminal.expect("second");
    terminal.prompt();
    assert_eq!(terminal.modes(), modes);
    terminal.line("fg");
    terminal.expect("sh\r\n");
    settle();
    assert_eq!(terminal.command("echo al''ive"), "alive\n");
    // In the background it neither reads what is typed nor stops.
    terminal.type_in("\x1dz");
    terminal.expect("Stopped");
    terminal.prompt();
    terminal.line("bg");
    terminal.prompt();
    assert!(terminal.command("echo f''or; jobs -r | grep -c Running").ends_with("for\n1\n"));
    terminal.line("fg");
    terminal.expect("sh\r\n");
    settle();
    assert_eq!(terminal.command("echo al''ive"), "alive\n");
    terminal.line("exit 3");
    terminal.prompt();
    assert_eq!(terminal.command("echo $?"), "3\n");
    assert_eq!(terminal.modes(), modes);
}

#[test]
fn a_suspended_machine_is_killed() {
    for kill in ["kill %1", "kill -HUP %1", "kill -KILL %1"] {
        let mut terminal = host_shell();
        let modes = terminal.modes();
        terminal.line("$W run -it sleep 100");
        terminal.expect("Ctrl-] q");
        settle();
        terminal.type_in("\x1dz");
        terminal.expect("Stopped");
        terminal.prompt();
        terminal.line(&format!("{kill}; wait; echo the e''nd; jobs"));
        terminal.expect("the end");
        terminal.prompt();
        assert_eq!(terminal.modes(), modes, "{kill}");
        // The shell does not wait for a job that is stopped, and learns of its end when it looks.
        let ended = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            !terminal.command("jobs").contains("Stopped")
        });
        assert!(ended, "{kill}");
    }
}

#[test]
fn streams_that_lead_elsewhere() {
    let mut terminal = host_shell();
    terminal.command("cd $(mktemp -d)");
    let both = "sh -c 'test -t 0 && echo terminal; echo text; echo error >&2' 2>file";
    // The terminal that was asked for has both, as docker's; what wasmlinux itself says is in the
    // file.
    terminal.line(&format!("$W run -t {both}"));
    let shown = terminal.expect("error\r\n");
    assert!(shown.ends_with("terminal\r\ntext\r\n"), "{shown}");
    terminal.prompt();
    assert_eq!(terminal.command("cat file"), "wasmlinux: Ctrl-] q leaves\n");
    // One that was not asked for is not made then.
    assert_eq!(terminal.command(&format!("$W run {both}; cat file")), "text\nerror\n");
    assert_eq!(terminal.command("$W run tty 2>file"), "not a tty\n");
    // Nor in the background, where the terminal is the shell's.
    let modes = terminal.modes();
    terminal.line("$W run sh -c 'sleep 1; tty; echo in the back''ground' &");
    terminal.expect("not a tty\r\nin the background\r\n");
    assert_eq!(terminal.modes(), modes);
    terminal.line("wait; echo al''one");
    terminal.expect("alone");
    terminal.prompt();
    // One that asks for it there waits until it is in the foreground.
    terminal.line("$W run -it tty &");
    terminal.expect("# ");
    terminal.line("sleep 1; jobs");
    terminal.expect("Stopped");
    terminal.prompt();
    terminal.line("fg");
    terminal.expect("/dev/ttyW0");
    terminal.prompt();
    assert_eq!(terminal.modes(), modes);
}

#[test]
fn without_a_terminal() {
    let output = wasmlinux_with(["run", "-it", "sh"]).output();
    output.expect_status(125);
    assert_eq!(output.errors(), "wasmlinux: the input device is not a TTY; leave out -t, or run it in a terminal\n");
    guest(["sh", "-c", "tty; test -t 1 || echo none"]).output().expect("not a tty\nnone\n");
    wasmlinux_with(["run", "-i", "cat"]).stdin("text").output().expect("text");
}

#[test]
fn a_terminal_by_itself() {
    // Where standard input and output are a terminal, the command has one without being asked.
    let mut terminal = Terminal::run(["tty"]);
    assert_eq!(terminal.end(), (0, "/dev/ttyW0\r\n".into()));
    let mut terminal = Terminal::run(["-i", "tty"]);
    let (status, shown) = terminal.end();
    assert_eq!((status, shown.as_str()), (1, "not a tty\r\n"));
    // Without a command it is a login shell.
    let mut terminal = Terminal::run::<&str>([]);
    terminal.prompt();
    assert_eq!(terminal.command("echo $0 $TERM; pwd"), "sh xterm\n/root\n");
}

#[test]
fn vi_edits_a_file() {
    let mut terminal = shell();
    terminal.line("vi notes.txt");
    // Its status line.
    terminal.expect("notes.txt");
    settle();
    terminal.type_in("ifirst lin\u{fc}\rsecond\x1b");
    settle();
    // After Escape vi waits for the rest of what a function key might be.
    for keys in ["yypccthird\x1b", ":1\rdd:wq\r"] {
        terminal.type_in(keys);
        settle();
    }
    terminal.prompt();
    assert_eq!(terminal.command("cat notes.txt"), "second\nthird\n");
    terminal.line("vi notes.txt");
    terminal.expect("third");
    settle();
    for keys in [":%s/second/2nd/\rGohalf\x1b", ":wq\r"] {
        terminal.type_in(keys);
        settle();
    }
    terminal.prompt();
    assert_eq!(terminal.command("cat notes.txt"), "2nd\nthird\nhalf\n");
}

#[test]
fn programs_that_fill_the_screen() {
    let mut terminal = shell();
    terminal.line("top -d 1");
    terminal.expect("Mem:");
    terminal.expect("Load average:");
    // It draws again by itself.
    terminal.expect("Load average:");
    terminal.type_in("q");
    terminal.prompt();
    terminal.line("seq 1000 | less");
    terminal.expect("23\r\n");
    settle();
    terminal.type_in("G");
    terminal.expect("1000");
    terminal.type_in("q");
    terminal.prompt();
    terminal.line("watch -n 1 date");
    terminal.expect("Every 1");
    // While its command runs it ignores the key.
    settle();
    terminal.type_in("\x03");
    terminal.prompt();
    terminal.line("touch notes; ed notes");
    terminal.type_in("a\rone\rtwo\r.\r1p\r");
    terminal.expect("\r\none\r\n");
    terminal.type_in("w\rq\r");
    terminal.prompt();
    assert_eq!(terminal.command("wc -l < notes"), "2\n");
}

#[test]
fn a_terminal_in_the_terminal() {
    let mut terminal = shell();
    assert_eq!(terminal.command("script -qc 'tty; stty size' log"), "/dev/pts/0\n24 80\n");
    assert_eq!(terminal.command("grep -c pts log"), "1\n");
    terminal.line("script -q log");
    terminal.prompt();
    terminal.line("sleep 100");
    settle();
    terminal.type_in("\x03");
    terminal.prompt();
    assert_eq!(terminal.command("echo $?; tty"), "130\n/dev/pts/0\n");
    terminal.line("exit");
    terminal.prompt();
    assert_eq!(terminal.command("tty"), "/dev/ttyW0\n");
}

#[test]
fn logging_in() {
    let mut terminal = Terminal::run(["-it", "getty", "-L", "0", "ttyW0", "xterm"]);
    terminal.expect("login: ");
    // root has no password, until it is given one.
    terminal.line("root");
    terminal.prompt();
    assert_eq!(terminal.command("id -un; pwd; tty; echo $TERM"), "root\n/root\n/dev/ttyW0\nxterm\n");
    terminal.command("echo root:secret | chpasswd");
    terminal.line("exec login root");
    terminal.expect("Password: ");
    terminal.line("wrong");
    terminal.expect("Login incorrect");
    terminal.expect("login: ");
    terminal.line("root");
    terminal.expect("Password: ");
    terminal.line("secret");
    terminal.prompt();
    terminal.line("exit 3");
    assert_eq!(terminal.end().0, 3);
}

#[test]
fn busyboxs_init_and_its_services() {
    let mut terminal = Terminal::run::<&str>([]);
    terminal.prompt();
    settle();
    assert_eq!(terminal.command("cat /proc/1/comm"), "init\n");
    assert_eq!(terminal.command("readlink /proc/1/exe"), "/bin/busybox\n");
    // Lines that the terminal does not have to break.
    for service in ["syslogd", "klogd", "crond"] {
        assert_ne!(terminal.command(&format!("pidof {service}")), "", "{service}");
    }
    assert!(terminal.command("logger a message; sleep 0.3; logread | tail -n 1").ends_with("root: a message\n"));
    // An orphan is init's child, and is reaped.
    terminal.command("(sleep 0.3 & echo $! > /tmp/p); sleep 0.1");
    assert_eq!(terminal.command("awk '{ print $4 }' /proc/$(cat /tmp/p)/stat"), "1\n");
    assert_eq!(terminal.command("sleep 0.4; ls -d /proc/$(cat /tmp/p) 2>&-"), "");
    // Commands begin without ignored signals. Not killed before: a shell sets them in the child.
    assert!(terminal.command("sleep 9 & sleep 0.3; kill $!; wait $!; echo $?").contains("143\n"));
    terminal.line("poweroff");
    assert_eq!(terminal.end().0, 0);
    // So it is for any command, if it is asked for.
    wasmlinux_with(["run", "--init", "readlink", "/proc/1/exe"]).output().expect("/bin/busybox\n");
}

#[test]
fn a_long_text_is_pasted() {
    let mut terminal = shell();
    let text: String = (0..20_000).map(|n| format!("line {n} of a long text\r")).collect();
    terminal.line("stty -echo; cat > text; stty echo; wc -l < text; tail -n 1 text");
    settle();
    terminal.type_in(&text);
    terminal.type_in("\x04");
    terminal.expect("20000\r\nline 19999 of a long text\r\n");
}

const SIZE: TerminalSize = TerminalSize { rows: 10, columns: 40 };

#[test]
fn terminals_by_the_library() {
    let machine = Machine::builder().boot().unwrap();
    let mut cat = machine.command("cat").terminal(SIZE).spawn().unwrap();
    let (mut keys, mut screen) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
    keys.write_all(b"typed\r\x04").unwrap();
    let mut shown = String::new();
    screen.read_to_string(&mut shown).unwrap();
    assert_eq!(shown, "typed\r\ntyped\r\n");
    assert!(cat.wait().unwrap().success());

    // A new size, and the end of the terminal.
    let script = "trap 'stty size' WINCH; echo ready; while :; do sleep 1; done";
    let mut shell = machine.command("sh").args(["-c", script]).terminal(SIZE).spawn().unwrap();
    let mut screen = shell.stdout.take().unwrap();
    let mut read = |length: usize| {
        let mut bytes = vec![0; length];
        screen.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(read(7), "ready\r\n");
    shell.process().resize(TerminalSize { rows: 50, columns: 132 }).unwrap();
    assert_eq!(read(8), "50 132\r\n");
    drop(shell.stdin.take());
    assert_eq!(shell.wait().unwrap().signal(), Some(1), "SIGHUP");

    // As many as there are lines.
    let spawn = || machine.command("sleep").arg("100").terminal(SIZE).spawn();
    let mut all: Vec<_> = (0..16).map(|_| spawn().unwrap()).collect();
    assert!(matches!(spawn(), Err(Error::Terminals)));
    for sleep in &mut all {
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }
    assert!(spawn().is_ok());
}

#[test]
fn the_end_of_typed_lines_arrives() {
    // All typed ahead: each read takes a line, and the last one the end.
    let mut terminal = Terminal::run(["-i", "cat"]);
    terminal.type_in("b\na\n\u{4}");
    let (status, text) = terminal.end();
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("a\r\n"), "{text}");
}
