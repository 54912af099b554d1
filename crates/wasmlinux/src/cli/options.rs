//! What can be given on the command line.
use super::network::{HostEntry, Network};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use wasmlinux::{MEMORY_DEFAULT, MEMORY_MAX, Publish, PublishError, Resource};

/// Linux in one file: the real kernel, compiled to WebAssembly, runs the command.
#[derive(Debug, Parser)]
#[command(name = "wasmlinux", version, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Boot a machine, run a command in it, exit with its status
    Run(Box<Run>),
    /// Print a completion script for a shell
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
}

const EXAMPLES: &str = "\
Examples:
  wasmlinux run -it
  wasmlinux run uname -a
  wasmlinux run sha256sum < file
  wasmlinux run -e NAME=value -w /tmp env
  wasmlinux run --add ./prog:/bin/prog prog argument
  wasmlinux run --add ./data:/data ls -l /data
  wasmlinux run -p 8080:80 --add ./site:/www httpd -f -h /www

Signals:
  HUP, INT, QUIT, USR1, USR2, ALRM, TERM, CONT, TSTP and WINCH go on to the command, unless they were
  ignored when wasmlinux was started (nohup). After TERM the command has 10 seconds to end, then it is
  killed; so it is if INT comes three times within two seconds. No other signal has such an effect.

Exit status:
  the command's own; 128+N if signal N ended it; 125 for a failure of wasmlinux itself,
  126 if the command cannot be executed, 127 if it is not found. If the guest ends the
  machine: 0 after poweroff or halt, 122 after reboot, 123 after a panic of the kernel.";

/// Options of `run`, which mean what they mean to docker. `refusals` explains those of docker's
/// that are missing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true, args_override_self = true)]
pub(crate) struct Run {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Keep standard input open, as it always is; it is read when the command reads. Without -t:
    /// give the command no terminal even if there is one
    #[arg(short = 'i', long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", hide_default_value = true, hide_possible_values = true, value_parser = switch, action = ArgAction::Set)]
    pub(crate) interactive: bool,

    /// Give the command this terminal. Without -i and -t it gets it if all three standard streams
    /// lead there
    #[arg(short = 't', long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", hide_default_value = true, hide_possible_values = true, value_parser = switch, action = ArgAction::Set)]
    pub(crate) tty: bool,

    /// Set a variable of the command's environment; without a value, as it is here
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<OsString>,

    /// Read variables from a file, a NAME=VALUE on each line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,

    /// Working directory of the command, created if absent. The default is `/`, and `/root` for a
    /// shell in a terminal
    #[arg(short = 'w', long = "workdir", value_name = "DIR", value_parser = OsStringValueParser::new().try_map(directory))]
    pub(crate) dir: Option<OsString>,

    /// User and group that the command runs as, by name (in the machine's /etc/passwd and
    /// /etc/group) or number. The default is root
    #[arg(short = 'u', long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<OsString>,

    /// Add a supplementary group
    #[arg(long, value_name = "GROUP")]
    pub(crate) group_add: Vec<OsString>,

    /// Limit a resource of the command, such as nofile=1024:2048, core=0, nproc=100; -1 is no limit
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = Ulimit::parse)]
    pub(crate) ulimit: Vec<Ulimit>,

    /// Make busybox's init the first process, which starts the services of `/etc/inittab`; the
    /// default for a shell in a terminal
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", hide_default_value = true, hide_possible_values = true, value_parser = switch, action = ArgAction::Set)]
    pub(crate) init: bool,

    /// Run this program, with the command as its arguments
    #[arg(long, value_name = "PROG")]
    pub(crate) entrypoint: Option<OsString>,

    /// Forget the machine when the command has ended, as is always done
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", hide_default_value = true, hide_possible_values = true, value_parser = switch, action = ArgAction::Set)]
    rm: bool,

    /// Pass signals on to the command
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = switch, action = ArgAction::Set)]
    pub(crate) sig_proxy: bool,

    /// The machine's host name
    #[arg(short = 'h', long, value_name = "NAME", default_value = "wasmlinux")]
    pub(crate) hostname: String,

    /// Memory of the machine, with a suffix b, k, m or g (1.5g); takes from the host only what is
    /// used
    #[arg(short = 'm', long, value_name = "SIZE", default_value = "1g", value_parser = memory)]
    pub(crate) memory: u64,

    /// Put a copy of a file or directory into the root file system
    #[arg(long, value_name = "HOST:GUEST", value_parser = OsStringValueParser::new().try_map(add))]
    pub(crate) add: Vec<(PathBuf, OsString)>,

    /// Publish a port of the guest, or a range, on a port of the host (at 127.0.0.1 if no address
    /// is given). Without the host's port a free one is taken, and printed on standard error
    #[arg(short = 'p', long = "publish", value_name = "[[HOSTIP:]HOST:]GUEST[/udp]", value_parser = publish)]
    pub(crate) publish: Vec<Ports>,

    /// `none`: loopback only. `user`: the guest reaches public addresses; add `,host` for this host
    /// (as host.internal), `,private` for private networks, `,link-local` for link-local addresses
    #[arg(long, visible_alias = "net", value_name = "none|user[,MORE]", default_value = "user", value_parser = Network::parse)]
    pub(crate) network: Network,

    /// Add a name to /etc/hosts; with `host-gateway` as the address it is this host, which the
    /// guest then reaches (host.docker.internal:host-gateway)
    #[arg(long, value_name = "NAME:IP", value_parser = HostEntry::parse)]
    pub(crate) add_host: Vec<HostEntry>,

    /// Print kernel messages up to a level (0 emergencies, 4 warnings, 6 information, 7 debugging)
    /// on standard error
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_missing_value = "6",
        value_parser = clap::value_parser!(u8).range(0..=7))]
    pub(crate) kernel_log: Option<u8>,

    /// Add to the kernel's command line; `provoke=bug` (or panic, oops, trap, stack) makes it fail
    /// on purpose, to see what it prints
    #[arg(long, value_name = "ARG")]
    pub(crate) kernel_arg: Vec<String>,

    /// Confine the machine's process: `on`, as far as the host can; `strict`, and do not start if
    /// it cannot; `off`, for debugging
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Confine::On, hide_possible_values = true)]
    pub(crate) confine: Confine,

    /// The same as --confine=off
    #[arg(long)]
    pub(crate) no_confine: bool,

    /// Have the machine's process try what it must not be able to do, before the command runs, and
    /// print the results on standard error
    #[arg(long, hide = true)]
    pub(crate) try_to_escape: bool,

    /// Print on standard error what is being done
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", hide_default_value = true, hide_possible_values = true, value_parser = switch, action = ArgAction::Set)]
    pub(crate) verbose: bool,

    /// The command and its arguments; without any, a shell
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

