//! The shape of the code, held by text: floors, front doors, sizes, names, banned words.
//!
//! Each rule is a small function from a source to [`Violation`]s; each test reads the tree and runs
//! one of them. The last test feeds every rule bad and good snippets, so that a rule can fail.
//! Sources are read by a scanner that knows comments, strings and `#[cfg(test)]`, but no grammar:
//! what only the compiler can see (types, macros' output) is left to it and to clippy.
//!
//! Long because the rules are meant to be read side by side, and their cases below them.

mod imports;

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

/// The parts of `src/` and their floors. A part may name lower floors only.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("shard", 1),
    ("http", 2),
    ("llm", 2),
    ("dialects", 3),
    ("store", 3),
    ("inference", 3),
    ("telemetry", 3),
    ("keys", 4),
    ("limits", 4),
    ("prompts", 4),
    ("guardrails", 4),
    ("cache", 4),
    ("routing", 4),
    ("providers", 4),
    ("config", 5),
    ("credentials", 5),
    ("control", 6),
    ("gateway", 7),
    ("admin", 7),
];

/// The files above all floors, where the parts meet.
const ROOF: &[&str] = &[
    "src/main.rs",
    "src/app.rs",
    "src/app/listeners.rs",
    "src/app/options.rs",
    "src/app/run.rs",
    "src/app/shutdown.rs",
    "src/app/start.rs",
    "src/arguments.rs",
    "src/commands.rs",
    "src/lib.rs",
];

/// Parts that may wait.
const ASYNC_PARTS: &[&str] = &["shard", "store", "telemetry", "gateway", "admin"];

/// Parts on the request path, where nothing may block or lock.
const PIPELINE_PARTS: &[&str] = &[
    "shard",
    "http",
    "llm",
    "dialects",
    "keys",
    "limits",
    "prompts",
    "guardrails",
    "routing",
    "providers",
    "gateway",
];

/// Parts that may read the clock of the standard library; the others have `base`'s.
const STD_CLOCK_PARTS: &[&str] = &["base", "shard", "telemetry", "admin"];

/// Parts that may read the clock at all; the others take the time as an argument.
const CLOCK_PARTS: &[&str] =
    &["base", "shard", "store", "telemetry", "credentials", "control", "gateway", "admin"];

/// Parts that may hold `unsafe`: system calls and SIMD.
const UNSAFE_PARTS: &[&str] = &["shard", "inference"];

const BANNED_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "manager", "impl"];

/// The folders of the crates, in each of which the name of a public type occurs once.
const CRATES: &[&str] = &["src", "loadtest/src", "bench/src"];

/// Types are named by nouns, not by participles.
const PARTICIPLES: &[&str] = &[
    "Asked", "Found", "Gathered", "Given", "Heard", "Held", "Known", "Made", "Meant", "Parted",
    "Said", "Seen", "Shown", "Spoken", "Taken", "Told", "Tried", "Weighed", "Won",
];

/// Words that no manual of this field uses; docs, comments, error messages and metric help have
/// plainer ones.
const RARE_WORDS: &[&str] = &[
    "anew",
    "dearer",
    "heed",
    "heeded",
    "heeds",
    "in vain",
    "lead on",
    "leads on",
    "left alone",
    "of no use",
    "put up with",
    "shall",
    "told",
    "whom",
];

/// Functions are not named by speech: what they do with data has a verb of its own.
const SPEECH: &[&str] = &[
    "ask", "asked", "asks", "hear", "heard", "hears", "said", "say", "says", "speak", "spoken",
    "tell", "tells", "told",
];

const ENVIRONMENT_CALLS: &[&str] =
    &["env::var", "env::vars", "env::var_os", "env::vars_os", "env::set_var", "env::remove_var"];

/// What a statement may begin with, to tell commented-out code from prose.
const STATEMENT_WORDS: &[&str] = &[
    "let", "use", "pub", "fn", "return", "const", "static", "impl", "struct", "enum", "mod", "for",
    "while", "match", "if", "loop",
];

/// Lines of a file, tests not counted.
const FILE_LINES_MAX: usize = 500;

/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Folders and files that are read, relative to the repository's root.
const ROOTS: &[&str] =
    &["src", "loadtest/src", "bench", "tests", "scripts", ".ci", "docs", "README.md"];

#[test]
fn parts_name_lower_floors_only() {
    assert_clean(check_floors);
}

#[test]
fn parts_are_entered_by_the_front_door() {
    assert_clean(check_front_doors);
}

#[test]
fn only_some_parts_are_async() {
    assert_clean(check_async);
}

#[test]
fn files_open_with_module_docs() {
    assert_clean(check_opening);
}

#[test]
fn no_todo_lands() {
    assert_clean(check_leftovers);
}

#[test]
fn files_are_named_after_what_they_hold() {
    assert_clean(check_file_names);
}

#[test]
fn names_are_nouns_of_the_field_and_occur_once() {
    assert_clean(check_names);
}

#[test]
fn docs_and_messages_use_plain_words() {
    assert_clean(check_words);
}

#[test]
fn the_environment_is_read_by_config_only() {
    assert_clean(check_environment);
}

#[test]
fn the_request_path_neither_blocks_nor_locks() {
    assert_clean(check_blocking);
}

#[test]
fn time_is_an_argument() {
    assert_clean(check_clocks);
}

#[test]
fn no_unwrap_outside_tests() {
    assert_clean(check_unwrap);
}

#[test]
fn long_files_and_functions_state_a_reason() {
    assert_clean(check_sizes);
}

#[test]
fn every_folder_of_src_is_a_part() {
    assert_clean(check_parts);
}

#[test]
fn pages_and_scripts_name_no_machine() {
    assert_clean(check_machine_paths);
}

#[test]
fn standard_streams_are_written_by_one_thread() {
    assert_clean(check_standard_streams);
}

