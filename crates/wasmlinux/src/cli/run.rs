//! `wasmlinux run`: a machine for one command.
use super::options::{self, Run};
use super::terminal::Raw;
use super::{MACHINE, complain, escaped, explain, prepare, pump, signals, terminal};
use super::{STATUS_ERROR, STATUS_NOT_EXECUTABLE, STATUS_NOT_FOUND, STATUS_PANIC, STATUS_REBOOT};
use rustix::termios::isatty;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;
use wasmlinux::{Confine, Errno, Error, GATEWAY, Machine, Outcome, SpawnStep, Stdio};
use wasmlinux_devices::printable;
use wasmlinux_machine::explained;

/// Kernel messages that are shown after a panic, in lines.
const LAST_WORDS: usize = 40;
/// How long the machine may take to switch itself off, and to go off when it is unplugged.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(10);
const UNPLUG_LIMIT: Duration = Duration::from_secs(2);

/// The exit status.
pub(crate) fn run(options: &Run) -> u8 {
    let level = if options.verbose { tracing::Level::DEBUG } else { tracing::Level::WARN };
    prepare(level.into());
    let environment = match options.environment() {
        Ok(environment) => environment,
        Err(text) => {
            complain(&text);
            return STATUS_ERROR;
        }
    };
    let command_line = options.command_line();
    let has_terminal = match terminal::wanted(options.tty, options.interactive) {
        Ok(wanted) => wanted,
        Err(text) => {
            complain(&text);
            return STATUS_ERROR;
        }
    };
    if has_terminal && (options.tty || command_line.is_empty()) {
        complain("Ctrl-] q leaves");
    }
    let mut builder = Machine::builder().memory(options.memory).hostname(&options.hostname);
    if options.init || has_terminal && command_line.is_empty() {
        builder = builder.init("/sbin/init");
    }
    for (host, guest) in &options.add {
        builder = builder.add(host, guest);
    }
    for arg in &options.kernel_arg {
        builder = builder.kernel_arg(arg);
    }
    let mut network = options.network;
    network.reach.host |= options.add_host.iter().any(|entry| entry.address.is_none());
    let needs = [("-p", !options.publish.is_empty()), ("host-gateway", network.reach.host)];
    if let Some((what, _)) = needs.iter().find(|(_, needed)| *needed && !network.on) {
        complain(&format!("{what} needs a network, and --network none gives none"));
        return STATUS_ERROR;
    }
    builder = builder.network(network.on).reach(network.reach);
    for entry in &options.add_host {
        let addresses = entry.address.map_or(GATEWAY.to_vec(), |address| vec![address]);
        builder = addresses.into_iter().fold(builder, |builder, address| builder.host(&entry.name, address));
    }
    for port in options.publish.iter().flat_map(|ports| ports.iter()) {
        builder = builder.publish(*port);
    }
    if let Some(level) = options.kernel_log {
        builder = builder.kernel_log(level, escaped());
    }
    let confine = match options.confine {
        _ if options.no_confine => Confine::Off,
        options::Confine::Off => Confine::Off,
        options::Confine::On => Confine::On,
        options::Confine::Strict => Confine::Strict,
    };
    if confine == Confine::Off {
        complain("the machine's process is not confined: whatever breaks out of the machine has your rights");
    }
    let machine = match builder.boot_apart(confine) {
        Ok(machine) => machine,
        Err(Error::Boot { outcome: Outcome::Panic, messages }) => return panicked(&messages),
        Err(error) => {
            explain(&error);
            return STATUS_ERROR;
        }
    };
    // Never dropped: it ends with this process, which need not wait for what it gives back.
    let machine = MACHINE.get_or_init(|| machine);
    // No WebAssembly runs in this process: SIGSEGV and its kin end it, as in any other.
    wasmlinux_machine::end_by_faults();
    if let Some(kept) = machine.not_given_up() {
        complain(&format!("this host confines the machine's process in part only: {kept}"));
    }
    if options.try_to_escape {
        match machine.try_to_escape() {
            Ok(lines) => lines.unwrap_or_default().lines().for_each(complain),
            Err(error) => explain(&error),
        }
    }
    for (asked, port) in options.publish.iter().flat_map(|ports| ports.iter()).zip(machine.published()) {
        if asked.host.port() == 0 {
            complain(&format!("{}/{} -> {}", port.guest, port.protocol, port.host));
        }
    }
    let status = command(options, &command_line, machine, environment, has_terminal)
        .unwrap_or_else(|error| failed(options, machine, &error));
    if options.kernel_log.is_none() && status != STATUS_PANIC && machine.oopses() > 0 {
        report_oops(&machine.kernel_messages());
    }
    // With --verbose it has been said when it happened.
    if !options.verbose && (status != 0 || isatty(io::stderr())) {
        machine.kept_from().iter().for_each(|refused| complain(&refused.to_string()));
    }
    signals::end_by(status, has_terminal);
    status
}

