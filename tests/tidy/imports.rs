//! Which file uses items of which: no two files of a crate need each other, and the stages of the
//! gateway are in one order.
//!
//! A path is followed through re-exports to the file that declares the item it names. A re-export is
//! no use, nor is the declaration of a child module. What a macro declares is taken for an item of
//! the file that the path leads to.

use std::collections::{BTreeMap, HashMap};

use super::{Source, Tree, Violation, expand, is_name, item_len};

/// Folders and files of `src/gateway/` from top to bottom: one may use those after it only.
const STAGES: &[&str] = &[
    "serve",
    "pipeline",
    "responses_socket",
    "realtime",
    "receive",
    "admit",
    "render",
    "screen",
    "route",
    "respond",
    "execute",
    "settle",
    "local",
    "cache",
    "upstream",
    "downstream",
    "context",
    "worker",
];

/// Longest chain of re-exports that is followed.
const RE_EXPORTS_MAX: usize = 16;

/// Keywords that an item's name follows.
const ITEMS: &[&str] = &[
    "fn ",
    "struct ",
    "enum ",
    "trait ",
    "union ",
    "type ",
    "static ",
    "const ",
    "mod ",
    "macro_rules! ",
];

#[test]
fn no_files_use_each_other() {
    let tree = Tree::of_repository();
    super::assert_none(&check_cycles(&tree));
}

#[test]
fn stages_of_the_gateway_use_later_ones_only() {
    let tree = Tree::of_repository();
    let is_there = |stage: &&str| tree.holds_module("gateway", stage);
    assert_eq!(STAGES.iter().find(|stage| !is_there(stage)), None, "a stage that does not exist");
    super::assert_none(&check_stages(&tree, STAGES));
}

/// One violation for each use that closes a cycle of files.
fn check_cycles(tree: &Tree) -> Vec<Violation> {
    let graph = Graph::new(tree);
    let components = graph.components();
    let mut violations = Vec::new();
    for ((from, to), used) in &graph.edges {
        let source = graph.files[*from].source;
        if components[*from] == components[*to] {
            violations.push(source.violation(
                used.line,
                format!(
                    "`{}` uses {}, which needs this file too; move what both use into a file below \
                     them, or pass it as an argument",
                    used.path, graph.files[*to].source.path
                ),
            ));
        }
    }
    violations
}

/// One violation for each use that leads to an earlier stage.
fn check_stages(tree: &Tree, stages: &[&str]) -> Vec<Violation> {
    let graph = Graph::new(tree);
    let stage = |file: usize| {
        let path = graph.files[file].source.path.strip_prefix("src/gateway/")?;
        let name = path.split(['/', '.']).next()?;
        stages.iter().position(|stage| *stage == name)
    };
    let mut violations = Vec::new();
    for ((from, to), used) in &graph.edges {
        let (Some(own), Some(target)) = (stage(*from), stage(*to)) else { continue };
        if target < own {
            violations.push(graph.files[*from].source.violation(
                used.line,
                format!(
                    "`{}` of `{}` is used by `{}`, a later stage (STAGES); move what both use down",
                    used.path, stages[target], stages[own]
                ),
            ));
        }
    }
    violations
}

/// The files of all crates and the uses between them, tests left out.
struct Graph<'t> {
    files: Vec<File<'t>>,
    /// Files by the name of their module: its path without extension, or that of its folder. `lib.rs`
    /// and `main.rs` share one.
    modules: HashMap<String, Vec<usize>>,
    /// By user and used file, the first use.
    edges: BTreeMap<(usize, usize), Use>,
}

struct File<'t> {
    source: &'t Source,
    /// Its code without tests; line breaks are kept.
    code: String,
    module: String,
    /// The module that `crate` means in it.
    root: String,
    /// Where modules written inside it begin and end.
    inline: Vec<(usize, usize)>,
    items: Vec<String>,
    imports: Vec<Import>,
}

