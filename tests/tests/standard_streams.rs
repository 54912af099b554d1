//! The standard streams of `wasmlinux run`: they are the command's own, as if it ran here.
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use wasmlinux_tests::{Built, LIMIT, Output, Run, Scratch, add, wasmlinux};

/// What bash says to a script in which `$W` is the product, in an empty directory.
#[track_caller]
fn script(text: &str) -> Output {
    let scratch = Scratch::new();
    Run::new(Path::new("bash")).args(["-c", text]).env("W", wasmlinux()).dir(scratch.path()).output()
}

#[test]
fn a_loop_over_lines_runs_for_each() {
    let lines = "1\n2\n3\n";
    script("seq 3 > file; while read x; do $W run echo $x; done < file").expect(lines);
    script("seq 3 | while read x; do $W run echo $x; done").expect(lines);
}

#[test]
fn what_is_not_read_stays() {
    let rest = "got 1\n2\n3\n";
    let read = "$W run sh -c 'read x; echo got $x'; cat";
    script(&format!("seq 3 > file; {{ {read}; }} < file")).expect(rest);
    script(&format!("seq 3 | {{ {read}; }}")).expect(rest);
    script("printf abcdef | { $W run dd bs=1 count=2 2>/dev/null; echo; cat; }").expect("ab\ncdef");
    // Looking is not taking.
    script("printf abc | { $W run sh -c 'sleep 0.2; read -t 0; echo $?'; cat; }").expect("0\nabc");
    // Two that read from one pipe share it. Each reads a record at once: the `read` of a shell
    // takes byte by byte, so that two of them tear lines apart, natively too.
    let both = "seq -w 20 | { for i in 1 2; do $W run sh -c 'while r=$(dd bs=3 count=1 2>/dev/null); [ $r ]; do echo $r; sleep 0.02; done' & done; wait; } | sort -n";
    script(both).expect(&(1..=20).map(|n| format!("{n:02}\n")).collect::<String>());
}

#[test]
fn an_error_of_ours_is_the_commands() {
    let output = script("$W run echo x > /dev/full");
    output.expect_status(1);
    assert!(output.errors().contains("No space left on device"), "{}", output.errors());
    script("$W run cat < /tmp 2> errors; echo $?; grep -c 'Is a directory' errors").expect("1\n1\n");
    script("$W run sh -c 'sleep 0.3; echo a' | true; echo ${PIPESTATUS[0]}").expect("141\n");
    script("$W run yes | head -n 1; echo ${PIPESTATUS[0]}").expect("y\n141\n");
    script("$W run sh -c 'trap \"\" PIPE; sleep 0.3; echo a 2>/dev/null; echo $? >&2' 2>&1 >/dev/null | cat; ")
        .expect("0\n");
    script("{ $W run sh -c 'trap \"\" PIPE; sleep 0.3; echo a 2>/dev/null; echo $? >&2' | true; } 2>&1").expect("1\n");
}

#[test]
fn one_file_for_both_keeps_the_order() {
    let both = "sh -c 'i=0; while [ $i -lt 300 ]; do echo out $i; echo error $i >&2; i=$((i+1)); done'";
    let check = format!("{both} > native 2>&1; $W run {both} > file 2>&1; cmp file native");
    script(&check).expect("");
    script(&format!("{both} > native 2>&1; $W run {both} 2>&1 | cmp - native")).expect("");
    script(&format!("{both} > native 2>&1; $W run {both} >> file 2>> file; cmp file native")).expect("");
}

#[test]
fn a_pipe_that_is_slow_or_full() {
    script("(sleep 0.3; echo late; sleep 0.3; echo later) | $W run cat").expect("late\nlater\n");
    script("$W run seq 200000 | (sleep 0.5; md5sum) > a; seq 200000 | md5sum | cmp - a").expect("");
    // Others that have the pipe do not see that it does not block for us.
    script("seq 100000 | { $W run true; cat; } | $W run md5sum > a; seq 100000 | md5sum | cmp - a").expect("");
    script("$W run sh -c 'sleep 0.5' | dd bs=1 count=1 2>&1 | head -n 1").expect("0+0 records in\n");
}

/// What a program said in messages, by their lengths, and on standard error; it was sent some.
fn messages(mut command: Command) -> (Vec<usize>, String) {
    let [(ours, input), (from, output)] = [(); 2].map(|()| UnixDatagram::pair().expect("a pair of sockets"));
    for length in [300, 20_000, 70_000, 100_000, 1] {
        assert_eq!(ours.send(&vec![b'y'; length]).expect("sending"), length);
    }
    let end = output.try_clone().expect("a copy");
    from.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let reader = std::thread::spawn(move || {
        let mut message = vec![0; 1 << 20];
        let lengths = std::iter::from_fn(|| from.recv(&mut message).ok());
        lengths.take_while(|length| *length != 3).collect()
    });
    let command = command.stdin(OwnedFd::from(input)).stdout(OwnedFd::from(output));
    let output = command.output().expect("the command");
    assert!(output.status.success(), "{output:?}");
    end.send(b"end").expect("sending");
    (reader.join().expect("the reader"), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn messages_keep_their_borders() {
    let program = Built::new("messages");
    let mut command = Command::new(wasmlinux());
    command.arg("run").args(add(&program.guest, "messages")).args(["--", "messages"]);
    assert_eq!(messages(command), messages(Command::new(program.native)));
}