fn command(
    options: &Run,
    command_line: &[OsString],
    machine: &Machine,
    environment: Vec<(OsString, OsString)>,
    has_terminal: bool,
) -> Result<u8, Error> {
    let interactive = command_line.is_empty() && has_terminal;
    let mut command = match command_line.split_first() {
        Some((program, _)) => machine.command(program),
        None => machine.command("sh"),
    };
    command
        .args(command_line.iter().skip(1))
        .args(interactive.then_some("-l"))
        .current_dir(options.dir.as_deref().unwrap_or(OsStr::new(if interactive { "/root" } else { "/" })))
        .env("HOSTNAME", &options.hostname)
        .power_off_at_end(true);
    if !has_terminal {
        command.stdin(own(&io::stdin())?).stdout(own(&io::stdout())?).stderr(own(&io::stderr())?);
    } else {
        command.terminal(terminal::size()).envs(std::env::var_os("TERM").map(|term| ("TERM", term)));
    }
    if let Some(user) = &options.user {
        command.user(user);
    }
    for group in &options.group_add {
        command.group(group);
    }
    for limit in &options.ulimit {
        command.limit(limit.resource, limit.soft, limit.hard);
    }
    let mut child = command.envs(environment).spawn()?;
    signals::forward(child.process(), options.sig_proxy, has_terminal)?;
    // From here on no signal ends this process without restoring the terminal.
    let raw = if has_terminal { Some(Raw::enter(child.process())?) } else { None };
    if let Some(stdin) = child.stdin.take() {
        terminal::keys(stdin, child.process())?;
    }
    let shown = child.stdout.take().map(|stdout| pump::output(stdout, &io::stdout())).transpose()?;
    let status = child.process().wait();
    // Init switches the machine off after the command. One that hangs is unplugged.
    if machine.wait_timeout(POWER_OFF_LIMIT).is_none() {
        tracing::warn!("the machine does not switch itself off: unplugged");
        machine.power_off();
        if machine.wait_timeout(UNPLUG_LIMIT).is_none() {
            return Ok(status?.shell_code());
        }
    }
    // With the machine its terminal ends, after what was written to it.
    if let Some(shown) = shown {
        let _ = shown.join();
    }
    drop(raw);
    let status = status?;
    if child.process().oom_kills() > 0 && !status.success() {
        complain(&format!("the machine ran out of memory: it has {} MiB (-m)", options.memory >> 20));
    }
    Ok(status.shell_code())
}

/// A standard stream of ours as the command's.
fn own(stream: &impl AsFd) -> io::Result<Stdio> {
    Ok(Stdio::file(pump::raw(stream)?))
}

