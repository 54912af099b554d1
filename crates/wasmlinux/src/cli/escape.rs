//! Finds what the person at the terminal types to us, not to the guest: `Ctrl-]` and a letter.

/// `Ctrl-]`.
const ESCAPE: u8 = 0x1d;

/// What was typed to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// `q`: leave.
    Quit,
    /// `z`: suspend this process.
    Suspend,
}

/// Sees everything that is typed, in pieces that may end anywhere.
#[derive(Debug, Default)]
pub(crate) struct Escape {
    begun: bool,
}

impl Escape {
    /// Takes a piece. Adds to `rest` what the guest is to get, and calls `order` for each order.
    /// `Ctrl-]` typed twice is one for the guest; before any other key, the guest gets both.
    pub(crate) fn filter(&mut self, piece: &[u8], rest: &mut Vec<u8>, mut order: impl FnMut(Order)) {
        for &byte in piece {
            match (std::mem::take(&mut self.begun), byte) {
                (false, ESCAPE) => self.begun = true,
                (true, b'q') => order(Order::Quit),
                (true, b'z') => order(Order::Suspend),
                (false, _) | (true, ESCAPE) => rest.push(byte),
                (true, _) => rest.extend([ESCAPE, byte]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Order>) {
        let (mut escape, mut rest, mut orders) = (Escape::default(), Vec::new(), Vec::new());
        for piece in pieces {
            escape.filter(piece, &mut rest, |order| orders.push(order));
        }
        (rest, orders)
    }

    #[test]
    fn orders_are_taken_out() {
        assert_eq!(typed(&[b"ab\x1dqc"]), (b"abc".to_vec(), vec![Order::Quit]));
        assert_eq!(typed(&[b"a\x1d", b"z"]), (b"a".to_vec(), vec![Order::Suspend]));
    }

    #[test]
    fn everything_else_goes_through() {
        assert_eq!(typed(&[b"\x1d\x1dq"]), (b"\x1dq".to_vec(), vec![]));
        assert_eq!(typed(&[b"\x1d", b"x\x03"]), (b"\x1dx\x03".to_vec(), vec![]));
    }
}
