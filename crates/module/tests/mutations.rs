//! Damaged modules: whatever a file has in it, it is taken or refused, in bounded time.
use std::time::{Duration, Instant};
use wasmlinux_module::{check, split_kernel};

#[path = "../../../fuzz/entries/module.rs"]
mod entry;

use entry::run as look;

/// A program that has of everything something.
const PROGRAM: &str = r#"(module
    (type $t (func (param i32) (result i64)))
    (import "env" "memory" (memory 2))
    (import "linux" "syscall" (func $syscall (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (table 3 funcref) (elem (i32.const 1) $_start $work)
    (tag $e (param i32))
    (global $__stack_pointer (export "__stack_pointer") (mut i32) (i32.const 0))
    (global $limit f64 (f64.const 1.5))
    (func $_start (export "_start") (param i32) (local v128 f32)
        local.get 0 call $work drop
        block $h (result i32) try_table (catch $e $h) i32.const 1 throw $e end i32.const 0 end drop)
    (func $work (type $t) (local i64 exnref)
        loop $l local.get 0 i32.load offset=8 i32.eqz br_if $l end
        loop $l local.get 0 f32.load drop local.get 0 i32.load8_s drop local.get 0 i64.load32_u drop end
        local.get 0 i64.const 1 i64.atomic.store offset=1000
        local.get 0 i64.const 1 i64.store local.get 0 i64.load local.set 1
        local.get 0 i32.const 1 i32.const 2 i32.atomic.rmw.cmpxchg drop
        local.get 0 if local.get 0 i64.load local.set 1 else i32.const 1 i32.const 2 i32.const 3 memory.fill end
        block $a block $b local.get 0 br_table $a $b $a end end
        v128.const i64x2 1 2 drop local.get 0 i32.const 1 call_indirect (type $t) drop
        i32.const 1 i32.const 0 i32.const 4 memory.init $p data.drop $p
        i32.const 1 i32.const 2 i32.const 3 i32.const 4 i32.const 5 i32.const 6 i32.const 7 call $syscall drop
        local.get 1)
    (data (i32.const 65536) "hello") (data $p "passive"))"#;

const KERNEL: &str = r#"(module
    (import "env" "memory" (memory 2)) (import "machine" "halt" (func))
    (global (export "__stack_pointer") (mut i32) (i32.const 0)) (global (export "boot_info") i32 (i32.const 4096))
    (func (export "boot") loop i32.const 8 i32.load br_if 0 end) (start 1)
    (data (i32.const 65536) "data"))"#;

fn samples() -> [Vec<u8>; 2] {
    let parse = |text: &str| wat::parse_str(text).unwrap();
    let samples = [parse(PROGRAM), parse(KERNEL)];
    check(&samples[0]).unwrap();
    split_kernel(&samples[1]).unwrap();
    samples
}

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

#[test]
fn every_byte_damaged() {
    for whole in samples() {
        for at in 0..whole.len() {
            for value in [0, 1, 0x0b, 0x40, 0x7f, 0x80, 0xfe, 0xff, whole[at] ^ 1, whole[at].wrapping_add(1)] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                look(&damaged);
            }
        }
    }
}

#[test]
fn every_length() {
    let [program, kernel] = samples();
    let taken = (0..program.len()).filter(|length| check(&program[..*length]).is_ok()).count();
    // Only the names, at the end, may be missing: even of the data code knows that it is there.
    assert_eq!(taken, 1);
    (0..kernel.len()).for_each(|length| look(&kernel[..length]));
}

#[test]
fn random_damage() {
    let (samples, end) = (samples(), Instant::now() + Duration::from_secs(5));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..20_000 {
        if Instant::now() > end {
            println!("{round} rounds in the time");
            break;
        }
        let mut damaged = samples[random.below(2)].clone();
        for _ in 0..=random.below(4) {
            let (at, other) = (random.below(damaged.len()), random.below(damaged.len()));
            let piece: Vec<u8> = damaged.iter().copied().skip(other).take(random.below(24)).collect();
            match random.below(5) {
                0 => damaged[at] = random.below(256) as u8,
                1 => damaged[at] ^= 1 << random.below(8),
                2 => drop(damaged.splice(at..at, piece)),
                3 => drop(damaged.drain(at..(at + piece.len()).min(damaged.len()))),
                // The largest number of 32 bits, where perhaps another was.
                _ => drop(damaged.splice(at..at + 1, [0xff, 0xff, 0xff, 0xff, 0x0f])),
            }
        }
        look(&damaged);
    }
}

#[test]
fn deep_and_wide() {
    let program = |code: &str| {
        let text = format!(r#"(module (func (export "_start") (param i32) {code}))"#);
        wat::parse_str(text).unwrap()
    };
    let started = Instant::now();
    look(&program(&("block ".repeat(50_000) + &"end ".repeat(50_000))));
    look(&program(&("loop local.get 0 i32.const 0 local.set 0 drop ".repeat(20_000) + &"end ".repeat(20_000))));
    look(&program(&("local.get 0 if ".repeat(20_000) + &"else end ".repeat(20_000))));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
