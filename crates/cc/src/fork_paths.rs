//! Which functions of a linked module may reach fork, and so must be able to unwind.
//!
//! A function may reach fork if it calls one that may: directly, or through a pointer where a
//! function of the same type that may has its address taken. That alone takes in most of a program
//! (every `int (*)(void *, void *)`), so `quiet.list` names functions of libc whose calls through
//! pointers never fork: stdio's, and those that call what the program handed to qsort, atexit and
//! the like, unless it handed one that may fork. A program adds its own list. If a list is wrong,
//! fork traps: it never runs code twice.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use wasm_encoder::{Module, NameMap, NameSection};
use wasmlinux_boundary::program::NAME_SECTION;
use wasmlinux_module::{
    code::{Instruction, instructions},
    sections::copy,
};
use wasmparser::{ElementItems, ElementKind, FuncType, KnownCustom, Name, Operator, Parser, Payload, TypeRef};

use crate::data;

/// Calls signal handlers, from the wrapper of system calls: a fork in one needs every path.
const HANDLER_CALLER: &str = "__call_handler";

/// Functions whose calls through pointers never fork.
#[derive(Debug)]
pub(crate) struct Quiet {
    /// Of libc, whatever the program does.
    libc: HashSet<&'static str>,
    /// Of libc, unless the program hands a function that forks to it.
    groups: Vec<Group>,
    /// Anybody's.
    program: HashSet<String>,
}

/// A line of `quiet.list` with a colon.
#[derive(Debug)]
struct Group {
    /// What the program hands a function to.
    registrars: HashSet<&'static str>,
    /// What calls that function then.
    callers: HashSet<&'static str>,
}

impl Quiet {
    /// libc's own list; `fork_in_handler` if signal handlers fork that are not seen to.
    pub(crate) fn new(fork_in_handler: bool) -> Self {
        let mut quiet = Quiet { libc: HashSet::new(), groups: Vec::new(), program: HashSet::new() };
        for line in include_str!("quiet.list").lines().filter(|l| !l.starts_with('#')) {
            match line.split_once(':') {
                Some((registrars, callers)) => quiet.groups.push(Group {
                    registrars: registrars.split_whitespace().collect(),
                    callers: callers.split_whitespace().collect(),
                }),
                None => quiet.libc.extend(line.split_whitespace()),
            }
        }
        if fork_in_handler {
            quiet.groups.retain(|group| !group.callers.contains(HANDLER_CALLER));
        }
        quiet
    }

    /// Adds names of the program's, separated by white space; a line that begins with `#` is a
    /// comment.
    pub(crate) fn add(&mut self, text: &str) {
        self.program
            .extend(text.lines().filter(|l| !l.starts_with('#')).flat_map(str::split_whitespace).map(String::from));
    }

