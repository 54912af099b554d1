//! What gets into a machine, all of it or nothing: added files, environment, arguments.
use std::fs::{File, hard_link, write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use wasmlinux_tests::{Output, Run, Scratch, wasmlinux, wasmlinux_with};

/// A directory of this many files of one line each.
fn many(count: u32) -> Scratch {
    let scratch = Scratch::new();
    for n in 0..count {
        scratch.file(&format!("f{n}"), format!("{n}\n"));
    }
    scratch
}

fn with(memory: &str, folder: &Scratch, script: &str) -> Output {
    let add = format!("{}:/data", folder.path().display());
    wasmlinux_with(["run", "-m", memory, "--add", &add, "--", "sh", "-c", script]).output()
}

/// The size that a refusal advises.
#[track_caller]
fn advised(output: &Output) -> String {
    output.expect_status(125);
    assert_eq!(output.text(), "", "something ran");
    let errors = output.errors();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let (_, size) = errors.trim_end().rsplit_once("give the machine at least ").unwrap_or_else(|| panic!("{errors}"));
    size.to_owned()
}

const COUNT: &str = "find /data -type f -exec cat {} + | sort -n | uniq | wc -l";

#[test]
fn all_of_many_files_or_none() {
    let folder = many(3000);
    with("256m", &folder, COUNT).expect("3000\n");
    // A little less than what it takes, and just that.
    let size = advised(&with("200m", &folder, COUNT));
    with(&size, &folder, COUNT).expect("3000\n");
    let megabytes: u32 = size.trim_end_matches('m').parse().expect("a size");
    assert!((200..=256).contains(&megabytes), "{size}");
    advised(&with(&format!("{}m", megabytes - 1), &folder, "echo ran"));
}

#[test]
fn files_without_content_cost_little() {
    let scratch = Scratch::new();
    for n in 0..10_000 {
        scratch.file(&format!("e{n}"), "");
    }
    with("64m", &scratch, "ls /data | wc -l; echo x > /data/more; cat /data/more").expect("10000\nx\n");
}

#[test]
fn one_that_is_too_large() {
    let scratch = Scratch::new();
    let file = scratch.file("large", "");
    let sized =
        |bytes: u64| File::options().write(true).open(&file).and_then(|file| file.set_len(bytes)).expect("its size");
    for megabytes in [100, 300] {
        sized(megabytes << 20);
        let size = advised(&with("100m", &scratch, "echo ran"));
        with(&size, &scratch, "wc -c < /data/large").expect(&format!("{}\n", megabytes << 20));
    }
    sized(5 << 30);
    let output = with("4g", &scratch, "echo ran");
    output.expect_status(125);
    assert!(output.errors().contains("no machine can have so much"), "{}", output.errors());
    // One that says nothing of its size, and is too large.
    let text = "$W run -m 64m --add <(head -c 200M /dev/zero):/zero echo ran";
    let output = Run::new(Path::new("bash")).args(["-c", text]).env("W", wasmlinux()).output();
    output.expect_status(125);
    assert_eq!(output.text(), "");
    assert!(output.errors().contains("`/zero`") && output.errors().contains("No space left"), "{}", output.errors());
}

#[test]
fn links_and_times_are_kept() {
    let scratch = Scratch::new();
    let first = scratch.file("first", "text");
    hard_link(&first, scratch.path().join("second")).expect("a second name");
    let set = |name: &str, time| {
        let file = File::open(scratch.path().join(name)).expect("a file");
        file.set_modified(time).expect("its time");
    };
    let (old, new) =
        (UNIX_EPOCH - Duration::new(300_000_000, 750_000_000), UNIX_EPOCH + Duration::new(5_000_000_000, 123_456_789));
    set("first", old);
    std::fs::create_dir(scratch.path().join("folder")).expect("a folder");
    write(scratch.path().join("folder/late"), "x").expect("a file");
    std::os::unix::fs::symlink("nowhere", scratch.path().join("link")).expect("a link");
    set("folder/late", new);
    set("folder", new);
    let look = "cd /data; stat -c '%n %h %s %y' first second folder/late; stat -c %y folder; \
                echo more >> second; cat first; echo; readlink link";
    let output = with("1g", &scratch, look);
    output.expect_status(0);
    let (old, new) = ("1960-06-29 18:39:59.250000000 +0000", "2128-06-11 08:53:20.123456789 +0000");
    let expected = format!("first 2 4 {old}\nsecond 2 4 {old}\nfolder/late 1 1 {new}\n{new}\n");
    assert!(output.text().starts_with(&expected), "{}", output.text());
    assert!(output.text().ends_with("textmore\n\nnowhere\n"), "{}", output.text());
}

#[test]
fn everywhere_in_the_tree() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "x\n");
    let file = file.display();
    for guest in ["/tmp/a", "/run/a", "/dev/a", "/dev/shm/deep/a", "/var/run/a", "/bin/ls", "/root/"] {
        let add = format!("{file}:{guest}");
        let path = if guest == "/root/" { "/root/file" } else { guest };
        wasmlinux_with(["run", "--add", &add, "cat", path]).output().expect("x\n");
    }
    let output = wasmlinux_with(["run", "--add", &format!("{file}:/proc/a"), "echo", "ran"]).output();
    output.expect_status(125);
    assert!(output.errors().contains("`/proc/a`"), "{}", output.errors());
    let script = "$W run --add <(echo from a pipe):/x cat /x";
    Run::new(Path::new("bash")).args(["-c", script]).env("W", wasmlinux()).output().expect("from a pipe\n");
}

