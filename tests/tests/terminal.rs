//! `wasmlinux run -it`: a person in a shell.
use std::time::Duration;
use wasmlinux_tests::{Terminal, guest, wasmlinux_with};

/// A shell at its first prompt.
#[track_caller]
fn shell() -> Terminal {
    let mut terminal = Terminal::run(["-it", "sh"]);
    terminal.expect("Ctrl-] q");
    terminal.prompt();
    terminal
}

/// Lets a program of the guest get where it waits.
fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn commands_and_their_status() {
    let mut terminal = Terminal::run(["-it", "sh"]);
    let modes = terminal.modes();
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
    let mut terminal = Terminal::run(["-it", "sh"]);
    let modes = terminal.modes();
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
    let mut terminal = Terminal::run(["-it", "sh"]);
    let modes = terminal.modes();
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
