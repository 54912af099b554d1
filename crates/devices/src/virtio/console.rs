//! The console device: a terminal of one port, bytes both ways.
//!
//! What the guest writes is copied when it notifies, on the processor's thread, as far as the host
//! has room; the rest, and what the host writes, on the threads of the host that read and write the
//! other end.
use super::queue::{Broken, Chain};
use super::{Device, Queues, copy_config};
use crate::pipe::{Moved, Pipe};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The type of the device, and its feature: the size is in the configuration.
const CONSOLE: u32 = 3;
const F_SIZE: u64 = 1 << 0;

/// Queues of the only port, as the driver names them: it receives in the first.
const RX: usize = 0;
const TX: usize = 1;
const QUEUE_SIZE: u16 = 64;

/// Bytes that one buffer of the guest has at most: no driver writes so many at once, and one call
/// must end.
const LONGEST: u64 = 1 << 20;
/// Bytes that are copied at once.
const PART: usize = 4096;

/// A console device. The host's ends are a [`ConsoleReader`] and a [`ConsoleWriter`].
pub struct ConsoleDevice {
    queues: Queues,
    /// Columns and rows.
    size: Mutex<(u16, u16)>,
    to_guest: Pipe,
    to_host: Pipe,
    /// What the guest writes and the host has no room for yet.
    unread: Mutex<Option<Chain>>,
}

impl ConsoleDevice {
    /// A console of so many columns and rows.
    pub fn new(columns: u16, rows: u16) -> (Arc<ConsoleDevice>, ConsoleReader, ConsoleWriter) {
        let device = Arc::new(ConsoleDevice {
            queues: Queues::new(&[QUEUE_SIZE; 2]),
            size: Mutex::new((columns, rows)),
            to_guest: Pipe::default(),
            to_host: Pipe::default(),
            unread: Mutex::default(),
        });
        (device.clone(), ConsoleReader(device.clone()), ConsoleWriter(device))
    }

    /// Tells the guest another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = (columns, rows);
        self.queues.config_changed();
    }

    /// Carries what the guest has written to the host, as far as there is room.
    fn take_output(&self) {
        self.queues.with(TX, |queue| {
            let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
            let mut buffer = [0; PART];
            // As many as there can be: the driver notifies again of what comes meanwhile.
            for _ in 0..=queue.size() {
                let Some(mut chain) = (match unread.take() {
                    Some(chain) => Some(chain),
                    None => queue.pop()?,
                }) else {
                    break;
                };
                if chain.is_writable() || chain.readable() > LONGEST {
                    return Err(Broken);
                }
                loop {
                    let (room, closed) = self.to_host.guest_writable();
                    if room == 0 {
                        // Whoever makes room goes on.
                        *unread = Some(chain);
                        return Ok(());
                    }
                    let part = queue.read(&mut chain, &mut buffer[..room.min(PART)])?;
                    // Nobody else writes, so that all of it has room; without a reader it is
                    // dropped.
                    if part == 0 || closed || self.to_host.guest_write(&buffer[..part]) == Moved::Closed {
                        break;
                    }
                }
                queue.push(chain)?;
            }
            Ok(())
        });
        self.queues.signal();
    }

    /// Carries what the host has written to the guest, as far as it has room.
    fn give_input(&self) {
        self.queues.with(RX, |queue| {
            let mut buffer = [0; PART];
            for _ in 0..queue.size() {
                if !self.to_guest.guest_readable().0 {
                    break;
                }
                let Some(mut chain) = queue.pop()? else { break };
                let room = (chain.writable() as usize).min(PART);
                match self.to_guest.guest_read(&mut buffer[..room]) {
                    Moved::Bytes(len) => {
                        queue.write(&mut chain, &buffer[..len])?;
                        queue.push(chain)?;
                    }
                    // The end of what the host writes, which a console cannot tell; or a buffer
                    // without room.
                    Moved::Again | Moved::Closed => {
                        queue.put_back(chain);
                        break;
                    }
                }
            }
            Ok(())
        });
        self.queues.signal();
    }
}

impl Device for ConsoleDevice {
    fn id(&self) -> u32 {
        CONSOLE
    }

    fn queues(&self) -> &Queues {
        &self.queues
    }

    fn features(&self) -> u64 {
        F_SIZE
    }

    fn read_config(&self, offset: usize, to: &mut [u8]) {
        let (columns, rows) = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        copy_config(&[columns.to_le_bytes(), rows.to_le_bytes()].concat(), offset, to);
    }

    fn ready(&self, _: u64) -> bool {
        self.give_input();
        false
    }

    fn reset(&self) {
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn disconnected(&self) {
        self.to_host.close_writer();
        self.to_guest.close_reader();
    }

    fn notified(&self, queue: usize) -> bool {
        match queue {
            RX => self.give_input(),
            _ => self.take_output(),
        }
        false
    }
}

/// Reads what the guest writes to a console; waits for it. It ends when the machine is off.
pub struct ConsoleReader(Arc<ConsoleDevice>);

impl Read for ConsoleReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let (len, room) = self.0.to_host.host_read(to);
        if room {
            self.0.take_output();
        }
        Ok(len)
    }
}

impl Drop for ConsoleReader {
    fn drop(&mut self) {
        self.0.to_host.close_reader();
        self.0.take_output();
    }
}

/// Writes what the guest reads from a console; waits while the guest has not read what was written
/// before.
pub struct ConsoleWriter(Arc<ConsoleDevice>);

impl Write for ConsoleWriter {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let (len, wake) = self.0.to_guest.host_write(from);
        if wake {
            self.0.give_input();
        }
        len.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ConsoleWriter {
    fn drop(&mut self) {
        self.0.to_guest.close_writer();
    }
}