#[test]
fn what_is_no_file_with_an_end_is_refused() {
    let script = "mkfifo pipe; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'
        for file in pipe /dev/zero /dev/random socket; do $W run --add $file:/x echo ran; echo $?; done";
    let scratch = Scratch::new();
    let output = Run::new(Path::new("bash")).args(["-c", script]).env("W", wasmlinux()).dir(scratch.path()).output();
    assert_eq!(output.expect_status(0).text(), "125\n125\n125\n125\n");
    let errors = output.errors();
    let lines: Vec<&str> = errors.lines().collect();
    let what = ["a named pipe", "a device", "a device", "a socket"];
    assert!(lines.len() == 4 && lines.iter().zip(what).all(|(line, what)| line.contains(what)), "{errors}");
    wasmlinux_with(["run", "--add", "/dev/null:/x", "wc", "-c", "/x"]).output().expect("0 /x\n");
}

#[test]
fn the_smallest_machine_has_everything() {
    let list = "ls /bin /sbin /usr/bin /usr/sbin /etc | md5sum; i=0; while [ $i -lt 600 ]; do echo > /tmp/$i || exit 1; i=$((i+20)); done";
    let list = |memory| wasmlinux_with(["run", "-m", memory, "sh", "-c", list]).output();
    list("32m").expect_same(&list("1g"), "the base root file system");
}

#[test]
fn arguments_and_environment() {
    let scratch = Scratch::new();
    let lines: String = (0..15_000).map(|n| format!("V{n}={}\n", "x".repeat(90))).collect();
    let file = scratch.file("env", &lines).display().to_string();
    let count = ["sh", "-c", "env | grep -c ^V"];
    wasmlinux_with(["run", "--env-file", &file]).args(count).output().expect("15000\n");
    let more: String = (0..150_000).map(|n| format!("V{n}={}\n", "x".repeat(90))).collect();
    let file = scratch.file("env", more).display().to_string();
    for memory in ["1g", "32m"] {
        let output = wasmlinux_with(["run", "-m", memory, "--env-file", &file, "echo", "ran"]).output();
        assert!(output.status == 126 || output.status == 125, "{}: {}", output.status, output.errors());
        assert_eq!((output.text().as_str(), output.errors().lines().count()), ("", 1), "{}", output.errors());
    }
    let long = format!("/{}", "d".repeat(5000));
    let output = wasmlinux_with(["run", "-w", &long, "echo", "ran"]).output();
    output.expect_status(125);
    assert_eq!(output.text(), "");
}