#[test]
fn files_are_opened_in_one_place() {
    assert_clean(check_files);
}

#[test]
fn unsafe_is_rare_and_explained() {
    assert_clean(check_unsafe);
}

/// A rule: what it has to say about `source`, in a tree.
type Rule = fn(source: &Source, tree: &Tree) -> Vec<Violation>;

/// One broken rule, as a sentence with a place.
struct Violation {
    path: String,
    /// From 1.
    line: usize,
    /// What is wrong and what to do.
    advice: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

fn assert_clean(rule: Rule) {
    let tree = Tree::of_repository();
    let violations: Vec<_> = tree.0.iter().flat_map(|source| rule(source, &tree)).collect();
    assert_none(&violations);
}

fn assert_none(violations: &[Violation]) {
    let mut report = String::new();
    for violation in violations {
        writeln!(report, "{violation}").expect("a String takes every write");
    }
    assert!(violations.is_empty(), "{} to mend:\n{report}", violations.len());
}

// The rules.

fn check_floors(source: &Source, tree: &Tree) -> Vec<Violation> {
    let Some(own) = source.part() else { return Vec::new() };
    let Some(own_floor) = floor(own) else { return Vec::new() };
    let mut violations = Vec::new();
    for path in part_paths(source, tree) {
        let target = path.segments[0].as_str();
        match floor(target) {
            _ if target == own || target.ends_with('!') => {}
            Some(target_floor) if target_floor < own_floor => {}
            Some(target_floor) => violations.push(source.violation(
                path.line,
                format!(
                    "`{own}` (floor {own_floor}) names `{target}` (floor {target_floor}); a part \
                     names lower floors only: move what both need down, or meet in the gateway"
                ),
            )),
            None => violations.push(source.violation(
                path.line,
                format!(
                    "`{own}` names `crate::{target}`, which belongs to the roof; name the item by \
                     the part that owns it"
                ),
            )),
        }
    }
    violations
}

fn check_front_doors(source: &Source, tree: &Tree) -> Vec<Violation> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for path in part_paths(source, tree) {
        let [part, module, _, ..] = path.segments.as_slice() else { continue };
        if source.part() == Some(part) || !tree.holds_module(part, module) {
            continue;
        }
        violations.push(source.violation(
            path.line,
            format!(
                "`crate::{part}::{module}::…` enters `{part}` through a window; re-export the item \
                 in src/{part}/mod.rs and name it `crate::{part}::…`"
            ),
        ));
    }
    violations
}

fn check_async(source: &Source, _: &Tree) -> Vec<Violation> {
    let Some(part) = source.part() else { return Vec::new() };
    if ASYNC_PARTS.contains(&part) || ROOF.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let waits = |line: &Line| has_word(&line.code, "async") || has_word(&line.code, "await");
    source.lines_where(waits, |_| {
        format!(
            "`{part}` waits, and only {} may; return the call you want made and let the gateway \
             make it",
            ASYNC_PARTS.join(", ")
        )
    })
}

fn check_opening(source: &Source, _: &Tree) -> Vec<Violation> {
    let opens = source.lines.first().is_some_and(|line| line.comment.starts_with("//!"));
    if opens || !source.is_rust() {
        return Vec::new();
    }
    let advice = "a file opens with `//!`: one line on what it is, then its invariants and units";
    vec![source.violation(1, advice.to_owned())]
}

fn check_leftovers(source: &Source, _: &Tree) -> Vec<Violation> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (number, line) in source.numbered() {
        for word in ["TODO", "FIXME", "XXX"] {
            if has_word(&line.comment, word) {
                violations.push(source.violation(
                    number,
                    format!("`{word}` lands nowhere; do it now or write it down outside the code"),
                ));
            }
        }
        for call in ["todo!", "unimplemented!", "dbg!"] {
            if has_word(&line.code, call) {
                violations.push(
                    source.violation(number, format!("`{call}` is for the desk; finish the code")),
                );
            }
        }
        if has_word(&line.code, "should_panic") || line.code.contains("#[ignore") {
            let advice = "a test runs always and asserts a result; assert the error instead, or \
                          delete the test";
            violations.push(source.violation(number, advice.to_owned()));
        }
        if is_commented_code(&line.comment) {
            let advice = "commented-out code; delete it, the history keeps it";
            violations.push(source.violation(number, advice.to_owned()));
        }
    }
    violations
}

fn check_file_names(source: &Source, _: &Tree) -> Vec<Violation> {
    let names = source.path.split('/').map(|name| name.split('.').next().unwrap_or(name));
    names
        .filter(|name| BANNED_NAMES.contains(name))
        .map(|name| {
            source.violation(1, format!("`{name}` says nothing; name the file after what it holds"))
        })
        .collect()
}

fn check_names(source: &Source, tree: &Tree) -> Vec<Violation> {
    let folder = CRATES.iter().find(|folder| source.is_below(folder));
    let Some(folder) = folder.filter(|_| source.is_rust()) else { return Vec::new() };
    let is_twice = |name: &str| {
        let of_crate = tree.0.iter().filter(|it| it.is_below(folder));
        let elsewhere = of_crate.filter(|it| it.path != source.path);
        let in_all = elsewhere.map(|it| public_types(it, name)).sum::<usize>();
        in_all + public_types(source, name) > 1
    };
    let mut violations = Vec::new();
    for (number, line) in source.numbered().filter(|(_, line)| !line.is_test) {
        let advice = match (declared(&line.code, &["fn "]), declared_type(&line.code)) {
            (Some(name), _) if SPEECH.contains(&name) => {
                "a function is not named by speech; say what it does with the data"
            }
            (_, Some(name)) if PARTICIPLES.contains(&name) => {
                "a type is named by a noun of the field, not by what was done to it"
            }
            (_, Some(name)) if line.code.trim_start().starts_with("pub ") && is_twice(name) => {
                "a public type name occurs once in the crate; say which of the two it is"
            }
            _ => continue,
        };
        violations.push(source.violation(number, advice.to_owned()));
    }
    violations
}

