//! Random hostile programs: valid modules that do what they like with memory, exceptions, indirect
//! calls, timers and system calls.
use std::fmt::Write;

/// Numbers by a seed: xorshift64* (Vigna, 2016).
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one.
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Functions of a program, beside `_start` and `_signal`.
const FUNCTIONS: u64 = 6;
/// Local variables of each: numbers, then references to exceptions.
const NUMBERS: u64 = 4;
const REFERENCES: u64 = 2;
/// Addresses that are worth trying: pages that are there, edges, wild ones.
const ADDRESSES: [i32; 12] = [65536, 65540, 131_064, 196_604, 196_608, 0, 4, -1, -4, -65536, 0x3000_0000, 0x7fff_fffc];

/// A program under construction.
struct Writer<'a> {
    random: &'a mut Random,
    text: String,
    /// What may still be written: programs are short.
    budget: u32,
}

impl Writer<'_> {
    fn put(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// An expression that gives an i32.
    fn value(&mut self, depth: u32) {
        self.budget = self.budget.saturating_sub(1);
        if depth == 0 || self.budget == 0 {
            let (local, constant) = (self.random.below(NUMBERS), self.random.pick(&ADDRESSES));
            let small = self.random.below(64);
            let choice =
                [format!("(local.get {local})"), format!("(i32.const {constant})"), format!("(i32.const {small})")];
            let at = self.random.below(3) as usize;
            return self.put(&choice[at]);
        }
        match self.random.below(10) {
            0 => self.unary("i32.load", depth),
            1 => self.unary("i32.load8_u", depth),
            2 => self.unary("i32.atomic.load", depth),
            3 => self.binary("i32.div_s", depth),
            4 => self.binary("i32.rem_u", depth),
            5 => self.unary("i32.trunc_f64_s (f64.convert_i32_u", depth),
            6 => {
                self.put("(call_indirect (type $f)");
                self.value(depth - 1);
                self.value(depth - 1);
                self.put(")");
            }
            7 => {
                let function = self.random.below(FUNCTIONS);
                self.put(format!("(call $f{function}"));
                self.value(depth - 1);
                self.put(")");
            }
            8 => self.syscall(depth),
            _ => {
                let operator = self.random.pick(&["i32.add", "i32.sub", "i32.mul", "i32.shl", "i32.xor", "i32.lt_u"]);
                self.binary(operator, depth);
            }
        }
    }

    fn unary(&mut self, operator: &str, depth: u32) {
        self.put(format!("({operator}"));
        self.value(depth - 1);
        self.put(")".repeat(operator.matches('(').count() + 1));
    }

    fn binary(&mut self, operator: &str, depth: u32) {
        self.put(format!("({operator}"));
        self.value(depth - 1);
        self.value(depth - 1);
        self.put(")");
    }

    /// Any system call but those that would end what watches: the program is nobody's, in a session
    /// of its own.
    fn syscall(&mut self, depth: u32) {
        let mut number = self.random.below(460);
        // sched_setscheduler and its kin are let be: a program above all others is a full stop, not
        // a fault.
        if [118, 119, 274].contains(&number) {
            number = 172;
        }
        self.put(format!("(call $sys (i32.const {number})"));
        for _ in 0..6 {
            let depth = u32::from(self.random.below(4) == 0).min(depth - 1);
            self.value(depth);
        }
        self.put(")");
    }

    fn statement(&mut self, depth: u32) {
        self.budget = self.budget.saturating_sub(1);
        if depth == 0 || self.budget == 0 {
            return;
        }
        let (local, reference) = (self.random.below(NUMBERS), NUMBERS + self.random.below(REFERENCES));
        match self.random.below(12) {
            0 | 1 => self.binary("i32.store", depth),
            2 => {
                self.put("(memory.fill");
                for _ in 0..3 {
                    self.value(depth - 1);
                }
                self.put(")");
            }
            3 => {
                self.put("(memory.copy");
                for _ in 0..3 {
                    self.value(depth - 1);
                }
                self.put(")");
            }
            4 => {
                self.put("(throw $e");
                self.value(depth - 1);
                self.put(")");
            }
            5 => {
                self.put(format!("(local.set {local} (block $h (result i32) (try_table (catch $e $h)"));
                self.statements(depth - 1);
                self.put(") (i32.const 0)))");
            }
            6 => {
                self.put(format!("(local.set {reference} (block $h (result exnref) (try_table (catch_all_ref $h)"));
                self.statements(depth - 1);
                self.put(format!(") (local.get {reference})))"));
            }
            7 => self.put(format!(
                "(if (i32.lt_u (local.get {local}) (i32.const 9)) (then (throw_ref (local.get {reference}))))"
            )),
            8 => {
                // A loop that ends: the counter is nobody else's.
                let count = self.random.below(200);
                self.put(format!("(local.set $count (i32.const {count})) (loop $l"));
                self.statements(depth - 1);
                self.put("(br_if $l (i32.gt_s (local.tee $count (i32.sub (local.get $count) (i32.const 1))) (i32.const 0))))");
            }
            9 => {
                let us = self.random.below(900) + 50;
                self.put(format!("(call $every (i32.const {us}))"));
            }
            10 => {
                let signal = self.random.pick(&[11, 8, 4, 14, 10]);
                self.put(format!("(call $handle (i32.const {signal}))"));
            }
            _ => {
                self.put(format!("(local.set {local}"));
                self.value(depth - 1);
                self.put(")");
            }
        }
    }

    fn statements(&mut self, depth: u32) {
        for _ in 0..=self.random.below(4) {
            self.statement(depth);
        }
    }
}

