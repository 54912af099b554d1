//! Boots a bundle with nothing but a console: `boot BUNDLE [COMMAND-LINE]`. For work on the kernel.
use std::{io::Write, path::PathBuf, time::Instant};
use wasmlinux_machine::{Config, Guest, Machine};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: boot BUNDLE [COMMAND-LINE]")?);
    // A developer's own file stands in for the executable's bundle.
    // SAFETY: named by who builds it.
    let guest = unsafe { Guest::load(std::fs::read(path)?.leak())? };
    let started = Instant::now();
    let machine = Machine::power_on(Config {
        cmdline: arguments.next().unwrap_or_else(|| "console=hvc0 loglevel=7".into()),
        initramfs: vec![guest.initramfs().into()],
        console: Box::new(|text| {
            let _ = std::io::stderr().write_all(text);
        }),
        ..Config::new(256 << 20, guest)
    })?;
    let outcome = machine.wait();
    eprintln!("{outcome:?} after {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}