/// How many types of that name a file declares `pub` without a bound.
fn public_types(source: &Source, name: &str) -> usize {
    let is_one = |line: &&Line| {
        !line.is_test
            && line.code.trim_start().starts_with("pub ")
            && declared_type(&line.code) == Some(name)
    };
    source.lines.iter().filter(is_one).count()
}

fn declared_type(code: &str) -> Option<&str> {
    declared(code, &["struct ", "enum ", "trait ", "union ", "type "])
}

/// The name that a line declares with one of these keywords, whatever its visibility.
fn declared<'c>(code: &'c str, keywords: &[&str]) -> Option<&'c str> {
    let mut rest = code.trim_start();
    for prefix in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    let name = keywords.iter().find_map(|keyword| rest.strip_prefix(keyword))?;
    let end = name.find(|c: char| !is_name(c)).unwrap_or(name.len());
    Some(&name[..end])
}

fn check_words(source: &Source, _: &Tree) -> Vec<Violation> {
    let is_page = source.path.ends_with(".md");
    let is_help = source.path == "src/telemetry/metrics.rs";
    let found = |line: &Line| {
        let is_message = source.path.starts_with("src/") && line.raw.contains("#[error(");
        let is_whole_line = is_page || is_message || is_help;
        let text = if is_whole_line { &line.raw } else { &line.comment }.to_ascii_lowercase();
        RARE_WORDS.iter().find(|word| has_word(&text, word)).copied()
    };
    source.lines_where(
        |line| found(line).is_some(),
        |line| format!("`{}` stands in no manual; say it plainly", found(line).unwrap_or_default()),
    )
}

fn check_environment(source: &Source, _: &Tree) -> Vec<Violation> {
    if !source.path.starts_with("src/") || source.part() == Some("config") {
        return Vec::new();
    }
    let reads = |line: &Line| {
        let is_read = ENVIRONMENT_CALLS.iter().any(|read| has_word(&line.code, read));
        !line.is_test && (is_read || line.code.contains("env::{"))
    };
    source.lines_where(reads, |_| {
        "the environment is read in src/config only; take the value as a setting".to_owned()
    })
}

fn check_blocking(source: &Source, _: &Tree) -> Vec<Violation> {
    let Some(part) = source.part().filter(|part| PIPELINE_PARTS.contains(part)) else {
        return Vec::new();
    };
    let mut found: Vec<(usize, String)> = Vec::new();
    for (number, line) in source.numbered() {
        for name in ["Mutex", "RwLock", "thread::sleep"] {
            if has_word(&line.code, name) {
                found.push((number, name.to_owned()));
            }
        }
    }
    for path in paths(source, "std") {
        let names: Vec<_> = path.segments.iter().map(String::as_str).collect();
        let blocks = match names.as_slice() {
            ["fs", ..] => true,
            ["net", name, ..] => {
                ["TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs", "*"].contains(name)
            }
            _ => false,
        };
        if blocks {
            found.push((path.line, format!("std::{}", names.join("::"))));
        }
    }
    found.sort();
    found
        .into_iter()
        .filter(|(number, _)| !source.line(*number).is_test)
        .filter(|(number, _)| part != "shard" || !is_excused(source, *number))
        .map(|(number, name)| {
            let excuse = if part == "shard" {
                ", or say `// tidy: blocking, REASON` where no shard thread can reach it"
            } else {
                ""
            };
            source.violation(
                number,
                format!(
                    "`{name}` in `{part}` can stall a whole shard; keep it off the request \
                     path{excuse}"
                ),
            )
        })
        .collect()
}

/// True if the line, or the comment right above it, says why it may block.
fn is_excused(source: &Source, number: usize) -> bool {
    const MARK: &str = "// tidy: blocking,";
    let matches = |line: &Line| {
        line.comment.strip_prefix(MARK).is_some_and(|reason| !reason.trim().is_empty())
    };
    matches(source.line(number)) || source.comments_above(number).any(matches)
}

fn check_clocks(source: &Source, _: &Tree) -> Vec<Violation> {
    let Some(part) = source.part() else { return Vec::new() };
    let mut violations = Vec::new();
    if !STD_CLOCK_PARTS.contains(&part) {
        for path in paths(source, "std") {
            let is_clock = matches!(path.segments.as_slice(),
                [time, clock, ..] if time == "time" && (clock == "Instant" || clock == "SystemTime"));
            if is_clock && !source.line(path.line).is_test {
                violations.push(source.violation(
                    path.line,
                    format!("`{part}` uses the standard clock; use `crate::base::Instant`"),
                ));
            }
        }
    }
    if !CLOCK_PARTS.contains(&part) {
        let reads = |line: &Line| {
            let clocks = ["Instant::now", "SystemTime::now", "unix_now"];
            !line.is_test && clocks.iter().any(|clock| has_word(&line.code, clock))
        };
        violations.extend(source.lines_where(reads, |_| {
            format!(
                "`{part}` asks for the time; take it as an argument, so that a test can give it"
            )
        }));
    }
    violations
}

fn check_unwrap(source: &Source, _: &Tree) -> Vec<Violation> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let unwraps = |line: &Line| !line.is_test && line.code.contains(".unwrap()");
    source.lines_where(unwraps, |_| {
        "`.unwrap()` panics without a word; return the error, or `expect(\"why it cannot be\")` \
         for an invariant of ours"
            .to_owned()
    })
}

