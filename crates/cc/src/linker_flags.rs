//! The linker's options: which of GNU ld's go to wasm-ld, in which form, and which mean nothing
//! there.

use anyhow::{Result, bail};

use crate::options::Input;

/// What the link is made of, after sorting out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Linker {
    /// Options and files for wasm-ld, in order. Source files stand in their place, to be replaced
    /// by their objects.
    pub(crate) args: Vec<Input>,
    /// All symbols and debugging information are to go.
    pub(crate) strip: bool,
    /// Debugging information is to go.
    pub(crate) strip_debug: bool,
    /// Of several definitions of a symbol the first counts.
    pub(crate) first_definition: bool,
    /// The linker itself is asked something (`--version`): nothing is linked.
    pub(crate) query: bool,
    /// What was left out.
    pub(crate) notes: Vec<String>,
}

/// Options without a value that mean nothing for a static wasm32 program. `*` at the end: any
/// suffix.
const DROPPED: &[&str] = &[
    "--start-group",
    "--end-group",
    "-(",
    "-)",
    "--as-needed",
    "--no-as-needed",
    "--push-state",
    "--pop-state",
    "--package-metadata=*",
    "--no-allow-multiple-definition",
    "--warn-*",
    "--no-warn*",
    "--sort-*",
    "--hash-style*",
    "--eh-frame-hdr",
    "--no-eh-frame-hdr",
    "--enable-new-dtags",
    "--disable-new-dtags",
    "--export-dynamic*",
    "-E",
    "-Bstatic",
    "-Bdynamic",
    "-Bsymbolic*",
    "-dn",
    "-dy",
    "-static",
    "-pie",
    "--pie",
    "-no-pie",
    "--no-pie",
    "--relax",
    "--no-relax",
    "-O*",
    "--stats",
    "--cref",
    "--no-undefined",
    "--no-allow-shlib-undefined",
    "--allow-shlib-undefined",
    "--copy-dt-needed-entries",
    "--no-copy-dt-needed-entries",
    "--add-needed",
    "--no-add-needed",
    "--version-script=*",
    "--dynamic-list=*",
    "--dynamic-list-*",
    "--dynamic-linker=*",
    "--no-dynamic-linker",
    "-I*",
    "--rpath=*",
    "-rpath=*",
    "-rpath-link=*",
    "--rpath-link=*",
    "-soname=*",
    "--soname=*",
    "-z*",
    "-nostdlib",
    "--build-id*",
    "--omagic",
    "-N",
    "--nmagic",
    "-n",
    "--discard-*",
    "-X",
    "-x",
    "-EL",
    "-EB",
    "--be8",
    "--fix-*",
    "--no-ld-generated-unwind-info",
    "--compress-debug-sections*",
    "--orphan-handling=*",
    "--exclude-libs=*",
    // wasm-ld's warnings are of what GNU ld has none for: a function declared otherwise than it is
    // defined, as configure scripts do.
    "--fatal-warnings",
    "--gdb-index",
    "--icf=*",
    "--threads*",
    "--no-keep-memory",
    "--reduce-memory-overheads",
    "-g",
    "-d",
    "-qmagic",
    "--traditional-format",
    "--image-base=*",
    "-Ttext=*",
    "-Tdata=*",
    "-Tbss=*",
    "-A*",
    "--plugin=*",
    "-plugin-opt=*",
    "--unresolved-symbols=*",
];
/// The same with a value in the next word.
const DROPPED_WITH_VALUE: &[&str] = &[
    "--sort-section",
    "--package-metadata",
    "-rpath",
    "--rpath",
    "-rpath-link",
    "--rpath-link",
    "-soname",
    "--soname",
    "-h",
    "-z",
    "--dynamic-linker",
    "-dynamic-linker",
    "-I",
    "--version-script",
    "--dynamic-list",
    "-m",
    "-e",
    "--entry",
    "-R",
    "-f",
    "-F",
    "-Ttext",
    "-Tdata",
    "-Tbss",
    "--exclude-libs",
    "-A",
    "-plugin",
    "-plugin-opt",
    "--hash-style",
];
/// Options of wasm-ld whose value is in the next word, and the form to join them in.
const JOINED: &[(&str, &str)] = &[
    ("-u", "--undefined="),
    ("--undefined", "--undefined="),
    ("-Map", "--Map="),
    ("--Map", "--Map="),
    ("--wrap", "--wrap="),
    ("-wrap", "--wrap="),
    ("--export", "--export="),
    ("--export-if-defined", "--export-if-defined="),
    ("-y", "--trace-symbol="),
    ("-L", "-L"),
    ("-l", "-l"),
    ("--library-path", "-L"),
    ("--library", "-l"),
    ("-mllvm", "--mllvm="),
];
/// Libraries that the driver supplies itself.
const SUPPLIED: &[&str] =
    &["-lgcc", "-lgcc_s", "-lgcc_eh", "-lssp", "-lssp_nonshared", "-latomic", "-lclang_rt.builtins"];

