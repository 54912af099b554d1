//! Compiles the kernel and programs ahead of time, and writes the bundle that the product embeds.
#![forbid(unsafe_code)]
use anyhow::{Context, Result};
use clap::Parser;
use std::{fs, path::PathBuf};
use wasmlinux_image::bundle::{Entry, Kind, Writer};

/// Compiles the kernel and programs ahead of time into one file.
#[derive(Parser)]
struct Options {
    /// The kernel, `vmlinux.wasm`
    #[arg(long)]
    kernel: PathBuf,
    /// The base root file system, a cpio archive
    #[arg(long)]
    initramfs: Option<PathBuf>,
    /// A program whose compiled code comes along; may be given often
    #[arg(long = "program")]
    programs: Vec<PathBuf>,
    /// Where the bundle goes
    #[arg(long)]
    output: PathBuf,
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn main() -> Result<()> {
    let options = Options::parse();
    let kernel = wasmlinux_machine::compile_kernel(&read(&options.kernel)?)
        .with_context(|| format!("cannot compile {}", options.kernel.display()))?;
    let initramfs = options.initramfs.as_ref().map(read).transpose()?;
    let mut programs = Vec::new();
    for path in &options.programs {
        let compiled = wasmlinux_machine::compile_program(&read(path)?);
        let (key, code) = compiled.with_context(|| format!("cannot compile {}", path.display()))?;
        programs.push((path.file_name().unwrap_or_default().to_string_lossy(), key, code));
    }

    let empty = Entry { kind: Kind::Extra, name: "", tag: 0, key: [0; 32], data: &[] };
    let mut writer = Writer::new();
    writer.add(Entry { kind: Kind::KernelCode, name: "kernel", data: &kernel.code, ..empty });
    for (at, bytes) in &kernel.data {
        writer.add(Entry { kind: Kind::KernelData, tag: (*at).into(), data: bytes, ..empty });
    }
    for (name, value) in &kernel.symbols {
        writer.add(Entry { kind: Kind::KernelSymbol, name, tag: (*value).into(), ..empty });
    }
    if let Some(initramfs) = &initramfs {
        writer.add(Entry { kind: Kind::Initramfs, name: "base", data: initramfs, ..empty });
    }
    for (name, key, code) in &programs {
        writer.add(Entry { kind: Kind::ProgramCode, name, key: *key, data: code, ..empty });
    }
    let partial = options.output.with_extension("partial");
    fs::write(&partial, writer.finish()).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, &options.output).with_context(|| format!("cannot write {}", options.output.display()))
}