fn check_sizes(source: &Source, _: &Tree) -> Vec<Violation> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let counted = source.lines.iter().filter(|line| !line.is_test).count();
    let excused =
        source.lines.iter().take(15).any(|line| line.comment.starts_with("//! Long because "));
    if counted > FILE_LINES_MAX && !excused {
        violations.push(source.violation(
            1,
            format!(
                "{counted} lines without tests (at most {FILE_LINES_MAX}); cut where a name \
                 appears, or say `//! Long because …` in its first 15 lines"
            ),
        ));
    }
    for function in functions(source) {
        let lines = function.last - function.first + 1;
        let is_excused = source
            .comments_above(function.first)
            .any(|line| line.comment.starts_with("// Long because "));
        if lines > FUNCTION_LINES_MAX && !is_excused && !source.line(function.first).is_test {
            violations.push(source.violation(
                function.first,
                format!(
                    "`{}` has {lines} lines (at most {FUNCTION_LINES_MAX}); cut where a name \
                     appears, or say `// Long because …` right above it",
                    function.name
                ),
            ));
        }
    }
    violations
}

fn check_parts(source: &Source, tree: &Tree) -> Vec<Violation> {
    if !source.path.starts_with("src/") || !source.is_rust() {
        return Vec::new();
    }
    if ROOF.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let Some(part) = source.part() else {
        let advice = "only main.rs, app.rs and lib.rs lie in src itself; put the file into the \
                      part that owns it";
        return vec![source.violation(1, advice.to_owned())];
    };
    let mut violations = Vec::new();
    if floor(part).is_none() {
        violations.push(source.violation(
            1,
            format!("`{part}` has no floor; give it one in FLOORS (tests/tidy.rs) and the README"),
        ));
    }
    if !tree.0.iter().any(|other| other.path == format!("src/{part}/mod.rs")) {
        violations.push(source.violation(
            1,
            format!("`{part}` has no front door; write src/{part}/mod.rs that says what it is"),
        ));
    }
    violations
}

fn check_machine_paths(source: &Source, _: &Tree) -> Vec<Violation> {
    let is_script = source.path.starts_with("scripts/") || source.path.starts_with(".ci/");
    let is_page = source.path.starts_with("docs/") || source.path == "README.md";
    if !is_script && !is_page {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (number, line) in source.numbered() {
        for folder in ["/work/", "/root/", "/tmp/"] {
            let is_own_temporary = is_script && line.raw.contains("mktemp");
            if line.raw.contains(folder) && !is_own_temporary {
                violations.push(source.violation(
                    number,
                    format!("`{folder}` exists on one machine; write a path of the repository"),
                ));
            }
        }
    }
    violations
}

fn check_standard_streams(source: &Source, _: &Tree) -> Vec<Violation> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (number, line) in source.numbered().filter(|(_, line)| !line.is_test) {
        for call in ["print!", "println!", "eprint!", "eprintln!"] {
            if has_word(&line.code, call) {
                violations.push(source.violation(
                    number,
                    format!(
                        "`{call}` panics where the stream is closed and waits where it is full; \
                         use `log_message`, or `writeln!` in a command"
                    ),
                ));
            }
        }
    }
    violations
}

fn check_files(source: &Source, _: &Tree) -> Vec<Violation> {
    const CALLS: [&str; 5] =
        ["File::open", "File::create", "OpenOptions::new", "fs::read", "fs::read_to_string"];
    if !source.path.starts_with("src/") || source.path == "src/base/file.rs" {
        return Vec::new();
    }
    let opens = |line: &Line| !line.is_test && CALLS.iter().any(|call| has_word(&line.code, call));
    source.lines_where(opens, |_| {
        "a path may name a FIFO, whose opening waits; use an `open_…` or `create_…` of `crate::base`"
            .to_owned()
    })
}

fn check_unsafe(source: &Source, _: &Tree) -> Vec<Violation> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let may = source.part().is_some_and(|part| UNSAFE_PARTS.contains(&part));
    let mut violations = Vec::new();
    for (number, line) in source.numbered() {
        if !has_word(&line.code, "unsafe") {
            continue;
        }
        let opens = line.code.contains("unsafe {") || line.code.contains("unsafe impl");
        if !may {
            let advice = format!("`unsafe` lives in {} only", UNSAFE_PARTS.join(" and "));
            violations.push(source.violation(number, advice));
        } else if opens && !has_safety_comment(source, number) {
            let advice = "`unsafe` without `// SAFETY:` right above; name the invariant and who \
                          keeps it";
            violations.push(source.violation(number, advice.to_owned()));
        }
    }
    violations
}

/// True if `// SAFETY:` stands within three lines above, or in the comment that ends right above.
fn has_safety_comment(source: &Source, number: usize) -> bool {
    let is_reason = |line: &Line| line.comment.starts_with("// SAFETY:");
    let near = (number.saturating_sub(3).max(1)..=number).any(|near| is_reason(source.line(near)));
    near || source.comments_above(number).any(is_reason)
}

// What the rules look at.

/// All files that are read.
struct Tree(Vec<Source>);

impl Tree {
    fn of_repository() -> Self {
        Self::read(Path::new(env!("CARGO_MANIFEST_DIR")))
    }

    fn read(root: &Path) -> Self {
        let mut sources = Vec::new();
        for name in ROOTS {
            read_into(root, name, &mut sources);
        }
        assert!(!sources.is_empty(), "no sources below {}", root.display());
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        let mut tree = Self(sources);
        tree.mark_test_files();
        tree
    }

    /// True if `module` is a file or folder of the part.
    fn holds_module(&self, part: &str, module: &str) -> bool {
        let file = format!("src/{part}/{module}.rs");
        let folder = format!("src/{part}/{module}/");
        self.0.iter().any(|source| source.path == file || source.path.starts_with(&folder))
    }