/// What `--confine` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Confine {
    On,
    Strict,
    Off,
}

/// What one `-p` says.
pub(crate) type Ports = std::sync::Arc<[Publish]>;

fn publish(text: &str) -> Result<Ports, PublishError> {
    Publish::parse(text).map(Into::into)
}

impl Run {
    /// The program and its arguments; empty for a shell.
    pub(crate) fn command_line(&self) -> Vec<OsString> {
        let program = self.entrypoint.iter().filter(|program| !program.is_empty());
        program.chain(&self.command).cloned().collect()
    }

    /// The command's environment, in the order in which later ones win: files, then options.
    pub(crate) fn environment(&self) -> Result<Vec<(OsString, OsString)>, String> {
        let mut all = Vec::new();
        for path in &self.env_file {
            let text =
                std::fs::read(path).map_err(|e| format!("cannot read the environment file {}: {e}", path.display()))?;
            let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            all.extend(
                lines.filter(|line| !line.is_empty() && line[0] != b'#').map(OsStr::from_bytes).map(OsStr::to_owned),
            );
        }
        all.extend(self.env.iter().cloned());
        let mut environment = Vec::new();
        for entry in all {
            let bytes = entry.as_bytes();
            match bytes.iter().position(|byte| *byte == b'=') {
                Some(0) => return Err(format!("-e {}: the name is missing; give NAME=VALUE", entry.display())),
                Some(at) => environment
                    .push((OsString::from_vec(bytes[..at].into()), OsString::from_vec(bytes[at + 1..].into()))),
                None if bytes.is_empty() => return Err("-e: the name is missing; give NAME=VALUE".into()),
                // As docker: a variable that is not set here is left out.
                None => environment.extend(std::env::var_os(&entry).map(|value| (entry, value))),
            }
        }
        Ok(environment)
    }
}

/// What docker takes for true and false.
fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("give true or false".into()),
    }
}

/// What one `--ulimit` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ulimit {
    pub(crate) resource: Resource,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl Ulimit {
    /// `NAME=SOFT[:HARD]`, as docker takes it.
    fn parse(text: &str) -> Result<Ulimit, String> {
        let (name, limits) = text.split_once('=').ok_or("give NAME=SOFT[:HARD], such as nofile=1024")?;
        let resource = Resource::ALL.into_iter().find(|resource| resource.name() == name);
        let resource = resource.ok_or_else(|| {
            let names: Vec<_> = Resource::ALL.into_iter().map(Resource::name).collect();
            format!("no such resource; there are {}", names.join(", "))
        })?;
        let number = |text: &str| match text {
            "-1" | "unlimited" => Ok(u64::MAX),
            _ => text.parse().map_err(|_| format!("`{text}` is not a number; -1 is no limit")),
        };
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if soft > hard {
            return Err("the soft limit, which comes first, must not be above the hard one".into());
        }
        Ok(Ulimit { resource, soft, hard })
    }
}

/// A size as docker takes it (go-units, `RAMInBytes`): a number, perhaps with a fraction, perhaps a
/// space, then a unit: `k`, `m`, `g` and so on, which are powers of 1024, also before `b` or `ib`.
fn memory(text: &str) -> Result<u64, String> {
    let wrong = || format!("not a size; give a number and b, k, m or g, such as {}m or 1.5g", MEMORY_DEFAULT >> 20);
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    // A conversion that overflows saturates, at more than any machine can have.
    let bytes = (number * (1_u64 << shift) as f64) as u64;
    // The whole of the address space, but for the page that 32 bits do not reach.
    Ok(if bytes == 4 << 30 { MEMORY_MAX } else { bytes })
}

