//! Damaged copies of good inputs, the same ones each time, for the ordinary tests: a bounded run of
//! what a fuzz target calls.
use std::time::{Duration, Instant};

/// Runs of one test, and for how long at most.
const RUNS: u32 = 20_000;
const TIME: Duration = Duration::from_secs(3);

/// Numbers that look random: Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// Calls `run` with the seeds, with what is left of them at each length, and with damaged ones.
pub(crate) fn of(seeds: &[Vec<u8>], run: impl Fn(&[u8])) {
    let end = Instant::now() + TIME;
    for seed in seeds {
        run(seed);
        (0..seed.len().min(2000)).for_each(|length| run(&seed[..length]));
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in (0..RUNS).take_while(|_| Instant::now() < end) {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(5) {
            let at = random.below(bytes.len());
            let other = seeds[random.below(seeds.len())].iter().copied().skip(random.below(64));
            let piece: Vec<u8> = other.take(random.below(40)).collect();
            match random.below(6) {
                _ if bytes.is_empty() => bytes.extend(piece),
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'f'][random.below(7)],
                3 => drop(bytes.splice(at..at, piece)),
                4 => drop(bytes.drain(at..(at + piece.len()).min(bytes.len()))),
                _ => bytes.truncate(at),
            }
        }
        run(&bytes);
    }
}