    /// A file declared by `#[cfg(test)] mod name;` is a test from its first line to its last.
    fn mark_test_files(&mut self) {
        let mut stems = Vec::new();
        for source in &self.0 {
            let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let own = source.path.trim_end_matches(".rs");
            let is_door = ["/mod", "/lib", "/main"].iter().any(|door| own.ends_with(door));
            for line in source.lines.iter().filter(|line| line.is_test) {
                let module = line.code.trim().strip_prefix("mod ");
                if let Some(name) = module.and_then(|rest| rest.strip_suffix(';')) {
                    stems.push(format!("{}/{name}", if is_door { folder } else { own }));
                }
            }
        }
        for source in &mut self.0 {
            let is_test = stems.iter().any(|stem| {
                let rest = source.path.strip_prefix(stem.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
            if is_test {
                source.lines.iter_mut().for_each(|line| line.is_test = true);
            }
        }
    }
}

/// Reads `name` below `root`, a file or a folder, into `sources`. What is absent is skipped.
fn read_into(root: &Path, name: &str, sources: &mut Vec<Source>) {
    let path = root.join(name);
    if path.is_dir() {
        for entry in fs::read_dir(&path).expect("a folder of the repository can be listed") {
            let entry = entry.expect("a folder of the repository can be listed").file_name();
            let entry = entry.to_str().expect("file names are UTF-8");
            let is_product = entry == "target" || entry == "corpus" || entry == "__pycache__";
            if !is_product && !entry.starts_with('.') {
                read_into(root, &format!("{name}/{entry}"), sources);
            }
        }
    } else if let Ok(text) = fs::read_to_string(&path) {
        sources.push(Source::new(name, &text));
    }
}

/// One file, line by line.
struct Source {
    /// From the repository's root, with `/`.
    path: String,
    lines: Vec<Line>,
}

/// One line, its code apart from its comment.
#[derive(Default)]
struct Line {
    raw: String,
    /// Without comments; strings and characters are there, but empty.
    code: String,
    /// From its `//` or `/*` on.
    comment: String,
    is_test: bool,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let mut source = Self { path: path.to_owned(), lines: scan(text, is_rust(path)) };
        let is_test = path.starts_with("tests/")
            || source.lines.iter().any(|line| line.code.trim() == "#![cfg(test)]");
        if is_test {
            source.lines.iter_mut().for_each(|line| line.is_test = true);
        } else {
            mark_tests(&mut source);
        }
        source
    }

    fn is_rust(&self) -> bool {
        is_rust(&self.path)
    }

    /// The folder of `src/` it lies in.
    fn part(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split_once('/').map(|(part, _)| part)
    }

    fn is_below(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The line with this number, from 1.
    fn line(&self, number: usize) -> &Line {
        &self.lines[number - 1]
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        (1..).zip(&self.lines)
    }

    /// The comments and attributes that end right above a line, the nearest first.
    fn comments_above(&self, number: usize) -> impl Iterator<Item = &Line> {
        self.lines[..number - 1].iter().rev().take_while(|line| {
            let code = line.code.trim();
            (code.is_empty() && !line.comment.is_empty()) || code.starts_with("#[")
        })
    }

    fn violation(&self, line: usize, advice: String) -> Violation {
        Violation { path: self.path.clone(), line, advice }
    }

    /// One violation for each line that `is_bad`.
    fn lines_where(
        &self,
        is_bad: impl Fn(&Line) -> bool,
        advice: impl Fn(&Line) -> String,
    ) -> Vec<Violation> {
        let bad = self.numbered().filter(|(_, line)| is_bad(line));
        bad.map(|(number, line)| self.violation(number, advice(line))).collect()
    }

    /// The code as one text; one line of it for each line of the file.
    fn code(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(|line| line.code.as_str()).collect();
        lines.join("\n")
    }
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

fn floor(part: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == part).map(|(_, floor)| *floor)
}

/// A path as written, without the root it begins with.
struct CodePath {
    line: usize,
    /// At least one. A macro's name keeps its `!`.
    segments: Vec<String>,
    /// The name that follows `as`.
    alias: Option<String>,
}

/// The paths of a source that lead into parts: `crate::…`, and `super::…` where it climbs so far.
fn part_paths(source: &Source, tree: &Tree) -> Vec<CodePath> {
    let mut found = paths(source, "crate");
    for mut path in paths(source, "super") {
        let climbed = path.segments.iter().take_while(|segment| *segment == "super").count();
        path.segments.drain(..climbed);
        let Some(first) = path.segments.first() else { continue };
        let is_near = source.part().is_none_or(|own| own == first || tree.holds_module(own, first));
        if floor(first).is_some() && !is_near {
            found.push(path);
        }
    }
    found
}

/// Every path that begins with `root`, groups taken apart.
fn paths(source: &Source, root: &str) -> Vec<CodePath> {
    let code = source.code();
    let head = format!("{root}::");
    let mut found = Vec::new();
    let mut end_of_last = 0;
    for (at, _) in code.match_indices(&head) {
        let is_inside = code[..at].ends_with(is_name) || at < end_of_last;
        if !is_inside {
            end_of_last = expand(&code, at + head.len(), &[], &mut found);
        }
    }
    found
}

/// Reads the path or group at `at` into `found`; answers where it ends.
fn expand(code: &str, at: usize, prefix: &[String], found: &mut Vec<CodePath>) -> usize {
    let at = at + code[at..].len() - code[at..].trim_start().len();
    let rest = &code[at..];
    if let Some(group) = rest.strip_prefix('{') {
        let mut end = code.len() - group.len();
        while code[end..].trim_start().starts_with(|c: char| is_name(c) || c == '*' || c == '{') {
            end = expand(code, end, prefix, found);
            // What is left of a member is its `as Name`.
            end += code[end..].find([',', '}']).unwrap_or(code.len() - end);
            if code[end..].starts_with('}') {
                return end;
            }
            end = (end + 1).min(code.len());
        }
        return end;
    }
    let name_len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let mut name = rest[..name_len].to_owned();
    let mut end = at + name_len;
    if rest.starts_with('*') {
        "*".clone_into(&mut name);
        end = at + 1;
    } else if rest[name_len..].starts_with('!') {
        name.push('!');
    }
    if name.is_empty() {
        return end;
    }
    let mut segments = prefix.to_vec();
    segments.push(name);
    if let Some(tail) = code[end..].strip_prefix("::").filter(|tail| !tail.starts_with('<')) {
        return expand(code, code.len() - tail.len(), &segments, found);
    }
    let line = 1 + code[..at].matches('\n').count();
    let alias = code[end..].trim_start().strip_prefix("as ").map(str::trim_start);
    let alias = alias.map(|rest| rest.split(|c| !is_name(c)).next().unwrap_or(rest).to_owned());
    found.push(CodePath { line, segments, alias });
    end
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// True if `word` stands in `text` with no letter, digit or `_` right before or after it.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let after = &text[at + word.len()..];
        !text[..at].ends_with(is_name) && (word.ends_with('!') || !after.starts_with(is_name))
    })
}

/// A guess: a plain comment that begins like a statement and ends like one, or is a lone brace.
fn is_commented_code(comment: &str) -> bool {
    let Some(text) = comment.strip_prefix("//") else { return false };
    if text.starts_with(['/', '!']) {
        return false;
    }
    let text = text.trim();
    if ["}", "};", "})", "});", "{"].contains(&text) {
        return true;
    }
    let starts = STATEMENT_WORDS.iter().any(|word| {
        text.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '(']) || rest == ";")
    });
    let has_sign = ["=", "::", "("].iter().any(|sign| text.contains(sign));
    let is_statement = starts && (text.ends_with('{') || (text.ends_with(';') && has_sign));
    let is_call = text.split_once('(').is_some_and(|(name, rest)| {
        let is_path = |c: char| is_name(c) || ".:!".contains(c);
        !name.is_empty()
            && name.chars().all(is_path)
            && (rest.ends_with(");") || rest.ends_with(")?;"))
    });
    is_statement || is_call
}

