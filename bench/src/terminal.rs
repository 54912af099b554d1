//! A person at a terminal who types and looks: a program behind a pseudoterminal.
use anyhow::{Context, Result, bail};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command};

/// O_NOCTTY of Linux on every architecture but a few old ones: the terminal is not to become this
/// process's own.
const O_NOCTTY: i32 = 0o400;

/// A program in a terminal of its own; killed when dropped.
pub(crate) struct Terminal {
    master: File,
    child: Child,
    screen: Vec<u8>,
}

impl Terminal {
    /// Starts it.
    pub(crate) fn run(command: &Command) -> Result<Terminal> {
        let master = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("no pseudoterminal")?);
        grantpt(&master).and_then(|()| unlockpt(&master)).context("no pseudoterminal")?;
        let path = OsString::from_vec(ptsname(&master, Vec::new())?.into_bytes());
        let slave = OpenOptions::new().read(true).write(true).custom_flags(O_NOCTTY).open(path)?;
        // Makes the terminal the session's own, which the standard library cannot; then it is the
        // program.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args()).env("TERM", "xterm");
        let (input, output) = (slave.try_clone()?, slave.try_clone()?);
        let child = session.stdin(input).stdout(output).stderr(slave).spawn().context("cannot run setsid")?;
        Ok(Terminal { master, child, screen: vec![] })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types this.
    pub(crate) fn type_in(&mut self, keys: &str) -> Result<()> {
        Ok(self.master.write_all(keys.as_bytes())?)
    }

    /// Waits until this is shown; what was shown until then is forgotten.
    pub(crate) fn expect(&mut self, text: &str) -> Result<()> {
        let mut piece = [0; 4096];
        loop {
            if let Some(at) = self.screen.windows(text.len()).position(|part| part == text.as_bytes()) {
                self.screen.drain(..at + text.len());
                return Ok(());
            }
            match self.master.read(&mut piece) {
                Ok(n) if n > 0 => self.screen.extend(&piece[..n]),
                _ => bail!("{text:?} was not shown, but {:?}", String::from_utf8_lossy(&self.screen)),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
