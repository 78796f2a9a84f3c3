//! Several paths into one JSON body, evaluated in one pass over the text.
//!
//! A path has one bit. The state at a position in the text is the set of paths that match it, in
//! one word; a deeper step is one lookup and one `and`. So a pass costs the length of the text, not
//! its product with the paths, even if wildcards make many paths match one position.

use std::ops::Range;

/// Paths in one set: the bits of its word.
pub(super) const PATHS_MAX: usize = 128;

/// Steps of a path, including the first member.
pub(super) const STEPS_MAX: usize = 16;

/// A set of paths, one bit each.
pub(super) type Bits = u128;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathStep {
    /// `.name`, of an object.
    Member(String),
    /// `[3]`, of an array; counted from 0.
    Element(usize),
    /// `[*]`, of an array.
    EveryElement,
}

/// Several paths.
#[derive(Debug, Default)]
pub(super) struct PathSet {
    /// The first steps of the paths, the second ones, and so on.
    levels: Vec<Level>,
}

/// Which paths have which step.
#[derive(Debug, Default)]
struct Level {
    /// Sorted by name.
    members: Vec<(String, Bits)>,
    /// Sorted by index.
    elements: Vec<(usize, Bits)>,
    every_element: Bits,
    /// Paths with a member step here.
    by_member: Bits,
    /// Paths with an element step here.
    by_element: Bits,
    /// Paths that end at this step.
    last: Bits,
}

impl Level {
    fn member(&self, name: &[u8]) -> Bits {
        let found = self.members.binary_search_by(|(known, _)| known.as_bytes().cmp(name));
        found.ok().and_then(|place| self.members.get(place)).map_or(0, |(_, paths)| *paths)
    }

    fn element(&self, index: usize) -> Bits {
        let found = self.elements.binary_search_by_key(&index, |(known, _)| *known);
        let named = found.ok().and_then(|place| self.elements.get(place));
        named.map_or(0, |(_, paths)| *paths) | self.every_element
    }

    fn add(&mut self, step: &PathStep, path: Bits) {
        match step {
            PathStep::Member(name) => {
                self.by_member |= path;
                match self.members.iter_mut().find(|it| it.0 == *name) {
                    Some((_, paths)) => *paths |= path,
                    None => self.members.push((name.clone(), path)),
                }
            }
            PathStep::Element(index) => {
                self.by_element |= path;
                match self.elements.iter_mut().find(|it| it.0 == *index) {
                    Some((_, paths)) => *paths |= path,
                    None => self.elements.push((*index, path)),
                }
            }
            PathStep::EveryElement => {
                self.by_element |= path;
                self.every_element |= path;
            }
        }
    }
}

impl PathSet {
    /// The set of the first [`PATHS_MAX`] of `paths`. Each begins with a member of the body.
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = &'p [PathStep]>) -> Self {
        let mut levels: Vec<Level> = Vec::new();
        for (place, steps) in paths.into_iter().take(PATHS_MAX).enumerate() {
            let path = bit(place);
            levels.resize_with(levels.len().max(steps.len()), Level::default);
            for (level, step) in levels.iter_mut().zip(steps) {
                level.add(step, path);
            }
            if let Some(level) = steps.len().checked_sub(1).and_then(|last| levels.get_mut(last)) {
                level.last |= path;
            }
        }
        for level in &mut levels {
            level.members.sort_unstable();
            level.elements.sort_unstable();
        }
        Self { levels }
    }

    /// The body members with which some of `paths` begin, and those paths.
    pub(super) fn members(&self, paths: Bits) -> impl Iterator<Item = (&str, Bits)> {
        let first = self.levels.first().map(|level| level.members.as_slice());
        let members = first.unwrap_or_default().iter();
        members.map(move |(name, its)| (name.as_str(), its & paths)).filter(|(_, its)| *its != 0)
    }

    /// True if one of `paths` is a member of the body itself.
    pub(super) fn is_whole_member(&self, paths: Bits) -> bool {
        self.levels.first().is_some_and(|level| level.last & paths != 0)
    }

    /// The ranges of the values that `paths` name in a member's JSON text, each with its comma: in
    /// order and disjoint. Invalid JSON gives none or wrong ranges.
    pub(super) fn cuts(&self, member_json: &[u8], paths: Bits) -> Vec<Range<usize>> {
        let mut cuts = Vec::new();
        let mut cursor = Cursor { text: member_json, at: 0 };
        match cursor.cut(self.levels.get(1..).unwrap_or_default(), paths, &mut cuts) {
            Some(()) => cuts,
            None => Vec::new(),
        }
    }

    /// Passes the JSON text of each value that `paths` name in a member to `found`. Only members of
    /// objects are followed; of several with one name the last one counts.
    pub(super) fn values<'t>(
        &self,
        member_json: &'t [u8],
        paths: Bits,
        found: &mut [Option<&'t [u8]>],
    ) {
        let Some((first, deeper)) = self.levels.split_first() else { return };
        note(found, paths & first.last, Some(member_json.trim_ascii()));
        let mut cursor = Cursor { text: member_json, at: 0 };
        // In invalid JSON nothing is found behind the error.
        let _ = cursor.find(deeper, paths & !first.last, found);
    }
}