struct Import {
    name: String,
    segments: Vec<String>,
    /// Where its statement begins and ends.
    statement: (usize, usize),
    is_public: bool,
}

struct Use {
    line: usize,
    path: String,
}

/// What a name stands for.
#[derive(Clone, PartialEq)]
enum Target {
    Module(String),
    /// An item of that file.
    Item(usize),
}

impl<'t> Graph<'t> {
    fn new(tree: &'t Tree) -> Self {
        let rust =
            tree.0.iter().filter(|source| source.is_rust() && !source.path.starts_with("tests/"));
        let roots: Vec<_> = rust
            .clone()
            .filter_map(|source| {
                let (folder, name) = source.path.rsplit_once('/')?;
                ["lib.rs", "main.rs"].contains(&name).then(|| folder.to_owned())
            })
            .collect();
        let is_whole_test = |source: &Source| source.lines.iter().all(|line| line.is_test);
        let files: Vec<_> = rust
            .filter(|source| !is_whole_test(source))
            .map(|source| File::new(source, &roots))
            .collect();
        let mut modules: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, file) in files.iter().enumerate() {
            for (end, _) in file.module.match_indices('/') {
                modules.entry(file.module[..end].to_owned()).or_default();
            }
            modules.entry(file.module.clone()).or_default().push(at);
        }
        let mut graph = Self { files, modules, edges: BTreeMap::new() };
        let mut edges = BTreeMap::new();
        for from in 0..graph.files.len() {
            for (to, used) in graph.uses(from) {
                edges.entry((from, to)).or_insert(used);
            }
        }
        graph.edges = edges;
        graph
    }

    /// The other files that a file uses, in the order of its lines.
    fn uses(&self, from: usize) -> Vec<(usize, Use)> {
        let file = &self.files[from];
        let code = &file.code;
        let mut found = Vec::new();
        let mut end_of_last = 0;
        for (colons, _) in code.match_indices("::") {
            let name = code[..colons].rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
            if colons < end_of_last || name == colons || code[..name].ends_with(':') {
                continue;
            }
            let mut paths = Vec::new();
            end_of_last = expand(code, name, &[], &mut paths);
            for path in paths {
                if file.is_only_re_exported(name, &path.segments, path.alias.as_deref()) {
                    continue;
                }
                let target = self.locate(from, name, &path.segments, false, 0);
                if let Some(Target::Item(to)) = target.filter(|it| *it != Target::Item(from)) {
                    found.push((to, Use { line: path.line, path: path.segments.join("::") }));
                }
            }
        }
        found
    }

    /// What a path written at `at` in a file names. `None`: something outside of the crate.
    fn locate(
        &self,
        from: usize,
        at: usize,
        segments: &[String],
        is_module: bool,
        depth: usize,
    ) -> Option<Target> {
        let file = &self.files[from];
        let is_self = |segment: &&String| *segment == "self";
        let segments: Vec<_> =
            segments.iter().map(|it| it.trim_end_matches('!').to_owned()).collect();
        let mut rest = &segments[..];
        let mut target = match rest.first()?.as_str() {
            "crate" => {
                rest = &rest[1..];
                Target::Module(file.root.clone())
            }
            "self" | "super" => {
                let climbs = rest.iter().take_while(|it| *it == "super" || *it == "self").count();
                let supers = rest[..climbs].iter().filter(|it| *it == "super").count();
                rest = &rest[climbs..];
                let depth =
                    file.inline.iter().filter(|(first, last)| (*first..*last).contains(&at));
                let climbed = supers.saturating_sub(depth.count());
                let mut module = file.module.as_str();
                for _ in 0..climbed {
                    module = module.rsplit_once('/').map_or("", |(parent, _)| parent);
                }
                Target::Module(module.to_owned())
            }
            first => {
                let is_inner = rest.len() > 1 || is_module;
                let target = self.resolve(&file.module, first, is_inner, depth)?;
                rest = &rest[1..];
                target
            }
        };
        while let (Target::Module(module), Some(name)) = (&target, rest.first()) {
            let is_inner = rest.len() > 1 || is_module;
            if is_self(&name) {
                break;
            }
            target = self
                .resolve(module, name, is_inner, depth)
                .or_else(|| Some(Target::Item(*self.modules.get(module)?.first()?)))?;
            rest = &rest[1..];
        }
        Some(target)
    }

    /// What a name means in a module; where it names two things, `is_inner` prefers the module.
    fn resolve(&self, module: &str, name: &str, is_inner: bool, depth: usize) -> Option<Target> {
        if depth > RE_EXPORTS_MAX {
            return None;
        }
        let files = self.modules.get(module).map_or(&[][..], Vec::as_slice);
        if name == "*" {
            return files.first().map(|file| Target::Item(*file));
        }
        let child = || {
            let child = format!("{module}/{name}");
            self.modules.contains_key(&child).then_some(Target::Module(child))
        };
        let declared = || {
            let declares = |at: &&usize| self.files[**at].items.iter().any(|item| item == name);
            files.iter().find(declares).map(|file| Target::Item(*file))
        };
        let imported = || {
            files.iter().find_map(|file| {
                let mut imports = self.files[*file].imports.iter();
                let import = imports.find(|import| import.name == name)?;
                self.locate(*file, import.statement.0, &import.segments, is_inner, depth + 1)
            })
        };
        if is_inner {
            child().or_else(declared).or_else(imported)
        } else {
            declared().or_else(imported).or_else(child)
        }
    }

    /// For each file, the number of the cycle it belongs to; a file in no cycle has its own.
    fn components(&self) -> Vec<usize> {
        let count = self.files.len();
        let mut reach = vec![vec![false; count]; count];
        let mut next = vec![Vec::new(); count];
        self.edges.keys().for_each(|(from, to)| next[*from].push(*to));
        for (from, reached) in reach.iter_mut().enumerate() {
            let mut open = next[from].clone();
            while let Some(file) = open.pop() {
                if !reached[file] {
                    reached[file] = true;
                    open.extend(&next[file]);
                }
            }
        }
        let together = |a: usize, b: usize| a == b || (reach[a][b] && reach[b][a]);
        (0..count).map(|file| (0..=file).find(|it| together(*it, file)).unwrap_or(file)).collect()
    }
}

