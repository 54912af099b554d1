//! Which functions of a linked module may reach fork, and so must be able to unwind.
//!
//! A function may reach fork if it calls one that may: directly, or through a pointer where a function of the same type
//! that may has its address taken. That alone takes in most of a program (every `int (*)(void *, void *)`), so lists name
//! callers whose calls through pointers never fork: `quiet.list` libc's stdio, sorting and the like, where a callback that forks has no
//! meaning or does not exist; a program adds its own. If a list is wrong, fork traps: it never runs code twice.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use wasm_encoder::{Module, NameMap, NameSection};
use wasmparser::{ElementItems, FuncType, KnownCustom, Name, Operator, Parser, Payload, TypeRef};

use crate::data;

/// Calls signal handlers, from the wrapper of system calls: a fork in one would need every path.
const HANDLER_CALLER: &str = "__call_handler";

/// Functions whose calls through pointers never fork.
#[derive(Debug)]
pub(crate) struct Quiet(HashSet<String>);

impl Quiet {
    /// libc's own list.
    pub(crate) fn new(fork_in_handler: bool) -> Self {
        let mut quiet = Quiet(HashSet::new());
        quiet.add(include_str!("quiet.list"));
        if !fork_in_handler {
            quiet.0.insert(HANDLER_CALLER.into());
        }
        quiet
    }

    /// Adds names, separated by white space; a line that begins with `#` is a comment.
    pub(crate) fn add(&mut self, text: &str) {
        self.0.extend(text.lines().filter(|l| !l.starts_with('#')).flat_map(str::split_whitespace).map(String::from));
    }
}

/// The answer.
#[derive(Debug)]
pub(crate) struct ForkPaths {
    /// The functions that may reach fork.
    pub(crate) names: Vec<String>,
    /// How many functions there are.
    pub(crate) functions: usize,
    /// The module with function names made unique, as `names` has them, and without debugging information.
    pub(crate) named: Vec<u8>,
}

#[derive(Debug, Default, Clone)]
struct Func {
    name: String,
    ty: u32,
    calls: Vec<u32>,
    /// Types of its calls through pointers.
    indirect: HashSet<u32>,
}

#[derive(Debug, Default)]
struct Graph {
    funcs: Vec<Func>,
    types: Vec<FuncType>,
    /// Functions whose address is taken.
    taken: HashSet<u32>,
    /// Asyncify's functions: those that begin and those that end an unwinding.
    starts: HashSet<u32>,
    ends: HashSet<u32>,
}

/// Finds the functions of `wasm` that may reach fork.
pub(crate) fn find(wasm: &[u8], quiet: &Quiet) -> Result<ForkPaths> {
    let graph = Graph::read(wasm)?;
    let reach = graph.reach(quiet);
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
                        g.read_elements(e?.items)?;
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

    fn read_elements(&mut self, items: ElementItems<'_>) -> Result<()> {
        match items {
            ElementItems::Functions(f) => {
                for f in f {
                    self.taken.insert(f?);
                }
            }
            ElementItems::Expressions(_, list) => {
                for e in list {
                    for op in e?.get_operators_reader() {
                        if let Operator::RefFunc { function_index } = op? {
                            self.taken.insert(function_index);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn read_body(&mut self, index: u32, body: &wasmparser::FunctionBody<'_>) -> Result<()> {
        for op in body.get_operators_reader()? {
            match op? {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    self.funcs[index as usize].calls.push(function_index);
                }
                Operator::CallIndirect { type_index, .. } | Operator::ReturnCallIndirect { type_index, .. } => {
                    self.funcs[index as usize].indirect.insert(type_index);
                }
                Operator::RefFunc { function_index } => {
                    self.taken.insert(function_index);
                }
                _ => {}
            }
        }
        Ok(())
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
            if !quiet.0.contains(&f.name) {
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

/// The module with this function name map in place of its name section, and without debugging information.
fn rename(wasm: &[u8], map: &NameMap) -> Result<Vec<u8>> {
    let mut out = Module::new();
    for p in Parser::new(0).parse_all(wasm) {
        let p = p?;
        if let Payload::CustomSection(c) = &p
            && (c.name() == "name" || data::is_debug(c.name()))
        {
            continue;
        }
        data::copy(&mut out, wasm, &p);
    }
    let mut names = NameSection::new();
    names.functions(map);
    out.section(&names);
    Ok(out.finish())
}