/// A function with a body; lines from 1, both included.
struct Function {
    name: String,
    first: usize,
    last: usize,
}

fn functions(source: &Source) -> Vec<Function> {
    let code = source.code();
    let line_of = |at: usize| 1 + code[..at].matches('\n').count();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
        if name.is_empty() || code[..at].ends_with(is_name) {
            continue;
        }
        if let Some(len) = item_len(rest).filter(|len| rest[..*len].ends_with('}')) {
            found.push(Function { name, first: line_of(at), last: line_of(at + 2 + len) });
        }
    }
    found
}

/// How far the item that begins here goes: to its `;`, or to the end of its body.
fn item_len(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 && c == '}' {
                    return Some(at + 1);
                }
            }
            ';' if depth == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Marks the items under `#[cfg(test)]`.
fn mark_tests(source: &mut Source) {
    let code = source.code();
    for mark in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (at, _) in code.match_indices(mark) {
            let attribute = code[at..].find(']').map_or(code.len(), |len| at + len + 1);
            let end = attribute + item_len(&code[attribute..]).unwrap_or(0);
            let first = code[..at].matches('\n').count();
            let last = code[..end].matches('\n').count();
            source.lines[first..=last].iter_mut().for_each(|line| line.is_test = true);
        }
    }
}

/// Where the scanner is.
#[derive(Clone, Copy)]
enum Place {
    Code,
    LineComment,
    /// How many `/*` are open.
    BlockComment(usize),
    Text,
    /// The `#` that a raw string ends with.
    RawText(usize),
}

/// Splits a file into lines, and each line of a Rust file into code and comment.
fn scan(text: &str, is_rust: bool) -> Vec<Line> {
    let mut lines: Vec<Line> =
        text.lines().map(|raw| Line { raw: raw.to_owned(), ..Line::default() }).collect();
    if !is_rust {
        return lines;
    }
    let mut place = Place::Code;
    for line in &mut lines {
        let raw: Vec<char> = line.raw.chars().collect();
        let mut at = 0;
        while at < raw.len() {
            let (next, len) = step(place, &raw[at..], &mut line.code, &mut line.comment);
            place = next;
            at += len;
        }
        if matches!(place, Place::LineComment) {
            place = Place::Code;
        }
    }
    lines
}

/// Reads one token's worth of characters; answers the place after it and how many they were.
fn step(place: Place, rest: &[char], code: &mut String, comment: &mut String) -> (Place, usize) {
    let pair = (rest[0], rest.get(1).copied().unwrap_or(' '));
    match place {
        Place::Code => step_code(rest, pair, code, comment),
        Place::LineComment => {
            comment.push(pair.0);
            (place, 1)
        }
        Place::BlockComment(open) => {
            let (open, len) = match pair {
                ('*', '/') => (open - 1, 2),
                ('/', '*') => (open + 1, 2),
                _ => (open, 1),
            };
            comment.extend(&rest[..len]);
            (if open == 0 { Place::Code } else { Place::BlockComment(open) }, len)
        }
        Place::Text if pair.0 == '\\' => (place, 2),
        Place::Text if pair.0 == '"' => {
            code.push('"');
            (Place::Code, 1)
        }
        Place::RawText(marks) if pair.0 == '"' => {
            let end = rest[1..].iter().take(marks).filter(|c| **c == '#').count();
            if end == marks {
                code.push('"');
                (Place::Code, 1 + marks)
            } else {
                (place, 1)
            }
        }
        Place::Text | Place::RawText(_) => (place, 1),
    }
}