/// An absolute path of the guest, or nothing.
fn directory(text: OsString) -> Result<OsString, String> {
    match text.as_bytes().first() {
        None | Some(b'/') => Ok(text),
        _ => Err("the path must be absolute".into()),
    }
}

/// Options of docker's volumes (`HOST:GUEST:ro`).
const VOLUME_OPTIONS: [&str; 17] = [
    "ro",
    "rw",
    "z",
    "Z",
    "cached",
    "consistent",
    "delegated",
    "nocopy",
    "shared",
    "slave",
    "private",
    "rshared",
    "rslave",
    "rprivate",
    "readonly",
    "volume-nocopy",
    "U",
];

/// `HOST:GUEST`; without `:GUEST` the same absolute path.
fn add(text: OsString) -> Result<(PathBuf, OsString), String> {
    let bytes = text.as_bytes();
    let (host, guest) = match bytes.iter().rposition(|byte| *byte == b':') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, bytes),
    };
    if host.is_empty() {
        return Err("the host's path is missing; give HOST:GUEST".into());
    }
    let guest_text = String::from_utf8_lossy(guest);
    if guest_text.split(',').all(|word| VOLUME_OPTIONS.contains(&word)) {
        return Err(format!(
            "leave out :{guest_text}, an option of volumes: this is a copy, which the guest may change"
        ));
    }
    if guest.first() != Some(&b'/') {
        return Err("the guest's path must be absolute; give HOST:/GUEST".into());
    }
    Ok((PathBuf::from(OsStr::from_bytes(host)), OsString::from_vec(guest.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, bytes) in [
            ("512m", 512 << 20),
            ("512M", 512 << 20),
            ("1G", 1 << 30),
            ("1gb", 1 << 30),
            ("4g", MEMORY_MAX),
            ("64MiB", 64 << 20),
            ("64MB", 64 << 20),
            ("64 mb", 64 << 20),
            ("0.5g", 512 << 20),
            (".5g", 512 << 20),
            ("1.5GiB", 1536 << 20),
            ("4096", 4096),
            ("4096b", 4096),
            ("1t", 1 << 40),
            ("2PB", 2 << 50),
            ("99999999999999p", u64::MAX),
        ] {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "m", "1x", "1e3m", "-1m", "+1m", "1.2.3m", ".", "1ib", "1bb", "1kk", "1  m", "1m ", " 1m", "inf"]
        {
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn switches_are_dockers() {
        let run = |args: &[&str]| {
            let Verb::Run(run) = Options::try_parse_from(["wasmlinux", "run"].iter().chain(args)).ok()?.verb else {
                panic!()
            };
            Some([run.interactive, run.tty, run.init, run.rm, run.verbose, run.sig_proxy])
        };
        let none = [false, false, false, false, false, true];
        assert_eq!(run(&["true"]), Some(none));
        assert_eq!(run(&["-it", "--rm", "true"]), Some([true, true, false, true, false, true]));
        assert_eq!(run(&["-ti", "--init=true", "--rm=1", "true"]), Some([true, true, true, true, false, true]));
        assert_eq!(run(&["-i=false", "-t=0", "--init=F", "--rm=false", "--sig-proxy=true", "true"]), Some(none));
        assert_eq!(run(&["--rm", "true", "--init"]), Some([false, false, false, true, false, true]));
        assert_eq!(run(&["--rm=maybe", "true"]), None);
    }

    #[test]
    fn limits_are_dockers() {
        let limit = |resource, soft, hard| Ok(Ulimit { resource, soft, hard });
        assert_eq!(Ulimit::parse("nofile=10"), limit(Resource::Nofile, 10, 10));
        assert_eq!(Ulimit::parse("core=0:-1"), limit(Resource::Core, 0, u64::MAX));
        for bad in ["nofile", "files=1", "nofile=x", "nofile=", "nofile=2:1", "nofile=-1:5", "nofile=1:2:3"] {
            assert!(Ulimit::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn additions_have_two_paths() {
        assert_eq!(add("a:b:/c".into()), Ok(("a:b".into(), "/c".into())));
        assert_eq!(add("/a".into()), Ok(("/a".into(), "/a".into())));
        assert!(add("a:c".into()).is_err() && add(":/c".into()).is_err());
        for option in ["ro", "rw,Z"] {
            assert!(add(format!("a:/c:{option}").into()).is_err_and(|text| text.contains("copy")), "{option}");
        }
    }

    #[test]
    fn the_command_keeps_its_options() {
        let options = Options::try_parse_from(["wasmlinux", "run", "-e", "A=b", "ls", "-l", "--", "-e"]).unwrap();
        let Verb::Run(run) = options.verb else { panic!() };
        assert_eq!(run.command, ["ls", "-l", "--", "-e"]);
        assert!(Options::try_parse_from(["wasmlinux", "run", "--bogus"]).is_err());
        assert_eq!(run.environment(), Ok(vec![("A".into(), "b".into())]));
    }
}
