//! Debian's source packages, through an apt configuration of our own: the machine's is not touched.

use super::{Build, Step};
use crate::support::cache::{Key, Workplace};
use crate::support::digest;
use crate::support::files;
use crate::support::task::Task;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The upstream part of a source package; what Debian adds to it is verified by apt alone, as it
/// changes with security updates.
pub(crate) struct Source {
    pub(crate) package: &'static str,
    pub(crate) upstream: &'static str,
    pub(crate) sha256: &'static str,
}

const MUSL: Source = Source {
    package: "musl",
    upstream: "musl_1.2.3.orig.tar.gz",
    sha256: "7d5b0b6062521e4627e099e4c9dc8248d32a30285e959b7eecaa780cf8cfd4a4",
};

const BUSYBOX: Source = Source {
    package: "busybox",
    upstream: "busybox_1.35.0.orig.tar.bz2",
    sha256: "faeeb244c35a348a334f4a59e44626ee870fb07b6884d68c10ae8bc19f83a694",
};

/// The step: musl's source.
pub(super) fn libc(build: &Build, task: &Task) -> Result<()> {
    unpacked(build, task, Step::LibcSource, &MUSL, false)
}

/// The step: busybox's source with Debian's patches.
pub(super) fn busybox(build: &Build, task: &Task) -> Result<()> {
    unpacked(build, task, Step::BusyboxSource, &BUSYBOX, true)
}

/// A node with the unpacked source, with or without Debian's patches.
fn unpacked(build: &Build, task: &Task, step: Step, source: &Source, patched: bool) -> Result<()> {
    let key = || Ok(Key::new(include_str!("sources.rs")).text("upstream", source.sha256));
    let node = build.store.node(task, key, |place: &Workplace| {
        let upstream = fetched(build, task, source, &place.work, &[])?;
        if patched {
            let description =
                files::sorted(&place.work)?.into_iter().find(|path| path.extension().is_some_and(|end| end == "dsc"));
            files::remove(&place.out)?;
            // apt has verified the signature, by way of the archive's lists.
            let mut unpack = Command::new("dpkg-source");
            unpack.args(["--no-check", "--extract"]).arg(description.context("no .dsc file")?).arg(&place.out);
            task.run(unpack)
        } else {
            unpack(task, &upstream, &place.out)
        }
    })?;
    build.keep(step, node);
    Ok(())
}

/// Unpacks the upstream part of a source package into a directory, without what Debian adds to it.
pub(crate) fn upstream(build: &Build, task: &Task, source: &Source, work: &Path, to: &Path) -> Result<()> {
    let archive = fetched(build, task, source, work, &["--tar-only"])?;
    files::folder(to)?;
    unpack(task, &archive, to)
}

fn unpack(task: &Task, archive: &Path, to: &Path) -> Result<()> {
    let mut unpack = Command::new("tar");
    unpack.arg("-xf").arg(archive).arg("-C").arg(to).arg("--strip-components=1");
    task.run(unpack)
}

/// The upstream part of a source package, fetched into a directory and checked.
fn fetched(build: &Build, task: &Task, source: &Source, to: &Path, options: &[&str]) -> Result<PathBuf> {
    download(build, task, source.package, to, options)?;
    let upstream = to.join(source.upstream);
    if !upstream.exists() {
        bail!(
            "Debian's source package {} has no {}: this build is made for Debian 12",
            source.package,
            source.upstream
        );
    }
    digest::expect_sha256(&upstream, source.sha256)?;
    Ok(upstream)
}

/// Fetches the files of a source package into a directory. apt checks them against the signed
/// lists.
fn download(build: &Build, task: &Task, package: &str, to: &Path, options: &[&str]) -> Result<()> {
    task.status("fetches the source package");
    let apt = build.store.folder("apt");
    let _lock = build.store.lock(task, "apt")?;
    let parts = apt.join("sources.list.d");
    files::remove(&parts)?;
    files::write(&parts.join("sources.sources"), source_entries()?)?;
    files::folder(&apt.join("lists/partial"))?;
    files::folder(&apt.join("cache/archives/partial"))?;
    let command = || {
        let mut command = Command::new("apt-get");
        let folder = |name: &str, path: &Path| format!("--option={name}={}", path.display());
        command.args([
            folder("Dir::Etc::SourceList", Path::new("/dev/null")),
            folder("Dir::Etc::SourceParts", &parts),
            folder("Dir::State::Lists", &apt.join("lists")),
            folder("Dir::Cache", &apt.join("cache")),
            // The user _apt has no way into a home directory.
            "--option=APT::Sandbox::User=root".to_string(),
            "--option=Acquire::Retries=3".to_string(),
        ]);
        command.current_dir(to);
        command
    };
    let mut update = command();
    // Without it a failed download is only a warning.
    update.args(["--option=APT::Update::Error-Mode=any", "update"]);
    task.run(update)?;
    let mut fetch = command();
    fetch.args(["source", "--download-only"]).args(options).arg(package);
    task.run(fetch)
}