/// The status of a command that did not start, or did not end by itself.
fn failed(options: &Run, machine: &Machine, error: &Error) -> u8 {
    match error {
        Error::Spawn { step: SpawnStep::Execute, subject, errno } => {
            let advice = match *errno {
                Errno::ENOENT => interpreter(options, subject)
                    .unwrap_or_else(|| "`wasmlinux run ls /bin` shows what there is, --add adds to it".into()),
                Errno::EACCES => "the file must be executable (chmod +x) and must not be a directory".into(),
                Errno::ENOEXEC => machine.last_refusal().unwrap_or_else(|| no_program(options, subject).into()),
                _ => String::new(),
            };
            let separator = if advice.is_empty() { "" } else { "; " };
            complain(&format!("{error}{separator}{advice}"));
            if *errno == Errno::ENOENT { STATUS_NOT_FOUND } else { STATUS_NOT_EXECUTABLE }
        }
        Error::Off => match machine.wait() {
            Outcome::Off | Outcome::Halt => 0,
            Outcome::Reboot => STATUS_REBOOT,
            Outcome::Panic => panicked(&machine.kernel_messages()),
            Outcome::Unplugged => STATUS_ERROR,
            Outcome::Failed(why) => {
                complain(&format!("the machine failed: {}", explained(&why).replace('\n', " ")));
                STATUS_ERROR
            }
            other => {
                complain(&format!("the machine ended in an unknown way: {other:?}"));
                STATUS_ERROR
            }
        },
        error => {
            explain(error);
            STATUS_ERROR
        }
    }
}

/// The first bytes of a program that came from the host.
fn first_bytes(options: &Run, program: &str, count: u64) -> Option<Vec<u8>> {
    let is_it = |guest: &OsString| Path::new(guest).file_name() == Path::new(program).file_name();
    let (host, _) = options.add.iter().find(|(_, guest)| is_it(guest))?;
    let mut bytes = Vec::new();
    let _ = File::open(host).and_then(|file| file.take(count).read_to_end(&mut bytes));
    Some(bytes)
}

/// Why a program that was added is not found: the interpreter of a script is missing.
fn interpreter(options: &Run, program: &str) -> Option<String> {
    let bytes = first_bytes(options, program, 256)?;
    let line = bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    if line.ends_with('\r') {
        return Some("its first line ends in a carriage return: convert the file (dos2unix)".into());
    }
    let name = line.split_whitespace().next()?;
    Some(format!("its interpreter {} is not in the machine", printable(name)))
}

/// What a program is that is not even a module, if it came from the host.
fn no_program(options: &Run, program: &str) -> &'static str {
    const ADVICE: &str = "not a WebAssembly program: build it with wasmlinux-cc, or begin a script with #!/bin/sh";
    let Some(magic) = first_bytes(options, program, 8) else { return ADVICE };
    match magic.as_slice() {
        [0x7f, b'E', b'L', b'F', ..] => "it is a program for the host (ELF): build it with wasmlinux-cc",
        b"\0asm\x01\0\0\0" => "a WebAssembly module, but damaged or not made for Linux: build it with wasmlinux-cc",
        [0, b'a', b's', b'm', ..] => "a WebAssembly component, or of an unknown version: build it with wasmlinux-cc",
        [] => "the file is empty",
        _ => ADVICE,
    }
}

/// Says what the kernel reported of a bug of its own that it has survived.
fn report_oops(messages: &str) {
    let lines: Vec<_> = messages.lines().collect();
    let Some(first) = lines.iter().position(|line| line.contains("Oops: ")) else { return };
    // The line before says where, if it was a BUG().
    let first = first - usize::from(first > 0 && lines[first - 1].contains("kernel BUG at"));
    complain("the kernel has a bug; what it said:");
    for line in lines[first..].iter().take(LAST_WORDS) {
        eprintln!("{}", printable(line));
        if line.contains("[ end trace ") {
            break;
        }
    }
}

fn panicked(messages: &str) -> u8 {
    complain("the kernel panicked; its last messages:");
    let lines: Vec<_> = messages.lines().collect();
    for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
        eprintln!("{}", printable(line));
    }
    STATUS_PANIC
}