impl<'t> File<'t> {
    fn new(source: &'t Source, roots: &[String]) -> Self {
        let lines = source.lines.iter();
        let lines: Vec<_> =
            lines.map(|line| if line.is_test { "" } else { line.code.as_str() }).collect();
        let code = lines.join("\n");
        let stem = source.path.trim_end_matches(".rs");
        let module = ["/mod", "/lib", "/main"].iter().find_map(|door| stem.strip_suffix(door));
        let module = module.unwrap_or(stem).to_owned();
        let holds = |root: &&String| {
            module
                .strip_prefix(root.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let root = roots.iter().filter(holds).max_by_key(|root| root.len());
        let root = root.unwrap_or(&module).clone();
        let inline = inline_modules(&code);
        let items = lines.iter().filter_map(|line| item(line)).map(str::to_owned).collect();
        let imports = imports(&code);
        Self { source, code, module, root, inline, items, imports }
    }

    /// True for a path of a public `use` whose name the rest of the file does not have.
    fn is_only_re_exported(&self, at: usize, segments: &[String], alias: Option<&str>) -> bool {
        let name = alias.or(segments.last().map(String::as_str)).unwrap_or_default();
        let is_here = |it: &&Import| (it.statement.0..it.statement.1).contains(&at) && it.is_public;
        if !self.imports.iter().any(|import| is_here(&import)) {
            return false;
        }
        let mut rest = String::new();
        let mut end = 0;
        for import in &self.imports {
            if import.statement.0 >= end {
                rest.push_str(&self.code[end..import.statement.0]);
                end = import.statement.1;
            }
        }
        rest.push_str(&self.code[end..]);
        !has_name(&rest, name)
    }
}

/// True if code has the name where it may stand for an item: not as a member or a method.
fn has_name(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let is_word = !before.ends_with(is_name) && !after.starts_with(is_name);
        let is_member = before.ends_with('.') || before.ends_with("fn ");
        let is_label = after.starts_with(':') && !after.starts_with("::");
        is_word && !is_member && !is_label
    })
}

