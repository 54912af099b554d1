//! Errors, and how a machine ended, as its process tells them.
use super::*;
use crate::Outcome;
use std::error::Error;
use std::fmt::{Display, Formatter, Result};
use wasmlinux_boundary::{Message, Received};
use wasmlinux_devices::Panic;
use wasmlinux_machine::{Cause, Failure};

/// An error of a machine's process. Its causes are such errors too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApartError {
    text: String,
    cause: Option<Box<ApartError>>,
}

/// An error and its causes that are told, at most.
const CHAIN_MAX: usize = 8;

impl Display for ApartError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.text)
    }
}

impl Error for ApartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// Puts an error and its causes into a message.
pub(super) fn put_error(message: &mut Message, error: &(dyn Error + 'static)) {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<_> = chain.take(CHAIN_MAX).map(|error| error.to_string().replace('\0', "\\0")).collect();
    message.list(FIELD_ERROR, texts.iter().map(|text| &text.as_bytes()[..text.len().min(TEXT_MAX / CHAIN_MAX)]));
}

/// The error in a message.
pub(super) fn error(message: &Received) -> ApartError {
    let texts = message.field(FIELD_ERROR).and_then(|field| field.list()).unwrap_or_default();
    let texts: Vec<_> = texts.into_iter().take(CHAIN_MAX).map(String::from_utf8_lossy).collect();
    let chain = texts.into_iter().rev().fold(None, |cause: Option<ApartError>, text| {
        Some(ApartError { text: text.into_owned(), cause: cause.map(Box::new) })
    });
    chain.unwrap_or_else(|| ApartError { text: "the machine's process does not say why".into(), cause: None })
}

/// Ways to end, and reasons to fail. A failure that has no number here is told as one of a task.
const OFF: u32 = 0;
const HALT: u32 = 1;
const REBOOT: u32 = 2;
const PANIC: u32 = 3;
const UNPLUGGED: u32 = 4;
const FAILED: u32 = 5;
const BY_PANIC: u32 = 0;
const AT_START: u32 = 1;
const IN_TASK: u32 = 2;
const AT_UNMAP: u32 = 3;
const NO_TASK: u32 = 4;
const AT_POWER_OFF: u32 = 5;

/// Puts into a message how the machine ended.
pub(super) fn put_outcome(message: &mut Message, outcome: &Outcome) {
    let code = match outcome {
        Outcome::Off => OFF,
        Outcome::Halt => HALT,
        Outcome::Reboot => REBOOT,
        Outcome::Panic => PANIC,
        Outcome::Unplugged => UNPLUGGED,
        _ => FAILED,
    };
    message.words(FIELD_CODE, &[code]);
    let Outcome::Failed(why) = outcome else { return };
    let (reason, number) = match why {
        Failure::Panic(Panic(text)) => {
            message.words(FIELD_REASON, &[BY_PANIC, 0]).bytes(FIELD_TEXT, cut(text));
            return;
        }
        Failure::Start(_) => (AT_START, 0),
        Failure::Unmap => (AT_UNMAP, 0),
        Failure::NoTask(task) => (NO_TASK, *task),
        Failure::PowerOff(how) => (AT_POWER_OFF, *how),
        _ => (IN_TASK, 0),
    };
    message.words(FIELD_REASON, &[reason, number]);
    put_error(message, why);
}

/// How the machine ended, by a message.
pub(super) fn outcome(message: &Received) -> Outcome {
    match message.words(FIELD_CODE) {
        Ok([OFF]) => Outcome::Off,
        Ok([HALT]) => Outcome::Halt,
        Ok([REBOOT]) => Outcome::Reboot,
        Ok([PANIC]) => Outcome::Panic,
        Ok([UNPLUGGED]) => Outcome::Unplugged,
        _ => Outcome::Failed(match message.words(FIELD_REASON) {
            Ok([BY_PANIC, _]) => Failure::Panic(Panic(text(message))),
            Ok([AT_START, _]) => Failure::Start(Cause::new(error(message))),
            Ok([AT_UNMAP, _]) => Failure::Unmap,
            Ok([NO_TASK, task]) => Failure::NoTask(task),
            Ok([AT_POWER_OFF, how]) => Failure::PowerOff(how),
            _ => Failure::Task(Cause::new(error(message))),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn sent(message: Message) -> Received {
        Received::read(&mut message.finish().unwrap().as_slice(), u32::MAX).unwrap().unwrap()
    }

    #[test]
    fn an_end_is_the_same_in_the_other_process() {
        let host = wasmlinux_machine::Error::Timer(io::Error::from_raw_os_error(11));
        let told = ["it\0stops", "because"].iter().rev().fold(None, |cause: Option<ApartError>, text| {
            Some(ApartError { text: text.replace('\0', "\\0"), cause: cause.map(Box::new) })
        });
        for outcome in [
            Outcome::Off,
            Outcome::Halt,
            Outcome::Reboot,
            Outcome::Panic,
            Outcome::Unplugged,
            Outcome::Failed(Failure::Panic(Panic("provoked".into()))),
            Outcome::Failed(Failure::Start(Cause::new(host))),
            Outcome::Failed(Failure::Task(Cause::new(told.unwrap()))),
            Outcome::Failed(Failure::Unmap),
            Outcome::Failed(Failure::NoTask(7)),
            Outcome::Failed(Failure::PowerOff(u32::MAX)),
        ] {
            let mut message = Message::new(ENDED, 0);
            put_outcome(&mut message, &outcome);
            assert_eq!(super::outcome(&sent(message)), outcome);
        }
    }

    #[test]
    fn a_chain_of_causes_has_an_end() {
        let texts = vec![b"again".as_slice(); 1000];
        let mut message = Message::new(REFUSED, 0);
        message.list(FIELD_ERROR, texts);
        let error = error(&sent(message));
        assert_eq!(std::iter::successors(Some(&error as &dyn Error), |&error| error.source()).count(), CHAIN_MAX);
        assert!(super::error(&sent(Message::new(REFUSED, 0))).to_string().contains("does not say"));
    }
}