/// Entries for the sources of what the machine takes its Debian packages from.
fn source_entries() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or("bookworm")
        .trim_matches('"')
        .to_string();
    let mut texts = vec![fs::read_to_string("/etc/apt/sources.list").unwrap_or_default()];
    let mut stanzas = String::new();
    for path in files::sorted(Path::new("/etc/apt/sources.list.d")).unwrap_or_default() {
        match path.extension().and_then(|end| end.to_str()) {
            Some("list") => texts.push(fs::read_to_string(&path)?),
            Some("sources") => stanzas += &from_deb822(&fs::read_to_string(&path)?, &codename),
            _ => {}
        }
    }
    for text in texts {
        stanzas += &from_lines(&text, &codename);
    }
    if stanzas.is_empty() {
        bail!("/etc/apt names no archive of Debian {codename} with the component main");
    }
    Ok(stanzas)
}

/// Whether an entry is one of Debian's own archives.
fn is_debian(suites: &str, components: &str, codename: &str) -> bool {
    let ours = |suite: &str| {
        suite.trim_end_matches('/') == codename
            || suite.starts_with(&format!("{codename}-"))
            || suite.starts_with("stable")
            || suite.starts_with("oldstable")
    };
    suites.split_whitespace().any(ours) && components.split_whitespace().any(|component| component == "main")
}

/// The stanzas of a `.sources` file that concern us, with their type replaced.
fn from_deb822(text: &str, codename: &str) -> String {
    let text: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let mut result = String::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            let is = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
            stanza.lines().find(is).and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
        };
        let off = field("Enabled").eq_ignore_ascii_case("no");
        if off
            || !field("Types").split_whitespace().any(|kind| kind == "deb")
            || !is_debian(field("Suites"), field("Components"), codename)
        {
            continue;
        }
        for line in stanza.lines().filter(|line| !line.trim().is_empty()) {
            match line.split_once(':') {
                Some((key, _)) if key.eq_ignore_ascii_case("Types") => result += "Types: deb-src\n",
                _ => result += &format!("{line}\n"),
            }
        }
        result += "\n";
    }
    result
}

/// The lines of a `.list` file that concern us, as stanzas.
fn from_lines(text: &str, codename: &str) -> String {
    let mut result = String::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb ").map(str::trim_start) else { continue };
        let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (options, rest.trim_start()),
            None => ("", rest),
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [uri, suite, components @ ..] = words.as_slice() else { continue };
        if !is_debian(suite, &components.join(" "), codename) {
            continue;
        }
        result += &format!("Types: deb-src\nURIs: {uri}\nSuites: {suite}\nComponents: {}\n", components.join(" "));
        for (name, value) in options.split_whitespace().filter_map(|option| option.split_once('=')) {
            match name {
                "signed-by" => result += &format!("Signed-By: {}\n", value.replace(',', " ")),
                "trusted" => result += &format!("Trusted: {value}\n"),
                _ => {}
            }
        }
        result += "\n";
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_debian_from_stanzas() {
        let text = "# made by somebody\nTypes: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By: /k.gpg\n\n\
                    Types: deb\nURIs: https://deb.example.org/node\nSuites: nodistro\nComponents: main\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://x\nSuites: bookworm\nComponents: main\n";
        assert_eq!(
            from_deb822(text, "bookworm"),
            "Types: deb-src\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By: /k.gpg\n\n"
        );
    }

    #[test]
    fn takes_debian_from_lines() {
        let text = "deb [arch=amd64 signed-by=/k.gpg] http://deb.debian.org/debian bookworm main contrib # all\n\
                    deb-src http://deb.debian.org/debian bookworm main\ndeb http://x nodistro main\n";
        assert_eq!(
            from_lines(text, "bookworm"),
            "Types: deb-src\nURIs: http://deb.debian.org/debian\nSuites: bookworm\nComponents: main contrib\nSigned-By: /k.gpg\n\n"
        );
    }
}