    fn has(&self, f: &Func) -> bool {
        let name = f.name.as_str();
        let of_libc = || self.libc.contains(name) || self.groups.iter().any(|g| g.callers.contains(name));
        self.program.contains(name) || (f.libc && of_libc())
    }
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ForkPaths {
    /// The functions that may reach fork.
    pub(crate) names: Vec<String>,
    /// How many functions there are.
    pub(crate) functions: usize,
    /// The module with function names made unique, as `names` has them, and without debugging
    /// information.
    pub(crate) named: Vec<u8>,
}

#[derive(Debug, Default, Clone)]
struct Func {
    name: String,
    ty: u32,
    /// It is libc's, not the program's.
    libc: bool,
    calls: Vec<u32>,
    /// Types of its calls through pointers.
    indirect: HashSet<u32>,
    /// Functions whose addresses stand in its code.
    addresses: Vec<u32>,
}

#[derive(Debug, Default)]
struct Graph {
    funcs: Vec<Func>,
    /// How many of them are imports; they come first.
    imported: usize,
    types: Vec<FuncType>,
    /// Functions whose address is taken, by that address.
    table: HashMap<u32, u32>,
    taken: HashSet<u32>,
    /// Asyncify's functions: those that begin and those that end an unwinding.
    starts: HashSet<u32>,
    ends: HashSet<u32>,
}

/// Finds the functions of `wasm`, fresh from wasm-ld, that may reach fork. `map` is wasm-ld's map
/// of it; `libc` says of a file in that whether it is libc's.
pub(crate) fn find(wasm: &[u8], map: &str, libc: impl Fn(&str) -> bool, mut quiet: Quiet) -> Result<ForkPaths> {
    let mut graph = Graph::read(wasm)?;
    graph.read_map(map, libc);
    let reach = loop {
        let reach = graph.reach(&quiet);
        let before = quiet.groups.len();
        quiet.groups.retain(|group| !graph.hands(group, &reach));
        if quiet.groups.len() == before {
            break reach;
        }
    };
    let mut used = HashMap::<&str, u32>::new();
    let mut map = NameMap::new();
    let mut names = Vec::new();
    for (i, f) in (0..).zip(&graph.funcs) {
        let n = used.entry(&f.name).or_default();
        *n += 1;
        let name = if *n == 1 { f.name.clone() } else { format!("{}.{n}", f.name) };
        map.append(i, &name);
        if reach.contains(&i) {
            names.push(name);
        }
    }
    Ok(ForkPaths { names, functions: graph.funcs.len(), named: rename(wasm, &map)? })
}

impl Graph {
    fn read(wasm: &[u8]) -> Result<Graph> {
        let mut g = Graph::default();
        let mut next = 0;
        for p in Parser::new(0).parse_all(wasm) {
            match p? {
                Payload::TypeSection(s) => g.types = s.into_iter_err_on_gc_types().collect::<Result<_, _>>()?,
                Payload::ImportSection(s) => {
                    for i in s.into_imports() {
                        let i = i?;
                        let TypeRef::Func(ty) = i.ty else { continue };
                        if i.module == "asyncify" {
                            match i.name {
                                "start_unwind" | "stop_rewind" => g.starts.insert(next),
                                _ => g.ends.insert(next),
                            };
                        }
                        g.funcs.push(Func { name: i.name.into(), ty, ..Func::default() });
                        g.imported += 1;
                        next += 1;
                    }
                }
                Payload::FunctionSection(s) => {
                    for ty in s {
                        g.funcs.push(Func { ty: ty?, ..Func::default() });
                    }
                }
                Payload::ElementSection(s) => {
                    for e in s {
                        let e = e?;
                        let mut at = None;
                        if let ElementKind::Active { offset_expr, .. } = &e.kind
                            && let Operator::I32Const { value } = offset_expr.get_operators_reader().read()?
                        {
                            at = u32::try_from(value).ok();
                        }
                        g.read_elements(at, e.items)?;
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    g.read_body(next, &body)?;
                    next += 1;
                }
                Payload::CustomSection(c) => {
                    if let KnownCustom::Name(names) = c.as_known() {
                        g.read_names(names)?;
                    }
                }
                _ => {}
            }
        }
        Ok(g)
    }

    /// A part of the table that begins at the address `at`.
    fn read_elements(&mut self, at: Option<u32>, items: ElementItems<'_>) -> Result<()> {
        let mut functions = Vec::new();
        match items {
            ElementItems::Functions(f) => {
                functions.extend(f.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().map(Some))
            }
            ElementItems::Expressions(_, list) => {
                for e in list {
                    match e?.get_operators_reader().read()? {
                        Operator::RefFunc { function_index } => functions.push(Some(function_index)),
                        _ => functions.push(None),
                    }
                }
            }
        }
        for (i, f) in (0..).zip(functions) {
            let Some(f) = f else { continue };
            self.taken.insert(f);
            if let Some(at) = at {
                self.table.insert(at + i, f);
            }
        }
        Ok(())
    }

    fn read_body(&mut self, index: u32, body: &wasmparser::FunctionBody<'_>) -> Result<()> {
        let func = &mut self.funcs[index as usize];
        // wasm-ld writes what it fills in with five bytes: so an address is told from a number.
        const ADDRESS_LEN: usize = 1 + 5;
        for instruction in instructions(body)? {
            let Instruction { operator, range } = instruction?;
            match operator {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    func.calls.push(function_index);
                }
                Operator::CallIndirect { type_index, .. } | Operator::ReturnCallIndirect { type_index, .. } => {
                    func.indirect.insert(type_index);
                }
                Operator::RefFunc { function_index } => {
                    self.taken.insert(function_index);
                    func.addresses.push(function_index);
                }
                Operator::I32Const { value } if range.len() == ADDRESS_LEN => {
                    func.addresses.extend(self.table.get(&value.cast_unsigned()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Learns from wasm-ld's map which functions are libc's. A map that does not fit makes all of
    /// them libc's.
    fn read_map(&mut self, map: &str, libc: impl Fn(&str) -> bool) {
        let files = functions_of_map(map);
        // The last function may be our own (callbacks.rs), which wasm-ld does not know.
        let defined = self.funcs.len() - self.imported;
        let fits = files.len() == defined || files.len() + 1 == defined;
        for f in &mut self.funcs[..self.imported] {
            f.libc = true;
        }
        for (i, f) in self.funcs[self.imported..].iter_mut().enumerate() {
            f.libc = !fits || files.get(i).is_none_or(|file| libc(file));
        }
    }

    fn read_names(&mut self, names: wasmparser::NameSectionReader<'_>) -> Result<()> {
        for n in names {
            if let Name::Function(map) = n? {
                for n in map {
                    let n = n?;
                    if let Some(f) = self.funcs.get_mut(n.index as usize) {
                        f.name = n.name.into();
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the program hands a function of `reach` to one of the group's.
    fn hands(&self, group: &Group, reach: &HashSet<u32>) -> bool {
        let of_libc = |names: &HashSet<&str>, f: &Func| f.libc && names.contains(f.name.as_str());
        let types: HashSet<&FuncType> = self
            .funcs
            .iter()
            .filter(|f| of_libc(&group.callers, f))
            .flat_map(|f| &f.indirect)
            .filter_map(|t| self.types.get(*t as usize))
            .collect();
        // Whoever hands it over does so itself or by way of others of the program's. Of handlers
        // only the former counts: to be wrong there would cost a program too much.
        let direct = group.callers.contains(HANDLER_CALLER);
        let mut handing: HashSet<u32> =
            (0..).zip(&self.funcs).filter(|(_, f)| of_libc(&group.registrars, f)).map(|(i, _)| i).collect();
        loop {
            let more: Vec<u32> = (0..)
                .zip(&self.funcs)
                .filter(|(i, f)| !f.libc && !handing.contains(i) && f.calls.iter().any(|c| handing.contains(c)))
                .map(|(i, _)| i)
                .collect();
            if more.is_empty() {
                break;
            }
            handing.extend(more);
            if direct {
                break;
            }
        }
        let forks = |f: &u32| {
            reach.contains(f) && self.types.get(self.funcs[*f as usize].ty as usize).is_some_and(|t| types.contains(t))
        };
        handing.iter().map(|f| &self.funcs[*f as usize]).filter(|f| !f.libc).any(|f| f.addresses.iter().any(forks))
    }

    /// The functions that may reach fork.
    fn reach(&self, quiet: &Quiet) -> HashSet<u32> {
        // Two types may have one shape.
        let shape: Vec<usize> =
            self.types.iter().map(|t| self.types.iter().position(|o| o == t).unwrap_or(0)).collect();
        let mut callers = vec![Vec::new(); self.funcs.len()];
        let mut by_shape = HashMap::<usize, Vec<u32>>::new();
        for (i, f) in (0..).zip(&self.funcs) {
            for c in &f.calls {
                callers[*c as usize].push(i);
            }
            if !quiet.has(f) {
                for t in &f.indirect {
                    by_shape.entry(shape[*t as usize]).or_default().push(i);
                }
            }
        }
        // Who ends an unwinding is not unwound: there the search stops.
        let bottom: HashSet<u32> = self.ends.iter().flat_map(|e| callers[*e as usize].clone()).collect();
        let mut todo: Vec<u32> = self.starts.iter().flat_map(|s| callers[*s as usize].clone()).collect();
        let mut reach = HashSet::new();
        let none = Vec::new();
        while let Some(f) = todo.pop() {
            if bottom.contains(&f) || !reach.insert(f) {
                continue;
            }
            let ty = shape[self.funcs[f as usize].ty as usize];
            let indirect = if self.taken.contains(&f) { by_shape.get(&ty).unwrap_or(&none) } else { &none };
            todo.extend(callers[f as usize].iter().chain(indirect));
        }
        reach
    }
}

/// The files of the functions in wasm-ld's map, in the module's order. There, a line for each
/// function, as
/// `       -      1be       5b         q.o:(main)`, is followed by deeper ones for its symbols.
fn functions_of_map(map: &str) -> Vec<&str> {
    /// The name behind address, offset and size, and how far it is indented.
    fn name(line: &str) -> (usize, &str) {
        let mut rest = line;
        for _ in 0..3 {
            rest = rest.trim_start();
            rest = &rest[rest.find(' ').unwrap_or(rest.len())..];
        }
        (rest.len() - rest.trim_start().len(), rest.trim_start())
    }
    map.lines()
        .map(name)
        .skip_while(|l| *l != (1, "CODE"))
        .skip(1)
        .take_while(|(indent, _)| *indent != 1)
        .filter(|(indent, _)| *indent == 9)
        .map(|(_, name)| name.rsplit_once(":(").map_or(name, |(file, _)| file))
        .collect()
}

/// The module with this function name map in place of its name section, and without debugging
/// information.
fn rename(wasm: &[u8], map: &NameMap) -> Result<Vec<u8>> {
    let mut out = Module::new();
    for p in Parser::new(0).parse_all(wasm) {
        let p = p?;
        if let Payload::CustomSection(c) = &p
            && (c.name() == NAME_SECTION || data::is_debug(c.name()))
        {
            continue;
        }
        copy(&mut out, wasm, &p)?;
    }
    let mut names = NameSection::new();
    names.functions(map);
    out.section(&names);
    Ok(out.finish())
}