/// Sorts out the linker's options among the inputs.
pub(crate) fn sort_out(inputs: &[Input]) -> Result<Linker> {
    let mut l = Linker::default();
    let mut it = inputs.iter().peekable();
    while let Some(input) = it.next() {
        let Input::Linker(word) = input else {
            l.args.push(input.clone());
            continue;
        };
        // GNU ld takes one dash for two before a long name.
        let mut next = || match it.peek() {
            Some(Input::Linker(_)) => match it.next() {
                Some(Input::Linker(v)) => Ok(v.clone()),
                _ => unreachable!("just seen"),
            },
            _ => bail!("the linker option '{word}' needs a value"),
        };
        match word.as_str() {
            "" => {}
            "-s" | "--strip-all" | "-strip-all" => l.strip = true,
            "-S" | "--strip-debug" | "-strip-debug" => l.strip_debug = true,
            "--allow-multiple-definition" | "-allow-multiple-definition" | "-zmuldefs" => l.first_definition = true,
            "-T" | "--script" => bail!("'{word} {}': linker scripts cannot be followed", next()?),
            w if w.starts_with("-T")
                && !w.starts_with("-Ttext")
                && !w.starts_with("-Tdata")
                && !w.starts_with("-Tbss")
                || w.starts_with("--script=") =>
            {
                bail!("'{w}': linker scripts cannot be followed")
            }
            w if w == "--defsym" || w.starts_with("--defsym=") || w.starts_with("-defsym") => {
                bail!("'{w}': wasm-ld cannot define symbols on the command line")
            }
            "-shared" | "--shared" | "-Bshareable" => bail!("'{word}': there are no shared libraries"),
            w if SUPPLIED.contains(&w) => l.notes.push(format!("'{w}' is left out: always linked")),
            w if DROPPED_WITH_VALUE.contains(&w) => {
                let v = next()?;
                if w == "-z" && v == "muldefs" {
                    l.first_definition = true;
                } else {
                    l.notes.push(format!("'{w} {v}' is accepted and does nothing: wasm-ld has no such feature"));
                }
            }
            w if JOINED.iter().any(|(o, _)| *o == w) => {
                let (_, form) = JOINED.iter().find(|(o, _)| *o == w).expect("just seen");
                let v = next()?;
                let joined = format!("{form}{v}");
                if SUPPLIED.contains(&joined.as_str()) {
                    l.notes.push(format!("'{joined}' is left out: always linked"));
                } else {
                    l.args.push(Input::Linker(joined));
                }
            }
            "--version" | "-v" | "-V" | "--help" => {
                l.query = true;
                l.args.push(input.clone());
            }
            w if DROPPED.iter().any(|d| d.strip_suffix('*').map_or(w == *d, |p| w.starts_with(p))) => {
                l.notes.push(format!("'{w}' is accepted and does nothing: wasm-ld has no such feature"));
            }
            w => {
                let w = match w.strip_prefix("-u") {
                    Some(symbol) => format!("--undefined={symbol}"),
                    None => match w.strip_prefix("-Map=") {
                        Some(file) => format!("--Map={file}"),
                        None => w.into(),
                    },
                };
                l.args.push(Input::Linker(w));
            }
        }
    }
    Ok(l)
}

/// Whether a linker option's value is the next word.
pub(crate) fn takes_value(option: &str) -> bool {
    DROPPED_WITH_VALUE.contains(&option)
        || JOINED.iter().any(|(o, _)| *o == option)
        || matches!(option, "-T" | "--script" | "--defsym")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linker(words: &str) -> Result<Linker> {
        sort_out(
            &words
                .split_whitespace()
                .map(|w| if w.ends_with(".o") { Input::Object(w.into()) } else { Input::Linker(w.into()) })
                .collect::<Vec<_>>(),
        )
    }

    fn args(words: &str) -> Vec<String> {
        let l = linker(words).unwrap();
        l.args
            .into_iter()
            .map(|a| match a {
                Input::Linker(w) | Input::Object(w) | Input::Source(w, _) => w,
            })
            .collect()
    }

    #[test]
    fn drops_what_means_nothing() {
        let l = linker("--sort-section alignment --start-group -lfoo --end-group -z now -rpath /lib --hash-style=gnu -O1 --as-needed").unwrap();
        assert_eq!(l.args, [Input::Linker("-lfoo".into())]);
        assert_eq!(l.notes.len(), 8);
    }

    #[test]
    fn what_does_nothing_is_said() {
        let l = linker("--push-state --as-needed --pop-state --package-metadata={} -x --version-script=v").unwrap();
        assert!(l.args.is_empty());
        assert!(l.notes.len() == 6 && l.notes.iter().all(|note| note.contains("does nothing")));
    }

    #[test]
    fn the_first_definition_counts_if_asked() {
        for words in ["--allow-multiple-definition", "-z muldefs", "-zmuldefs"] {
            assert!(linker(words).unwrap().first_definition, "{words}");
        }
        assert!(!linker("-z now").unwrap().first_definition);
    }

    #[test]
    fn joins_values() {
        assert_eq!(
            args("-u main -Map x.map --wrap malloc -L lib -l foo"),
            ["--undefined=main", "--Map=x.map", "--wrap=malloc", "-Llib", "-lfoo"]
        );
    }

    #[test]
    fn supplies_the_compiler_library() {
        assert_eq!(args("a.o -lgcc -l gcc_s -lm"), ["a.o", "-lm"]);
    }

    #[test]
    fn strips() {
        assert!(linker("-s").unwrap().strip);
        assert!(linker("--strip-debug").unwrap().strip_debug);
    }

    #[test]
    fn refuses_scripts() {
        assert!(linker("-T x.lds").is_err());
        assert!(linker("--defsym=a=1").is_err());
        assert!(linker("-rpath a.o").is_err());
    }
}
