//! Options of `docker run` that cannot mean anything here, or not yet: what to say to whoever
//! types them.

/// What to do in place of an option of docker's, without the dashes; None if docker has no such
/// option.
pub(crate) fn instead_of(option: &str) -> Option<&'static str> {
    Some(match option {
        "v" | "volume" | "mount" | "volumes-from" | "volume-driver" => {
            "directories of the host cannot be mounted yet: --add HOST:GUEST puts a copy in (--verbose says what is done)"
        }
        "d" | "detach" | "detach-keys" | "restart" | "cidfile" => {
            "a machine lives in this process: run it in the background with `&`, nohup or your service manager"
        }
        "name" | "l" | "label" | "label-file" | "annotation" => {
            "machines have no list to be named in: the process id of wasmlinux names one"
        }
        "privileged" | "cap-add" => "root in the machine has all capabilities there, and none here: leave it out",
        "cap-drop" | "security-opt" | "userns" => {
            "root in the machine has all capabilities there, and none here: -u runs the command as a user without"
        }
        "read-only" => {
            "the root file system is the machine's own and is forgotten with it: `mount -o remount,ro /` inside"
        }
        "tmpfs" | "shm-size" => "mount it inside: `mount -t tmpfs -o size=64m tmpfs DIRECTORY`",
        "cpus" | "cpu-count" | "cpu-percent" | "cpuset-cpus" | "cpuset-mems" | "c" | "cpu-shares" | "cpu-period"
        | "cpu-quota" | "cpu-rt-period" | "cpu-rt-runtime" => {
            "a machine has one processor: use `nice` or a cgroup around it"
        }
        "memory-swap" | "memory-reservation" | "memory-swappiness" | "kernel-memory" | "oom-kill-disable"
        | "oom-score-adj" => "a machine has the memory that -m says, and no swap",
        "pids-limit" => "limit the processes of the command's user: --ulimit nproc=100",
        "pull" | "platform" | "q" | "quiet" | "disable-content-trust" | "isolation" | "runtime" => {
            "there are no images to choose from: the root file system is inside wasmlinux, --add adds to it"
        }
        "P" | "publish-all" | "expose" | "link" => "publish each port with -p HOST:GUEST",
        "dns" | "dns-search" | "dns-option" => {
            "names are resolved as on this host: --add-host adds one, --add ./resolv.conf:/etc/resolv.conf changes it"
        }
        "ip" | "ip6" | "mac-address" | "network-alias" => {
            "a machine has a network of its own, with fixed addresses (docs/network.md)"
        }
        "domainname" => "give the whole name to --hostname",
        "device" | "device-cgroup-rule" | "gpus" | "blkio-weight" | "device-read-bps" | "device-write-bps"
        | "storage-opt" => "devices of the host cannot be given to a machine",
        "a" | "attach" => "the command has the standard streams of wasmlinux: redirect them in the shell",
        "log-driver" | "log-opt" => {
            "what the command says goes to standard output and error: redirect them in the shell"
        }
        "cgroup-parent" | "cgroupns" | "ipc" | "pid" | "uts" => {
            "a machine shares nothing with the host but what -p, --add and --network say"
        }
        "sysctl" => "set it inside: `sysctl -w NAME=VALUE`",
        "stop-signal" | "stop-timeout" => "signals go on to the command: send the one that ends it",
        "health-cmd"
        | "health-interval"
        | "health-retries"
        | "health-timeout"
        | "health-start-period"
        | "no-healthcheck" => "nothing checks the command's health: do it from outside, through a published port",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::options::Options;
    use super::instead_of;
    use clap::CommandFactory;

    #[test]
    fn nothing_that_is_there_is_refused() {
        let options = Options::command();
        let run = options.find_subcommand("run").unwrap();
        for argument in run.get_arguments() {
            let short = argument.get_short().map(String::from);
            for name in short.iter().map(String::as_str).chain(argument.get_long()) {
                assert_eq!(instead_of(name), None, "{name}");
            }
        }
    }
}
