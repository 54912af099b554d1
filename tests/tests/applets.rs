//! Applets of the base system beside the host's coreutils, where both have one output format.
use wasmlinux_tests::{Run, guest};

/// Runs the same command line in both worlds.
#[track_caller]
fn same(command: &[&str], stdin: &str) {
    let run = Run::new(command[0].as_ref()).args(&command[1..]).env("LC_ALL", "C").env("TZ", "UTC0");
    let native = run.stdin(stdin).output();
    let guest = guest(command).stdin(stdin).output();
    guest.expect_same(&native, &command.join(" "));
}

/// Lines to work on.
fn lines() -> String {
    (0..500_u64)
        .map(|n| format!("{} line {} {}\n", n * 7919 % 1009, n, ["apple", "Pear", "fig", "fig"][n as usize % 4]))
        .collect()
}

#[test]
fn text() {
    let text = lines();
    for command in [
        &["cat"][..],
        &["cat", "-n"],
        &["head", "-n", "3"],
        &["head", "-c", "100"],
        &["tail", "-n", "4"],
        &["tail", "-c", "77"],
        &["tail", "-n", "+490"],
        &["sort"],
        &["sort", "-n"],
        &["sort", "-r", "-k4,4", "-k3,3n"],
        &["sort", "-s", "-k4,4"],
        &["cut", "-d", " ", "-f", "2,4"],
        &["cut", "-c", "1-5,8"],
        &["tr", "a-z", "A-Z"],
        &["tr", "-d", "aeiou"],
        &["tr", "-s", "l"],
        &["uniq", "-c"],
        &["grep", "-c", "fig"],
        &["grep", "-n", "^10[0-9] "],
        &["sed", "-e", "s/line/LINE/;5q"],
        &["sed", "-n", "/apple/p"],
        &["awk", "{ n[$4] += $1 } END { print n[\"fig\"], n[\"apple\"], NR }"],
        &["awk", "-F", " ", "$1 > 1000 { printf \"%5d %s\\n\", $1, toupper($4) }"],
        &["nl"],
        &["rev"],
        &["tac"],
        &["fold", "-w", "7"],
        &["md5sum"],
        &["sha1sum"],
        &["sha256sum"],
        &["sha512sum"],
        &["cksum"],
        &["base64"],
        &["od", "-An", "-tx1"],
        &["od", "-c"],
        &["wc", "-l"],
        &["wc", "-c"],
        &["paste", "-", "-"],
        &["expand"],
    ] {
        same(command, &text);
    }
}

#[test]
fn numbers_and_words() {
    for command in [
        &["seq", "10"][..],
        &["seq", "-w", "8", "12"],
        &["seq", "10", "-3", "-10"],
        &["echo", "a", "b"],
        &["printf", "%05d %s %x\\n", "42", "text", "255"],
        &["expr", "6", "*", "7"],
        &["factor", "123456789012", "97"],
        &["basename", "/usr/lib/x.so", ".so"],
        &["dirname", "/usr/lib/x.so"],
        &["true"],
        &["false"],
        &["test", "1", "-lt", "2"],
        &["date", "-u", "-d", "@86400"],
        &["date", "-u", "-d", "2024-02-29 12:34:56", "+%A %j %s"],
        &["date", "-u", "-d", "@5000000000", "+%Y-%m-%dT%H:%M:%S"],
        &["env", "-i", "A=1", "env"],
    ] {
        same(command, "");
    }
}

#[test]
fn bytes() {
    let text = lines();
    for command in [
        &["dd", "bs=100", "count=3", "status=none"][..],
        &["dd", "bs=7", "skip=2", "count=1", "status=none"],
        &["od", "-tx2", "-Ad"],
    ] {
        same(command, &text);
    }
    guest(["dd", "if=/dev/zero", "bs=1M", "count=3"]).output().expect_status(0);
    assert_eq!(guest(["head", "-c", "100000", "/dev/zero"]).output().stdout, vec![0; 100_000]);
    assert_eq!(guest(["head", "-c", "1000", "/dev/urandom"]).output().stdout.len(), 1000);
}

#[test]
fn the_system_shows_itself() {
    let uname = guest(["uname", "-a"]).output().text();
    assert!(uname.starts_with("Linux ") && uname.contains(" 6.12."), "{uname}");
    let root = guest(["ls", "/"]).output().text();
    for name in ["bin", "dev", "proc", "sys", "tmp"] {
        assert!(root.lines().any(|l| l == name), "{name} is not in {root}");
    }
    let mounts = guest(["cat", "/proc/mounts"]).output().text();
    for place in [" /proc proc ", " /sys sysfs ", " /dev ", " /tmp tmpfs "] {
        assert!(mounts.contains(place), "{place} is not in {mounts}");
    }
    let one = guest(["cat", "/proc/1/comm"]).output().text();
    assert_eq!(one, "init\n");
    let stat = guest(["cat", "/proc/self/stat"]).output().text();
    let fields: Vec<&str> = stat.split(' ').collect();
    // The command leads a session of its own: pid, process group and session are one number, its
    // parent is init.
    assert!(fields[0] == fields[4] && fields[0] == fields[5] && fields[3] == "1", "{stat}");
}

#[test]
fn mdev_leaves_devices_as_they_are() {
    let script = "modes() { stat -L -c '%n %a %u' /dev/console /dev/full /dev/kmsg /dev/null /dev/ptmx /dev/random /dev/tty /dev/urandom /dev/zero; }
        modes > /tmp/before; mdev -s && modes > /tmp/after; cat /tmp/after; diff /tmp/before /tmp/after && ls /dev/ttyW15";
    let output = guest(["sh", "-c", script]).output();
    output.expect_status(0);
    assert!(
        output.text().contains("/dev/null 666 0\n") && output.text().ends_with("/dev/ttyW15\n"),
        "{}",
        output.text()
    );
}