fn step_code(
    rest: &[char],
    pair: (char, char),
    code: &mut String,
    comment: &mut String,
) -> (Place, usize) {
    match pair {
        ('/', '/') => {
            comment.push_str("//");
            (Place::LineComment, 2)
        }
        ('/', '*') => {
            comment.push_str("/*");
            (Place::BlockComment(1), 2)
        }
        ('"', _) => {
            let marks = code.chars().rev().take_while(|c| *c == '#').count();
            let before = code[..code.len() - marks]
                .strip_suffix('r')
                .map(|before| before.strip_suffix(['b', 'c']).unwrap_or(before));
            let is_raw = before.is_some_and(|before| !before.ends_with(is_name));
            code.push('"');
            (if is_raw { Place::RawText(marks) } else { Place::Text }, 1)
        }
        ('\'', next) => {
            let end = match next {
                '\\' => rest.iter().skip(3).position(|c| *c == '\'').map(|len| len + 4),
                _ => (rest.get(2) == Some(&'\'')).then_some(3),
            };
            code.push_str(if end.is_some() { "''" } else { "'" });
            (Place::Code, end.unwrap_or(1))
        }
        (c, _) => {
            code.push(c);
            (Place::Code, 1)
        }
    }
}

/// A rule, a file, and the lines it must object to.
struct Case {
    rule: Rule,
    path: &'static str,
    text: &'static str,
    lines: &'static [usize],
}

const fn case(rule: Rule, path: &'static str, text: &'static str, lines: &'static [usize]) -> Case {
    Case { rule, path, text, lines }
}

// One case, one line.
#[rustfmt::skip]
const CASES: &[Case] = &[
    case(check_floors, "src/llm/a.rs", "use crate::http::Head;", &[1]),
    case(check_floors, "src/llm/a.rs", "use crate::{\n    base::Id,\n    http::{Head, Body},\n};", &[3, 3]),
    case(check_floors, "src/llm/a.rs", "use crate::base::Id;\nfn f(x: crate::gateway::Line) {}", &[2]),
    case(check_floors, "src/llm/a.rs", "#[cfg(test)]\nmod tests {\n    use crate::gateway::Line;\n}", &[3]),
    case(check_floors, "src/llm/a.rs", "use super::super::config::Settings;", &[1]),
    case(check_floors, "src/llm/a.rs", "use crate::Gateway;", &[1]),
    case(check_floors, "src/llm/a.rs", "use crate::llm::{Usage, {Id as Name, Other}};\n// crate::http::X", &[]),
    case(check_floors, "src/llm/a.rs", "fn f() { let s = \"crate::http::X\"; crate::row!(1); }", &[]),
    case(check_floors, "src/app.rs", "use crate::gateway::Line;", &[]),
    case(check_front_doors, "src/llm/a.rs", "use crate::base::clock::Instant;", &[1]),
    case(check_front_doors, "src/app.rs", "use crate::{base::{clock::{Instant}}};", &[1]),
    case(check_front_doors, "src/llm/a.rs", "use crate::base::{Instant, Clock::Wall};", &[]),
    case(check_front_doors, "src/base/id.rs", "use crate::base::clock::Instant;", &[]),
    case(check_async, "src/http/a.rs", "async fn f() {\n    g().await;\n}", &[1, 2]),
    case(check_async, "src/shard/a.rs", "async fn f() { g().await; }", &[]),
    case(check_async, "src/http/a.rs", "// async is for others\nfn asynchronous() {}", &[]),
    case(check_opening, "src/http/a.rs", "use std::fmt;", &[1]),
    case(check_opening, "src/http/a.rs", "//! What it is.", &[]),
    case(check_leftovers, "src/http/a.rs", "// TODO later\ntodo!()", &[1, 2]),
    case(check_leftovers, "tests/a.rs", "#[ignore]\n#[should_panic]\nfn f() { dbg!(1); }", &[1, 2, 3]),
    case(check_leftovers, "src/http/a.rs", "// let x = f();\n// }\n// close(x)?;\nlet y = 1;", &[1, 2, 3]),
    case(check_leftovers, "src/http/a.rs", "// if the peer has closed (see above);\n// a while, for all.", &[1]),
    case(check_leftovers, "src/http/a.rs", "// The word is in a string; read (RFC 9110);\nlet s = \"TODO\";", &[]),
    case(check_file_names, "src/http/utils.rs", "", &[1]),
    case(check_file_names, "tests/common/mod.rs", "", &[1]),
    case(check_file_names, "src/http/head.rs", "", &[]),
    case(check_environment, "src/http/a.rs", "let x = std::env::var(\"X\");\nlet y = env::vars_os();", &[1, 2]),
    case(check_environment, "src/config/a.rs", "let x = std::env::var(\"X\");", &[]),
    case(check_environment, "src/app.rs", "let x = env!(\"CARGO_PKG_VERSION\");", &[]),
    case(check_blocking, "src/gateway/a.rs", "use std::{fs, sync::Mutex};\nstd::thread::sleep(d);", &[1, 1, 2]),
    case(check_blocking, "src/shard/a.rs", "// tidy: blocking, an offload thread\nuse std::fs;", &[]),
    case(check_blocking, "src/shard/a.rs", "use std::fs; // tidy: blocking,\nuse std::net::{IpAddr, TcpStream};", &[1, 2]),
    case(check_blocking, "src/http/a.rs", "// tidy: blocking, no\nuse std::fs;", &[2]),
    case(check_blocking, "src/http/a.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}", &[]),
    case(check_blocking, "src/store/a.rs", "use std::fs;", &[]),
    case(check_clocks, "src/gateway/a.rs", "use std::time::{Duration, Instant};", &[1]),
    case(check_clocks, "src/gateway/a.rs", "use crate::base::Instant;\nlet now = Instant::now();", &[]),
    case(check_clocks, "src/routing/a.rs", "let now = Instant::now();\nlet day = unix_now();", &[1, 2]),
    case(check_clocks, "src/shard/a.rs", "let now = std::time::Instant::now();", &[]),
    case(check_unwrap, "src/http/a.rs", "f().unwrap();", &[1]),
    case(check_unwrap, "src/http/a.rs", "//! f().unwrap();\n#[cfg(test)]\nmod tests {\n    fn f() { g().unwrap(); }\n}", &[]),
    case(check_unwrap, "src/http/a.rs", "#[cfg(test)]\nuse a::B;\nfn f() { g().unwrap(); }", &[3]),
    case(check_unwrap, "src/http/a.rs", "let s = r#\"\"quoted\".unwrap()\"#;\nlet c = '\"'; f().unwrap(); /* \" */", &[2]),
    case(check_unwrap, "src/http/a.rs", "let s = \"a\\\"\n.unwrap()\"; let q = '\\''; let l: &'a str = f;", &[]),
    case(check_parts, "src/elsewhere/a.rs", "", &[1, 1]),
    case(check_parts, "src/keys/a.rs", "", &[1]),
    case(check_parts, "src/stray.rs", "", &[1]),
    case(check_parts, "src/base/a.rs", "", &[]),
    case(check_machine_paths, "docs/a.md", "see /work/x\n\n```\n/tmp/y\n```", &[1, 4]),
    case(check_machine_paths, "scripts/a", "x=$(mktemp -d /tmp/x.XXXX)\ncd /root/x", &[2]),
    case(check_standard_streams, "src/app.rs", "println!(\"a\");\neprint!(\"b\");\nwriteln!(out, \"c\")?;", &[1, 2]),
    case(check_standard_streams, "src/http/a.rs", "#[cfg(test)]\nmod tests {\n    fn f() { println!(); }\n}", &[]),
    case(check_files, "src/cache/a.rs", "let a = std::fs::File::open(b)?;\nlet c = fs::read(d)?;\nfs::read_dir(e)?;", &[1, 2]),
    case(check_files, "src/base/file.rs", "let a = File::open(b)?;", &[]),
    case(check_names, "src/http/a.rs", "pub struct Asked;\npub(super) enum Told {}", &[1, 2]),
    case(check_names, "src/http/a.rs", "pub(super) async fn ask(x: u8) {}\nfn tell_tale() {}", &[1]),
    case(check_names, "src/http/a.rs", "pub struct A;\npub struct B;\nmod c { pub enum A {} }\npub enum A {}", &[1, 4]),
    case(check_names, "src/http/a.rs", "struct A;\nenum A {}\npub struct B<T>(T);", &[]),
    case(check_names, "loadtest/src/a.rs", "pub struct Told;\npub struct A;", &[1]),
    case(check_words, "docs/a.md", "A failure leads on.\nIt leads to one.", &[1]),
    case(check_words, "src/http/a.rs", "#[error(\"waited in vain\")]\n// whom", &[1, 2]),
    case(check_words, "src/http/a.rs", "let told = \"whom\";", &[]),
    case(check_unsafe, "src/http/a.rs", "unsafe { f() }", &[1]),
    case(check_unsafe, "src/shard/a.rs", "fn g() {}\n\n\n\nunsafe { f() }", &[5]),
    case(check_unsafe, "src/shard/a.rs", "// SAFETY: `f` takes\n// nothing\n// at\n// all.\nunsafe { f() }", &[]),
    case(check_unsafe, "src/shard/a.rs", "#![expect(unsafe_code)]\n// SAFETY: none needed.\nlet x = unsafe { f() };", &[]),
];