/// The name of the item that a line at the margin declares; a module only where its body follows.
fn item(line: &str) -> Option<&str> {
    let mut rest = line;
    if let Some(public) = rest.strip_prefix("pub") {
        rest = match public.strip_prefix('(') {
            Some(bound) => bound.split_once(") ")?.1,
            None => public.strip_prefix(' ')?,
        };
    }
    for prefix in ["async ", "unsafe "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    rest = rest.strip_prefix("const fn ").map_or(rest, |_| &rest["const ".len()..]);
    let name = ITEMS.iter().find_map(|keyword| rest.strip_prefix(keyword))?;
    let name = name.strip_prefix("mut ").unwrap_or(name);
    let end = name.find(|c: char| !is_name(c)).unwrap_or(name.len());
    let is_other_file = rest.starts_with("mod ") && name[end..].starts_with(';');
    (!is_other_file).then_some(&name[..end])
}

/// Where modules with a body begin and end.
fn inline_modules(code: &str) -> Vec<(usize, usize)> {
    let bodies = code.match_indices("mod ").filter(|(at, _)| !code[..*at].ends_with(is_name));
    let body = |(at, _): (usize, &str)| {
        let len = item_len(&code[at..])?;
        code[at..at + len].ends_with('}').then_some((at, at + len))
    };
    bodies.filter_map(body).collect()
}

/// The names that `use` statements bring into a file, in order.
fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rfind('\n').map_or(0, |end| end + 1);
        let before = code[line..at].trim();
        let is_statement =
            before.is_empty() || (before.starts_with("pub") && !before.contains(' '));
        if !is_statement {
            continue;
        }
        let end = code[at..].find(';').map_or(code.len(), |len| at + len + 1);
        let mut paths = Vec::new();
        expand(code, at + "use ".len(), &[], &mut paths);
        for path in paths {
            let mut segments = path.segments;
            if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
                segments.pop();
            }
            let Some(name) = path.alias.or(segments.last().cloned()) else { continue };
            let is_public = !before.is_empty();
            found.push(Import { name, segments, statement: (at, end), is_public });
        }
    }
    found
}

/// Files, and the uses in them that the rule must object to.
struct Case {
    files: &'static [(&'static str, &'static str)],
    found: &'static [(&'static str, usize)],
}

const fn case(
    files: &'static [(&'static str, &'static str)],
    found: &'static [(&'static str, usize)],
) -> Case {
    Case { files, found }
}

