//! Writing and reading back, also with the tools and files of the host.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::*;
use crate::tree::{Content, Error, PATH_MAX, Time, Tree};

/// `name mode(octal) content` of each entry.
fn list(archive: &[u8]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = |entry: Entry<'_>| format!("{} {:o} {}", text(entry.name), entry.mode, text(entry.content));
    entries(archive).map(|entry| line(entry.unwrap()).trim_end().to_owned()).collect()
}

#[test]
fn parents_are_made_once() {
    let mut archive = Tree::new();
    archive.file("/a/b/c", 0o600, b"one").unwrap();
    archive.file("//a/./b/d", 0o755, b"").unwrap();
    archive.symlink("/a/l", "b").unwrap();
    archive.file("/a/l/e", 0o644, b"2").unwrap();
    let archive = write(&archive).unwrap();
    let expected = ["a 40755", "a/b 40755", "a/b/c 100600 one", "a/b/d 100755", "a/l 120777 b", "a/l/e 100644 2"];
    assert_eq!(list(&archive), expected);
    assert_eq!(archive.len() % 512, 0);
}

#[test]
fn bad_paths_are_refused() {
    let mut archive = Tree::new();
    for path in ["", "a", "/", "/a/../b", "/a\0", "/TRAILER!!!"] {
        assert!(matches!(archive.file(path, 0o644, b""), Err(Error::BadPath(_))), "{path:?}");
    }
    let long = format!("/{}", "a".repeat(PATH_MAX));
    assert!(matches!(archive.file(&long, 0o644, b""), Err(Error::PathTooLong(_))));
    assert!(matches!(archive.symlink("/l", &long), Err(Error::PathTooLong(_))));
    archive.file("/f", 0o644, b"").unwrap();
    assert!(matches!(archive.file("/f/g", 0o644, b""), Err(Error::NotDirectory(_))));
    archive.dir("/d", 0o755).unwrap();
    assert!(matches!(archive.file("/d", 0o644, b""), Err(Error::IsDirectory(_))));
}

#[test]
fn a_second_archive_respects_the_first() {
    let mut base = Tree::new();
    base.dir("/tmp", 0o1777).unwrap();
    base.symlink("/var/run", "/run").unwrap();
    let base = write(&base).unwrap();

    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("x"), "1").unwrap();
    let mut second = Tree::on_top_of(&base).unwrap();
    assert!(second.entries().is_empty());
    second.add_host(host.path(), "/tmp").unwrap();
    second.add_host(host.path().join("x"), "/var/run/y").unwrap();
    second.add_host(host.path().join("x"), "/var/").unwrap();
    let second = write(&second).unwrap();
    assert_eq!(list(&second), ["tmp/x 100644 1", "var/run/y 100644 1", "var/x 100644 1"]);

    let both = [base, second].concat();
    assert_eq!(list(&both).len(), 6);
}

#[test]
fn a_directory_of_the_host_is_copied_as_it_is() {
    let host = tempfile::tempdir().unwrap();
    let at = |name: &str| host.path().join(name);
    fs::create_dir(at("in")).unwrap();
    fs::set_permissions(at("in"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(at("in/run"), "#!").unwrap();
    fs::set_permissions(at("in/run"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("nowhere", at("link")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    let mut archive = Tree::new();
    archive.add_host(host.path(), "/srv/data/").unwrap();
    let times = archive.entries().iter().filter(|entry| entry.time.is_some()).count();
    assert_eq!(times, 4, "{:?}", archive.entries());
    let archive = write(&archive).unwrap();
    let lines = list(&archive);
    assert_eq!(lines[0], "srv 40755");
    assert!(lines[1].starts_with("srv/data 407"));
    assert_eq!(lines[2..], ["srv/data/in 40700", "srv/data/in/run 104755 #!", "srv/data/link 120777 nowhere"]);
    let mtime = entries(&archive).last().unwrap().unwrap().mtime;
    assert!(mtime > 1_600_000_000, "{mtime}");
}

#[test]
fn hard_links_and_times_are_kept() {
    let host = tempfile::tempdir().unwrap();
    let at = |name: &str| host.path().join(name);
    fs::write(at("a"), "1").unwrap();
    fs::hard_link(at("a"), at("b")).unwrap();
    let before = std::time::UNIX_EPOCH - std::time::Duration::from_nanos(1_500_000_000);
    fs::File::options().write(true).open(at("a")).unwrap().set_modified(before).unwrap();
    let mut tree = Tree::new();
    tree.add_host(host.path(), "/d").unwrap();
    let [dir, a, b, filled] = tree.entries() else { panic!("{:?}", tree.entries()) };
    assert_eq!((dir.path.as_slice(), dir.time), (&b"d"[..], None));
    assert_eq!(
        (a.time, &a.content),
        (Some(Time { seconds: -2, nanoseconds: 500_000_000 }), &Content::Host(at("a"), 1))
    );
    assert_eq!((b.path.as_slice(), &b.content), (&b"d/b"[..], &Content::Same(b"d/a".to_vec())));
    assert_eq!((filled.path.as_slice(), &filled.content), (&b"d"[..], &Content::Filled));
}

#[test]
fn what_cannot_be_read_is_named() {
    let error = Tree::new().add_host("/no/such/file", "/x").unwrap_err();
    assert!(error.to_string().starts_with("cannot read /no/such/file: No such file"), "{error}");
    let mut archive = Tree::new();
    archive.add_host("/dev/null", "/empty").unwrap();
    assert_eq!(list(&write(&archive).unwrap()), ["empty 100644"]);
}

#[test]
fn damage_is_noticed() {
    let mut archive = Tree::new();
    archive.file("/a", 0o644, &[b'x'; 1000]).unwrap();
    let archive = write(&archive).unwrap();
    for length in 1..archive.len() {
        for entry in entries(&archive[..length]) {
            if let Err(error) = entry {
                assert!(matches!(error, Error::Damaged(_)));
            }
        }
    }
    assert!(matches!(entries(b"not a cpio").next(), Some(Err(Error::Damaged(0)))));
    assert!(entries(&[0; 512]).next().is_none());
}

#[test]
fn the_hosts_cpio_agrees() {
    if !Path::new("/usr/bin/cpio").exists() {
        return; // not part of every system; the kernel's unpacking is tested by every boot
    }
    let directory = tempfile::tempdir().unwrap();
    let mut archive = Tree::new();
    archive.file("/d/f", 0o640, b"content").unwrap();
    fs::write(directory.path().join("a.cpio"), write(&archive).unwrap()).unwrap();
    let run = std::process::Command::new("sh")
        .args(["-ec", "cpio -idm --quiet <a.cpio && cat d/f"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), "content", "{}", String::from_utf8_lossy(&run.stderr));
}
