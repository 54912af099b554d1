//! What a machine takes of the host: `docs/limits.md` says how much that is at most, and these hold
//! it against programs that want more.
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wasmlinux_tests::module::{Module, body, constant, number, section};
use wasmlinux_tests::{Built, LIMIT, Scratch, add, wasmlinux};

/// Memory of the machines, in MiB.
const MEMORY: u64 = 128;

/// The most that a process has had of the host.
#[derive(Debug, Default)]
struct Peak {
    /// KiB of memory of its own: all but files and the guest's physical memory.
    anonymous: u64,
    /// KiB of page tables.
    tables: u64,
    /// Mappings.
    maps: u64,
}

impl Peak {
    fn look(&mut self, pid: u32) {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
        self.anonymous = self.anonymous.max(field("RssAnon:"));
        self.tables = self.tables.max(field("VmPTE:"));
        self.maps = self.maps.max(maps.iter().filter(|byte| **byte == b'\n').count() as u64);
    }
}

/// Runs `greedy` with these arguments in a machine, beside a program; what it said, and what the
/// machine took meanwhile.
fn greedy(args: &[&str], program: Option<&[u8]>) -> (String, Peak) {
    let scratch = Scratch::new();
    let file = scratch.file("hostile", program.unwrap_or_default());
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("making it executable");
    let mut command = Command::new(wasmlinux());
    command.args(["run", "-m", &format!("{MEMORY}m"), "--network", "none"]);
    command
        .args(add(&Built::new("greedy").guest, "greedy"))
        .args(add(&file, "hostile"))
        .args(["--", "greedy"])
        .args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().expect("wasmlinux");
    let mut output = child.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let (mut peak, start) = (Peak::default(), Instant::now());
    let status = loop {
        peak.look(child.id());
        if let Some(status) = child.try_wait().expect("the status of a child") {
            break status;
        }
        if start.elapsed() > LIMIT {
            // It may have ended just now.
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = reader.join().expect("the reader").expect("what it said");
    assert!(status.success(), "{status}: {text:?}; {peak:?}");
    assert!(text.ends_with("as before\n"), "{text:?}; {peak:?}");
    let most = [(peak.anonymous, most_memory()), (peak.tables, MEMORY << 10), (peak.maps, MEMORY << 8)];
    assert!(most.iter().all(|(peak, most)| peak <= most), "{peak:?}: {text:?}");
    (text, peak)
}

/// KiB of memory of its own that a machine may have, by `docs/limits.md`, without network,
/// exceptions and the compiler: stacks, tables, tasks, and what any machine has.
fn most_memory() -> u64 {
    let tasks = MEMORY * 8 + 128;
    (MEMORY << 10) * 2 + tasks * (128 + 64) + (64 << 10)
}

/// How many `greedy` says got what they wanted.
fn got(text: &str) -> u32 {
    let rest = text.split("got ").nth(1).expect("how many got something");
    rest.split(',').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn mappings_are_bounded() {
    let (text, peak) = greedy(&["maps", "400", "60"], None);
    assert_eq!(got(&text), 400, "{text}");
    assert!(peak.maps < 40_000, "{peak:?}");
}

#[test]
fn native_stacks_are_bounded() {
    // 400,000 frames of 16 bytes or more: some get them, and some die of SIGSEGV.
    let (text, _) = greedy(&["stacks", "20", "400000"], None);
    assert!((1..20).contains(&got(&text)), "{text}");
    // What they do not need any more, others get.
    let (text, _) = greedy(&["idles", "20", "400000"], None);
    assert_eq!(got(&text), 20, "{text}");
    // What everybody needs, everybody gets.
    let (text, _) = greedy(&["stacks", "200", "1000"], None);
    assert_eq!(got(&text), 200, "{text}");
}

#[test]
fn tables_are_bounded() {
    // 2 MiB of table each, in a program that waits for ever (ppoll with 64-bit times, 414).
    let wait = [constant(414), constant(0).repeat(6), vec![0x10, 0, 0x1a]].concat();
    let entries = [vec![0x70, 0], number(1 << 18)].concat();
    let program = Module::program(&wait, body(&[0], &[])).section(section::TABLE, &[entries]).bytes();
    let (text, _) = greedy(&["execs", "60", "/bin/hostile"], Some(&program));
    assert!((8..=32).contains(&got(&text)), "{text}");
    assert!(text.contains("dead 0, refused"), "{text}");
}
