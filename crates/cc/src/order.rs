//! Whether the memory accesses of a module are still in their order.
//!
//! Each access of a module that `hidden.rs` made has a number. Wherever one follows another in a
//! straight line after Binaryen, it must have been able to follow it before: by a line, or over the
//! ends and beginnings of blocks, as Binaryen joins and parts those.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail};
use wasmparser::{FunctionBody, Operator, Parser, Payload};

use crate::hidden;

/// A point in the code of a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Point {
    Access(u32),
    /// A place that branches lead to, or the function's begin.
    Label(u32),
}

/// Which point follows which, without another between.
#[derive(Default)]
struct Graph {
    next: HashMap<Point, Vec<Point>>,
    labels: u32,
}

/// A structure that is open.
struct Structure {
    /// Where branches to it lead.
    target: Point,
    /// Where the condition of an `if` was decided, until its `else`.
    condition: Option<Point>,
    /// Where exceptions thrown in a `try` lead, until its first `catch`.
    catch: Option<Point>,
    is_loop: bool,
}

/// Fails unless the accesses of `after` are in the order of those in `before`, both with hidden
/// accesses.
pub(crate) fn check(before: &[u8], after: &[u8]) -> Result<()> {
    let mut graph = Graph::default();
    bodies(before, |body, numbers| graph.add(body, numbers))?;
    let mut pairs = HashSet::new();
    bodies(after, |body, numbers| straight_lines(body, numbers, &mut pairs))?;
    for (first, second) in pairs {
        if !graph.follows(first, second) {
            bail!(
                "wasm-opt has changed the order of memory accesses ({first}, {second}): this version must not be used"
            );
        }
    }
    Ok(())
}

/// Hands over the body of each function, and the access that each import stands for.
fn bodies(wasm: &[u8], mut visit: impl FnMut(&FunctionBody<'_>, &[Option<u32>]) -> Result<()>) -> Result<()> {
    let numbers = hidden::numbers(wasm)?;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload? {
            visit(&body, &numbers)?;
        }
    }
    Ok(())
}

/// The access that an operator stands for.
fn access(operator: &Operator<'_>, numbers: &[Option<u32>]) -> Option<u32> {
    let Operator::Call { function_index } = operator else { return None };
    *numbers.get(*function_index as usize)?
}

/// Collects the accesses that follow another with no branch and no label between.
fn straight_lines(body: &FunctionBody<'_>, numbers: &[Option<u32>], pairs: &mut HashSet<(u32, u32)>) -> Result<()> {
    let mut last = None;
    for operator in body.get_operators_reader()? {
        let operator = operator?;
        match (access(&operator, numbers), &operator) {
            (Some(number), _) => {
                pairs.extend(last.map(|last| (last, number)));
                last = Some(number);
            }
            (
                None,
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::End
                | Operator::Try { .. }
                | Operator::Catch { .. }
                | Operator::CatchAll
                | Operator::Delegate { .. }
                | Operator::TryTable { .. }
                | Operator::Br { .. }
                | Operator::BrIf { .. }
                | Operator::BrTable { .. }
                | Operator::Return
                | Operator::Unreachable
                | Operator::Throw { .. }
                | Operator::ThrowRef
                | Operator::Rethrow { .. },
            ) => last = None,
            _ => {}
        }
    }
    Ok(())
}

impl Graph {
    fn label(&mut self) -> Point {
        self.labels += 1;
        Point::Label(self.labels)
    }

    fn edge(&mut self, from: Option<Point>, to: Point) {
        if let Some(from) = from
            && from != to
        {
            let next = self.next.entry(from).or_default();
            if !next.contains(&to) {
                next.push(to);
            }
        }
    }