#[test]
fn every_tidy_rule_can_fail() {
    for Case { rule, path, text, lines } in CASES {
        assert_objects(*rule, path, text, lines);
    }
    let body = "    f();\n".repeat(FUNCTION_LINES_MAX);
    let function = format!("fn long(x: [u8; 4]) {{\n{body}}}\n");
    assert_objects(check_sizes, "src/http/a.rs", &function, &[1]);
    assert_objects(check_sizes, "src/http/a.rs", &format!("fn short();\n{function}"), &[2]);
    let excused = format!("// Long because it is a table.\n#[must_use]\npub {function}");
    assert_objects(check_sizes, "src/http/a.rs", &excused, &[]);
    let test = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function.repeat(10));
    assert_objects(check_sizes, "src/http/a.rs", &test, &[]);
    let file = "fn f() {}\n".repeat(FILE_LINES_MAX + 1);
    assert_objects(check_sizes, "src/http/a.rs", &file, &[1]);
    assert_objects(check_sizes, "src/http/a.rs", &format!("//! Long because so.\n{file}"), &[]);
}

#[test]
fn files_declared_as_tests_are_tests() {
    let declared = Source::new("src/http/mod.rs", "#[cfg(test)]\nmod samples;\nmod head;");
    let samples = Source::new("src/http/samples.rs", "f().unwrap();");
    let head = Source::new("src/http/head.rs", "f().unwrap();");
    let mut tree = Tree(vec![declared, samples, head]);
    tree.mark_test_files();
    let objections = tree.0.iter().map(|source| check_unwrap(source, &tree).len());
    assert_eq!(objections.collect::<Vec<_>>(), [0, 0, 1]);
}

fn assert_objects(rule: Rule, path: &str, text: &str, lines: &[usize]) {
    let neighbors = ["src/base/mod.rs", "src/base/clock.rs", "src/llm/mod.rs"];
    let tree = Tree(neighbors.map(|path| Source::new(path, "")).into());
    let violations = rule(&Source::new(path, text), &tree);
    let mut found: Vec<_> = violations.iter().map(|violation| violation.line).collect();
    found.sort_unstable();
    assert_eq!(found, lines, "{path}:\n{text}\n");
}
