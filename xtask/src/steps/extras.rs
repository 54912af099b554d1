//! What glibc has and musl leaves to others: taken from libraries of its own, as distributions that
//! are built on musl do, but put into libc.a, where programs for glibc expect it.

use super::Build;
use super::sources::{self, Source};
use crate::support::cache::{Key, Workplace};
use crate::support::files;
use crate::support::task::Task;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A library or a header of somebody else's, and what is to be changed in it: texts, and those in
/// their place.
struct Extra {
    source: Source,
    /// The header: path in the source, name.
    header: (&'static str, &'static str),
    /// The only file to compile, and the name by which distributions link it.
    code: Option<(&'static str, &'static str)>,
    changes: &'static [(&'static str, &'static str)],
}

const EXTRAS: [Extra; 3] = [
    Extra {
        // The file tree walk of BSD, as rpm keeps it for systems without; the names of functions
        // are its own there.
        source: Source {
            package: "rpm",
            upstream: "rpm_4.18.0+dfsg.orig.tar.xz",
            sha256: "d0d9c58c036bc6308de6e195e898c10bf53eaef6f962c48b403e7cd262f4eb4d",
        },
        header: ("misc/rpmfts.h", "fts.h"),
        code: Some(("misc/fts.c", "fts")),
        changes: &[
            ("#include <rpm/rpmutil.h>\n", ""),
            ("RPM_GNUC_INTERNAL\n", ""),
            ("#include \"system.h\"", "#include <unistd.h>"),
            ("\"misc/rpmfts.h\"", "<fts.h>"),
            ("Fts_", "fts_"),
        ],
    },
    Extra {
        source: Source {
            package: "libiberty",
            upstream: "libiberty_20230104.orig.tar.xz",
            sha256: "f0c873589b983a2e82287d1beea3b230959803121ede290154d44008984013ef",
        },
        header: ("include/obstack.h", "obstack.h"),
        code: Some(("libiberty/obstack.c", "obstack")),
        changes: &[("# include <config.h>\n", "")],
    },
    Extra {
        source: Source {
            package: "libbsd",
            upstream: "libbsd_0.11.7.orig.tar.xz",
            sha256: "9baa186059ebbf25c06308e9f991fda31f7183c0f24931826d83aa6abd8a0261",
        },
        header: ("include/bsd/sys/queue.h", "sys/queue.h"),
        code: None,
        changes: &[("<bsd/sys/cdefs.h>", "<sys/cdefs.h>")],
    },
];

/// All that decides what comes out.
pub(super) fn key(key: Key) -> Key {
    key.text("extras", include_str!("extras.rs"))
}

/// Adds them to the sysroot at `place.out`, compiled with libc's flags.
pub(super) fn add(build: &Build, task: &Task, place: &Workplace, flags: &str) -> Result<()> {
    let include = place.out.join("include");
    for extra in &EXTRAS {
        let package = extra.source.package;
        let folder = place.work.join(package);
        files::folder(&folder)?;
        let tree = folder.join("source");
        sources::upstream(build, task, &extra.source, &folder, &tree)?;
        task.status(package);
        let header = include.join(extra.header.1);
        copy_changed(&tree.join(extra.header.0), &header, extra.changes)?;
        let Some((code, name)) = extra.code else { continue };
        let (changed, object) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.o")));
        copy_changed(&tree.join(code), &changed, extra.changes)?;
        let mut compile = Command::new("clang-19");
        compile.args(["--target=wasm32-unknown-unknown", "-D_GNU_SOURCE"]).args(flags.split_whitespace());
        compile.arg("-isystem").arg(&include).arg("-c").arg(&changed).arg("-o").arg(&object);
        task.run(compile)?;
        let lib = place.out.join("lib");
        let mut archive = Command::new("llvm-ar-19");
        archive.arg("rcs").arg(lib.join("libc.a")).arg(&object);
        task.run(archive)?;
        files::write(&lib.join(format!("lib{name}.a")), "!<arch>\n")?;
    }
    Ok(())
}

/// Copies a file, changed. What is to be changed may be in another file of the source only.
fn copy_changed(from: &Path, to: &Path, changes: &[(&str, &str)]) -> Result<()> {
    let text = fs::read_to_string(from).with_context(|| format!("{} in the source package", from.display()))?;
    files::write(to, changes.iter().fold(text, |text, (old, new)| text.replace(old, new)))
}