    /// Adds the code of a function.
    fn add(&mut self, body: &FunctionBody<'_>, numbers: &[Option<u32>]) -> Result<()> {
        let mut here = Some(self.label());
        let function = self.label();
        let mut open = vec![Structure { target: function, condition: None, catch: None, is_loop: false }];
        let target = |open: &[Structure], depth: u32| open.iter().nth_back(depth as usize).map(|s| s.target);
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            if let Some(number) = access(&operator, numbers) {
                self.edge(here, Point::Access(number));
                here = here.map(|_| Point::Access(number));
                continue;
            }
            match operator {
                Operator::Block { .. } | Operator::Try { .. } | Operator::If { .. } | Operator::Loop { .. } => {
                    let label = self.label();
                    let is_loop = matches!(operator, Operator::Loop { .. });
                    if is_loop {
                        self.edge(here, label);
                        here = here.map(|_| label);
                    }
                    let condition = here.filter(|_| matches!(operator, Operator::If { .. }));
                    let catch = matches!(operator, Operator::Try { .. }).then(|| self.label());
                    open.push(Structure { target: label, condition, catch, is_loop });
                }
                Operator::TryTable { .. } | Operator::ThrowRef => bail!("an exception in the standard encoding"),
                Operator::Else => {
                    let Some(inner) = open.last_mut() else { bail!("an else without an if") };
                    let (label, condition) = (inner.target, inner.condition.take());
                    self.edge(here, label);
                    here = condition;
                }
                Operator::Catch { .. } | Operator::CatchAll => {
                    let Some(inner) = open.last_mut() else { bail!("a catch without a try") };
                    let (label, catch) = (inner.target, inner.catch);
                    self.edge(here, label);
                    // Further clauses begin at the same place.
                    here = catch;
                }
                Operator::End | Operator::Delegate { .. } => {
                    let Some(ended) = open.pop() else { bail!("an end without a begin") };
                    if !ended.is_loop {
                        self.edge(here, ended.target);
                        self.edge(ended.condition, ended.target);
                        // A try without catches hands on what is thrown.
                        if let (Some(from), Some(to)) = (ended.catch, open.iter().rev().find_map(|s| s.catch)) {
                            self.edge(Some(from), to);
                        }
                        here = Some(ended.target);
                    }
                }
                Operator::Br { relative_depth } => {
                    if let Some(to) = target(&open, relative_depth) {
                        self.edge(here, to);
                    }
                    here = None;
                }
                Operator::BrIf { relative_depth } => {
                    if let Some(to) = target(&open, relative_depth) {
                        self.edge(here, to);
                    }
                }
                Operator::BrTable { targets } => {
                    for depth in targets.targets().chain([Ok(targets.default())]) {
                        if let Some(to) = target(&open, depth?) {
                            self.edge(here, to);
                        }
                    }
                    here = None;
                }
                Operator::Return => {
                    self.edge(here, function);
                    here = None;
                }
                Operator::Unreachable => here = None,
                Operator::Call { .. } | Operator::CallIndirect { .. } => {
                    for to in open.iter().filter_map(|s| s.catch).collect::<Vec<_>>() {
                        self.edge(here, to);
                    }
                }
                Operator::Throw { .. } | Operator::Rethrow { .. } => {
                    for to in open.iter().filter_map(|s| s.catch).collect::<Vec<_>>() {
                        self.edge(here, to);
                    }
                    here = None;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the access `second` can be the next one after `first`.
    fn follows(&self, first: u32, second: u32) -> bool {
        let (from, to) = (Point::Access(first), Point::Access(second));
        let mut todo = vec![from];
        let mut seen = HashSet::new();
        while let Some(point) = todo.pop() {
            for next in self.next.get(&point).into_iter().flatten() {
                if *next == to {
                    return true;
                }
                if matches!(next, Point::Label(_)) && seen.insert(*next) {
                    todo.push(*next);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden::tests::{at, module};
    use wasm_encoder::{BlockType, InstructionSink};

    /// Whether the accesses of `after` keep to the order of `before`. An access's offset is its
    /// number: they are in this order in `before`.
    fn keeps(before: &dyn Fn(&mut InstructionSink<'_>), after: &dyn Fn(&mut InstructionSink<'_>)) -> bool {
        let (before, after) = (module(&[before]), module(&[after]));
        let (before, mut after) = (hidden::hide(&before).unwrap(), hidden::hide(&after).unwrap());
        // In `after` they are hidden in the order they have there.
        after.renumber();
        check(&before.wasm, &after.wasm).is_ok()
    }

    fn load(i: &mut InstructionSink<'_>, number: u64) {
        i.local_get(0).i32_load(at(number)).drop();
    }

    #[test]
    fn an_exchange_is_found() {
        let before = |i: &mut InstructionSink<'_>| (0..3).for_each(|n| load(i, n));
        assert!(keeps(&before, &before));
        assert!(!keeps(&before, &|i| [0, 2, 1].into_iter().for_each(|n| load(i, n))));
        // One that is left out.
        assert!(!keeps(&before, &|i| [0, 2].into_iter().for_each(|n| load(i, n))));
        // Doubled.
        assert!(!keeps(&before, &|i| [0, 0, 1, 2].into_iter().for_each(|n| load(i, n))));
    }

    #[test]
    fn blocks_may_be_joined_and_parted() {
        let before = |i: &mut InstructionSink<'_>| {
            i.block(BlockType::Empty);
            load(i, 0);
            i.local_get(0).br_if(0);
            load(i, 1);
            i.end();
            load(i, 2);
            i.loop_(BlockType::Empty);
            load(i, 3);
            i.local_get(0).br_if(0).end();
            i.local_get(0).if_(BlockType::Empty);
            load(i, 4);
            i.else_();
            load(i, 5);
            i.end();
            load(i, 6);
        };
        for line in [&[0, 2, 3, 3, 4, 6][..], &[0, 1, 2, 3, 5, 6], &[4, 6, 0, 1, 2]] {
            let after = |i: &mut InstructionSink<'_>| {
                for n in line {
                    load(i, *n);
                    if *n == 6 {
                        i.return_();
                    }
                }
            };
            assert!(keeps(&before, &after), "{line:?}");
        }
        for line in [&[1, 3][..], &[0, 3], &[4, 5], &[3, 6], &[2, 1]] {
            assert!(!keeps(&before, &|i| line.iter().for_each(|n| load(i, *n))), "{line:?}");
        }
    }

    #[test]
    fn a_catch_follows_calls() {
        let before = |i: &mut InstructionSink<'_>| {
            i.try_(BlockType::Empty);
            load(i, 0);
            i.call(1);
            load(i, 1);
            i.catch_all();
            load(i, 2);
            i.end();
        };
        assert!(keeps(&before, &|i| [0, 2].into_iter().for_each(|n| load(i, n))));
        assert!(!keeps(&before, &|i| [1, 2].into_iter().for_each(|n| load(i, n))));
    }
}