/// A program by a seed, in the text format.
pub fn program(seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut writer = Writer { random: &mut random, text: String::new(), budget: 0 };
    writer.put("(module (prelude) (type $f (func (param i32) (result i32))) (tag $e (param i32))");
    writer.put("(global $depth (mut i32) (i32.const 0))");
    let locals = format!(
        "(local {} {}) (local $count i32)",
        "i32 ".repeat(NUMBERS as usize - 1),
        "exnref ".repeat(REFERENCES as usize)
    );
    for function in 0..FUNCTIONS {
        writer.budget = 60;
        writer.put(format!("(func $f{function} (param i32) (result i32) {locals}"));
        writer.put("(if (i32.gt_u (global.get $depth) (i32.const 40)) (then (return (i32.const 1))))");
        writer.put("(global.set $depth (i32.add (global.get $depth) (i32.const 1)))");
        writer.statements(4);
        writer.put("(global.set $depth (i32.sub (global.get $depth) (i32.const 1)))");
        writer.value(3);
        writer.put(")");
    }
    let mut table = String::new();
    for function in 0..FUNCTIONS {
        let _ = write!(table, "$f{function} ");
    }
    writer.put(format!("(table 9 funcref) (elem (i32.const 0) {table} $exit)"));
    writer.budget = 20;
    writer.put(format!("(func $handler (param i32) {locals}"));
    writer.statements(3);
    writer.put(")");
    writer.put(r#"(func (export "_signal") (result i32) (call $handler (i32.const 1)) (call $sigreturn))"#);
    writer.put(r#"(func $child (export "_fork_child") (drop (call $f1 (i32.const 1))) (call $exit (i32.const 0)))"#);
    // Nobody, in a session of its own, with few processes and no more than seconds.
    writer.put(
        r#"(func (export "_start") (param i32)
             (drop (call $sys1 (i32.const 157) (i32.const 0)))
             (drop (call $sys1 (i32.const 144) (i32.const 1000)))
             (drop (call $sys1 (i32.const 146) (i32.const 1000)))
             (i32.store (i32.const 130080) (i32.const 30))
             (i32.store (i32.const 130088) (i32.const 30))
             (drop (call $sys (i32.const 261) (i32.const 0) (i32.const 6) (i32.const 130080) (i32.const 0) (i32.const 0)
               (i32.const 0)))
             (drop (call $f0 (i32.const 3)))
             (global.set $depth (i32.const 0))
             (drop (call $f1 (i32.const 65536)))
             (call $exit (i32.const 0))))"#,
    );
    writer.text
}
