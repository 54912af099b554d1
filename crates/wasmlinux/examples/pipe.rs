//! The debug channel that this project began with: a process of the guest that is driven from here
//! makes a pipe, a program runs with the pipe's writing end as its output, and we print what
//! arrives while it arrives.
//!
//! ```text
//! cargo run --release --example pipe
//! ```
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::thread;
use std::time::{Duration, Instant};
use wasmlinux::{Machine, Stdio, flags};

fn main() -> Result<(), Box<dyn Error>> {
    let machine = Machine::builder().boot()?;
    let task = machine.host_task()?;
    let (read_end, write_end) = task.pipe2(flags::O_CLOEXEC)?;

    // The program has a writing end of its own: once the task's is closed, the pipe ends when the
    // program does.
    let output = Stdio::descriptor(&task, write_end);
    let mut program = machine.command("cat").stdin(Stdio::piped()).stdout(output).spawn()?;
    task.close(write_end)?;

    // It gets something to say now and then.
    let input = program.stdin.take();
    let feeder = thread::spawn(move || -> std::io::Result<()> {
        for (mut input, number) in input.iter().cycle().zip(1..=5) {
            writeln!(input, "line {number} through a pipe of the guest")?;
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    });

    let start = Instant::now();
    for line in BufReader::new(task.reader(read_end)).lines() {
        println!("{:5} ms: {}", start.elapsed().as_millis(), line?);
    }
    println!("the program ended: {}", program.wait()?);
    feeder.join().map_err(|_| "the feeder panicked")??;
    machine.shutdown()?;
    Ok(())
}