/// The bit of a path by its index.
pub(super) fn bit(place: usize) -> Bits {
    u32::try_from(place).ok().and_then(|place| Bits::checked_shl(1, place)).unwrap_or(0)
}

fn note<'t>(found: &mut [Option<&'t [u8]>], paths: Bits, value: Option<&'t [u8]>) {
    if paths != 0 {
        let places = found.iter_mut().enumerate().filter(|(place, _)| paths & bit(*place) != 0);
        places.for_each(|(_, slot)| *slot = value);
    }
}

/// A position in JSON text that moves over values. On invalid JSON it stops or is wrong, but it
/// never moves back, so it terminates.
struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Cursor<'t> {
    /// Moves over one value and adds the ranges that `paths` name in it to `cuts`, in order.
    /// Recursion is bounded by the number of steps.
    fn cut(&mut self, levels: &[Level], paths: Bits, cuts: &mut Vec<Range<usize>>) -> Option<()> {
        let first = self.next()?;
        let Some((level, deeper)) = levels.split_first().filter(|_| paths != 0) else {
            return self.skip();
        };
        let closing = match first {
            b'{' if paths & level.by_member != 0 => b'}',
            b'[' if paths & level.by_element != 0 => b']',
            _ => return self.skip(),
        };
        self.at += 1;
        let (mut index, mut previous_end, mut is_kept_before) = (0, self.at, false);
        while self.next()? != closing {
            let start = self.at;
            let its = paths & if closing == b'}' { self.key(level)? } else { level.element(index) };
            let is_cut = its & level.last != 0;
            if is_cut {
                self.skip()?;
            } else {
                self.cut(deeper, its, cuts)?;
            }
            let (end, mut next_start) = (self.at, self.at);
            if self.next()? == b',' {
                self.at += 1;
                self.next()?;
                next_start = self.at;
            }
            // It is cut with the comma before it or, if nothing before it is kept, the one after
            // it.
            if !is_cut {
                is_kept_before = true;
            } else if is_kept_before {
                cuts.push(previous_end..end);
            } else {
                cuts.push(start..next_start);
            }
            (index, previous_end) = (index + 1, end);
        }
        self.at += 1;
        Some(())
    }

    /// Moves over one value and passes what `paths` name in it to `found`. Recursion is bounded by
    /// the number of steps.
    fn find(
        &mut self,
        levels: &[Level],
        paths: Bits,
        found: &mut [Option<&'t [u8]>],
    ) -> Option<()> {
        let first = self.next()?;
        let Some((level, deeper)) = levels.split_first().filter(|_| paths != 0 && first == b'{')
        else {
            return self.skip();
        };
        self.at += 1;
        while self.next()? != b'}' {
            let its = paths & self.key(level)?;
            // An earlier member of the same name, and everything in it, does not count.
            note(found, its, None);
            self.next()?;
            let start = self.at;
            self.find(deeper, its & !level.last, found)?;
            note(found, its & level.last, self.text.get(start..self.at));
            if self.next()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(())
    }

    /// Moves over a key and its colon, and returns the paths that continue with it.
    fn key(&mut self, level: &Level) -> Option<Bits> {
        let literal = self.string()?;
        if self.next()? != b':' {
            return None;
        }
        self.at += 1;
        if memchr::memchr(b'\\', literal).is_some() {
            let key: Option<String> = serde_json::from_slice(literal).ok();
            return Some(key.map_or(0, |key| level.member(key.as_bytes())));
        }
        Some(level.member(literal.get(1..literal.len() - 1)?))
    }

    /// Moves over one value. Brackets are counted, not matched, so that depth uses no stack.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                b'"' => _ = self.string()?,
                byte => {
                    self.at += 1;
                    match byte {
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.checked_sub(1)?,
                        _ => self.skip_word()?,
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Moves to the end of a number, `true`, `false` or `null`.
    fn skip_word(&mut self) -> Option<()> {
        let is_inside = |byte: &&u8| !b" \t\n\r,:\"[]{}".contains(byte);
        self.at += self.text.get(self.at..)?.iter().take_while(is_inside).count();
        Some(())
    }

    /// Moves over a string and returns its literal, with quotes.
    fn string(&mut self) -> Option<&'t [u8]> {
        if self.next()? != b'"' {
            return None;
        }
        let start = self.at;
        self.at += 1;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            if self.text.get(self.at) == Some(&b'"') {
                self.at += 1;
                return self.text.get(start..self.at);
            }
            self.at += 2;
        }
    }

    /// Moves over white space and returns the byte after it.
    fn next(&mut self) -> Option<u8> {
        let behind = self.text.get(self.at..)?.trim_ascii_start();
        self.at = self.text.len() - behind.len();
        behind.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(path: &str) -> Vec<PathStep> {
        path.split('.').map(|name| PathStep::Member(name.to_owned())).collect()
    }

    #[test]
    fn several_values_are_found_in_one_pass() {
        let paths = ["a", "a.b", "a.b.c", "a.x", "b.b"].map(members);
        let set = PathSet::new(paths.iter().map(Vec::as_slice));
        for (json, expected) in [
            (r#"{"b":{"c":1}}"#, ["{\"b\":{\"c\":1}}", "{\"c\":1}", "1", "", ""]),
            (
                r#" { "b" : [ 1 ] , "x" : "y" } "#,
                ["{ \"b\" : [ 1 ] , \"x\" : \"y\" }", "[ 1 ]", "", "\"y\"", ""],
            ),
            // The last member of a name counts, and nothing from earlier ones.
            (r#"{"b":{"c":1},"b":2}"#, ["{\"b\":{\"c\":1},\"b\":2}", "2", "", "", ""]),
            (
                r#"{"\u0062":{"c":null}}"#,
                ["{\"\\u0062\":{\"c\":null}}", "{\"c\":null}", "null", "", ""],
            ),
            ("7", ["7", "", "", "", ""]),
            ("[]", ["[]", "", "", "", ""]),
        ] {
            let mut found = vec![None; paths.len()];
            let its = set.members(Bits::MAX).find(|(name, _)| *name == "a").expect("a").1;
            set.values(json.as_bytes(), its, &mut found);
            let found: Vec<&str> = found
                .iter()
                .map(|it| std::str::from_utf8(it.unwrap_or_default()).expect("text"))
                .collect();
            assert_eq!(found, expected, "{json}");
        }
    }

    #[test]
    fn path_count_is_bounded() {
        let paths: Vec<Vec<PathStep>> =
            (0..=PATHS_MAX).map(|at| members(&format!("m{at}"))).collect();
        let set = PathSet::new(paths.iter().map(Vec::as_slice));
        assert_eq!(set.members(Bits::MAX).count(), PATHS_MAX);
        assert_eq!((bit(PATHS_MAX - 1), bit(PATHS_MAX)), (1 << 127, 0));
    }
}