// One case, one line.
#[rustfmt::skip]
const CYCLES: &[Case] = &[
    case(&[("src/lib.rs", ""), ("src/a/b.rs", "use crate::a::c::C;\npub struct B;"), ("src/a/c.rs", "\nuse super::b::B;\npub struct C;")], &[("src/a/b.rs", 1), ("src/a/c.rs", 2)]),
    case(&[("src/lib.rs", ""), ("src/a/b.rs", "use crate::a::c::C;\npub struct B;"), ("src/a/c.rs", "pub struct C;")], &[]),
    // Through a re-export, which is no use of its own.
    case(&[("src/lib.rs", ""), ("src/a/mod.rs", "mod b;\nmod c;\npub use b::B;\nuse c::C as D;"), ("src/a/b.rs", "use super::D;\npub struct B;"), ("src/a/c.rs", "use super::B;\npub struct C;")], &[("src/a/b.rs", 1), ("src/a/c.rs", 1)]),
    case(&[("src/lib.rs", ""), ("src/a/mod.rs", "mod b;\nmod c;\npub use b::{B};\npub use c::C;"), ("src/a/b.rs", "use super::C;\npub struct B;"), ("src/a/c.rs", "pub struct C;")], &[]),
    // A parent and its child.
    case(&[("src/lib.rs", ""), ("src/a/mod.rs", "mod b;\npub struct A;\nfn f() { b::g(); }"), ("src/a/b.rs", "fn g(a: super::A) {}")], &[("src/a/mod.rs", 3), ("src/a/b.rs", 1)]),
    case(&[("src/lib.rs", ""), ("src/a/mod.rs", "mod b;\npub use b::B;\npub struct A(B);"), ("src/a/b.rs", "use super::A;\npub struct B;")], &[("src/a/mod.rs", 2), ("src/a/b.rs", 1)]),
    case(&[("src/lib.rs", ""), ("src/a/mod.rs", "mod b;\npub use b::B;\npub struct A;"), ("src/a/b.rs", "use super::A;\npub struct B;")], &[]),
    case(&[("src/lib.rs", ""), ("src/a/mod.rs", "mod b;\npub use b::g;\npub struct A { g: u8 }\nfn f(a: A) { a.g }"), ("src/a/b.rs", "pub fn g(a: super::A) {}")], &[]),
    case(&[("src/lib.rs", ""), ("src/a/mod.rs", "mod b;\nfn f() { b::g(); }"), ("src/a/b.rs", "pub fn g() {}\nmod d { use super::g; }")], &[]),
    // Three files, by paths in code and by groups.
    case(&[("src/lib.rs", ""), ("src/a.rs", "fn f() { crate::b::f(); }"), ("src/b.rs", "use crate::{d, c::{self, C}};\nfn f() { c::f(); d::f(); }"), ("src/c.rs", "use super::a;\npub struct C;\nfn f() { a::f() }"), ("src/d.rs", "fn f() {}")], &[("src/a.rs", 1), ("src/b.rs", 1), ("src/c.rs", 3)]),
    // A module that is named only is no use; neither is a test.
    case(&[("src/lib.rs", ""), ("src/a.rs", "use crate::b::B;\npub struct A;"), ("src/b.rs", "use crate::a;\npub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }")], &[]),
    // Each crate has its own root.
    case(&[("src/lib.rs", ""), ("src/a.rs", "use crate::b::B;\npub struct A;"), ("bench/src/lib.rs", ""), ("bench/src/b.rs", "use crate::a::A;\npub struct B;"), ("bench/src/a.rs", "use crate::b::B;\nconst fn A() {}")], &[("bench/src/b.rs", 1), ("bench/src/a.rs", 1)]),
];

#[rustfmt::skip]
const ORDERS: &[Case] = &[
    case(&[("src/lib.rs", ""), ("src/gateway/top/mod.rs", "use super::bottom::B;\npub struct T;"), ("src/gateway/bottom.rs", "\nfn f(t: super::top::T) {}\npub struct B;")], &[("src/gateway/bottom.rs", 2)]),
    case(&[("src/lib.rs", ""), ("src/gateway/top.rs", "use crate::gateway::bottom::c::C;"), ("src/gateway/bottom/c.rs", "use super::super::free::F;\npub struct C;"), ("src/gateway/free.rs", "pub struct F;")], &[]),
];

#[test]
fn every_rule_on_imports_can_fail() {
    for Case { files, found } in CYCLES {
        assert_objects(check_cycles, files, found);
    }
    for Case { files, found } in ORDERS {
        assert_objects(|tree| check_stages(tree, &["top", "middle", "bottom"]), files, found);
    }
}

fn assert_objects(
    rule: impl Fn(&Tree) -> Vec<Violation>,
    files: &[(&str, &str)],
    lines: &[(&str, usize)],
) {
    let tree = Tree(files.iter().map(|(path, text)| Source::new(path, text)).collect());
    let violations = rule(&tree);
    let found: Vec<_> = violations.iter().map(|it| (it.path.as_str(), it.line)).collect();
    assert_eq!(found, lines, "{files:#?}");
}
