//! One schema, with its references and intersections merged.

use crate::llm::{Node, ObjectWriter};

/// The reason why a vendor cannot enforce a schema.
pub(in crate::dialects) type UnfitReason = &'static str;

/// Maximum number of references followed in a row.
const REFERENCES_MAX: usize = 32;

/// Maximum number of bytes of alternatives in the description of the object they were merged into.
const ALTERNATIVES_BYTES_MAX: usize = 1024;

/// The members of a schema.
#[derive(Default)]
pub(super) struct View<'a> {
    /// The reference, if the schema consists of nothing else.
    pub(super) reference: Option<&'a str>,
    /// Each keyword once, in order. `properties` and `required` stand for the fields below.
    pub(super) keywords: Vec<(&'a str, Node<'a>)>,
    /// Named members.
    pub(super) properties: Vec<(&'a str, Node<'a>)>,
    /// Required members.
    pub(super) required: Vec<&'a str>,
    /// Further schemas of members that several alternatives have.
    others: Vec<(&'a str, Node<'a>)>,
    /// True if alternatives were merged.
    pub(super) has_alternatives: bool,
    /// True if references or intersections were merged.
    is_merged: bool,
}

impl<'a> View<'a> {
    /// Adds the members of `node`. A reference without other members is kept if `keeps_references`; any
    /// other is merged and added to `merged`.
    ///
    /// # Errors
    /// If a reference is dangling, external or circular.
    pub(super) fn collect(
        &mut self,
        node: Node<'a>,
        root: Node<'a>,
        keeps_references: bool,
        merged: &mut Vec<&'a str>,
    ) -> Result<(), UnfitReason> {
        if let Some(reference) = node.get("$ref").and_then(Node::text) {
            let is_alone = node.members().all(|(key, _)| is_bookkeeping(key));
            if keeps_references && is_alone && self.is_empty() && is_definition(reference) {
                self.reference = Some(reference);
                return Ok(());
            }
            // Members next to a reference take precedence over what it refers to.
            self.is_merged = true;
            self.members(node, root, merged)?;
            if merged.contains(&reference) || merged.len() >= REFERENCES_MAX {
                return Err("a schema that contains itself");
            }
            let target = resolve(root, reference).ok_or("a reference out of the schema")?;
            merged.push(reference);
            return self.collect(target, root, false, merged);
        }
        self.members(node, root, merged)
    }

    fn is_empty(&self) -> bool {
        self.keywords.is_empty()
    }

    fn members(
        &mut self,
        node: Node<'a>,
        root: Node<'a>,
        merged: &mut Vec<&'a str>,
    ) -> Result<(), UnfitReason> {
        for (key, value) in node.members() {
            match key {
                "$ref" => {}
                "allOf" => {
                    self.is_merged = true;
                    for branch in value.items() {
                        self.collect(branch, root, false, merged)?;
                    }
                }
                "properties" => {
                    self.add(key, value);
                    for (name, schema) in value.members() {
                        if !self.properties.iter().any(|(known, _)| *known == name) {
                            self.properties.push((name, schema));
                        }
                    }
                }
                "required" => {
                    self.add(key, value);
                    let names = value.items().filter_map(Node::text);
                    for name in names {
                        if !self.required.contains(&name) {
                            self.required.push(name);
                        }
                    }
                }
                _ => self.add(key, value),
            }
        }
        Ok(())
    }

    fn add(&mut self, key: &'a str, value: Node<'a>) {
        if !self.has(key) {
            self.keywords.push((key, value));
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keywords.iter().any(|(known, _)| *known == key)
    }

    fn kind(&self) -> Option<Node<'a>> {
        self.keywords.iter().find(|(key, _)| *key == "type").map(|(_, value)| *value)
    }

    /// True for objects, even without a `type`.
    pub(super) fn is_object(&self) -> bool {
        let is_object = |node: Node<'_>| node.text() == Some("object");
        match self.kind() {
            Some(kind) => is_object(kind) || kind.items().any(is_object),
            None => self.has("properties"),
        }
    }

    /// The type that other keywords imply, if `type` is missing.
    pub(super) fn implied_type(&self) -> Option<&'static str> {
        if self.kind().is_some() || self.reference.is_some() {
            None
        } else if self.has("properties") {
            Some("object")
        } else {
            self.has("items").then_some("array")
        }
    }

    /// The root of a tool's arguments with its alternatives merged. None if it is invalid, or not an
    /// object.
    pub(super) fn of_root(root: Node<'a>) -> Option<Self> {
        let (mut view, mut merged) = (Self::default(), Vec::new());
        view.collect(root, root, false, &mut merged).ok()?;
        if view.kind().is_some() && !view.is_object() {
            return None;
        }
        for key in ["anyOf", "oneOf"] {
            let found = view.keywords.iter().find(|(known, _)| *known == key);
            if let Some((_, alternatives)) = found.copied() {
                view.merge_alternatives(alternatives, root);
            }
        }
        Some(view)
    }

    /// Adds one alternative, for vendors without unions: all members of object alternatives, else the
    /// first that is not null. The keyword is kept if there was more than one.
    ///
    /// # Errors
    /// See [`View::collect`].
    pub(super) fn choose_alternative(
        &mut self,
        root: Node<'a>,
        merged: &mut Vec<&'a str>,
    ) -> Result<(), UnfitReason> {
        let is_union = |(key, _): &(&str, Node<'a>)| matches!(*key, "anyOf" | "oneOf");
        let Some(place) = self.keywords.iter().position(is_union) else { return Ok(()) };
        let Some((_, union)) = self.keywords.get(place).copied() else { return Ok(()) };
        let branches = || union.items().filter(|branch| branch.text_of("type") != "null");
        let are_objects = branches().all(|branch| branch.get("properties").is_some());
        match branches().next() {
            Some(only) if branches().count() == 1 => {
                self.keywords.remove(place);
                self.collect(only, root, false, merged)
            }
            Some(first) if !are_objects => self.collect(first, root, false, merged),
            Some(first) => {
                self.add("properties", first);
                self.merge_alternatives(union, root);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Adds the members of each alternative; a member stays required if all alternatives require it.
    fn merge_alternatives(&mut self, alternatives: Node<'a>, root: Node<'a>) {
        let mut required: Option<Vec<&'a str>> = None;
        for branch in alternatives.items() {
            let (mut view, mut merged) = (Self::default(), Vec::new());
            if view.collect(branch, root, false, &mut merged).is_err() {
                continue;
            }
            for (name, schema) in view.properties {
                match self.properties.iter().find(|(known, _)| *known == name) {
                    None => self.properties.push((name, schema)),
                    Some((_, known)) if known.json() == schema.json() => {}
                    Some(_) => self.others.push((name, schema)),
                }
            }
            required = Some(match required {
                None => view.required,
                Some(before) => {
                    before.into_iter().filter(|name| view.required.contains(name)).collect()
                }
            });
        }
        for name in required.unwrap_or_default() {
            if !self.required.contains(&name) {
                self.required.push(name);
            }
        }
        self.has_alternatives = true;
    }

    /// True if the root needs no change.
    pub(super) fn is_object_already(&self) -> bool {
        let is_object = self.kind().and_then(Node::text) == Some("object");
        is_object && self.has("properties") && !self.has_alternatives && !self.is_merged
    }

    /// Writes it as an object; nested schemas are unchanged.
    pub(super) fn write_object_root(&self, object: &mut ObjectWriter<'_>) {
        object.text("type", "object");
        object.object("properties", |members| {
            for (name, schema) in &self.properties {
                let mut others = self.others.iter().filter(|(other, _)| other == name).peekable();
                if others.peek().is_none() {
                    members.raw(name, &schema.json());
                } else {
                    members.object(name, |either| {
                        either.array("anyOf", |array| {
                            array.raw(&schema.json());
                            others.for_each(|(_, other)| array.raw(&other.json()));
                        });
                    });
                }
            }
        });
        if !self.required.is_empty() {
            object.texts("required", self.required.iter().copied());
        }
        let mut description = String::new();
        for (key, value) in &self.keywords {
            match *key {
                "type" | "properties" | "required" => {}
                "anyOf" | "oneOf" => {
                    let text = value.json();
                    if text.text().len() <= ALTERNATIVES_BYTES_MAX {
                        description.extend(["\n\n{", key, ": ", text.text(), "}"]);
                    }
                }
                "description" => description.insert_str(0, value.text().unwrap_or_default()),
                _ => object.raw(key, &value.json()),
            }
        }
        if !description.is_empty() {
            object.text("description", description.trim_start());
        }
    }
}

/// Resolves a reference inside the document (RFC 6901).
pub(super) fn resolve<'a>(root: Node<'a>, reference: &str) -> Option<Node<'a>> {
    let pointer = reference.strip_prefix('#')?;
    pointer.split('/').skip(1).try_fold(root, |node, key| {
        let key = key.replace("~1", "/").replace("~0", "~");
        node.get(&key).or_else(|| node.items().nth(key.parse().ok()?))
    })
}

/// True for a member that may accompany a reference.
fn is_bookkeeping(key: &str) -> bool {
    matches!(key, "$ref" | "$schema" | "$id" | "$comment" | "$defs" | "definitions")
}

/// True for a reference to one of the root's definitions.
fn is_definition(reference: &str) -> bool {
    let name = reference.strip_prefix("#/$defs/");
    let name = name.or_else(|| reference.strip_prefix("#/definitions/"));
    name.is_some_and(|name| !name.contains('/'))
}

/// True if the references of the document form a cycle.
pub(super) fn is_recursive(root: Node<'_>) -> bool {
    let (mut open, mut done) = (vec!["#"], Vec::new());
    visit(root, root, &mut open, &mut done)
}

fn visit<'a>(
    node: Node<'a>,
    root: Node<'a>,
    open: &mut Vec<&'a str>,
    done: &mut Vec<&'a str>,
) -> bool {
    let reference = node.get("$ref").and_then(Node::text);
    if let Some(reference) = reference.filter(|it| !done.contains(it)) {
        if open.contains(&reference) {
            return true;
        }
        if let Some(target) = resolve(root, reference) {
            open.push(reference);
            if visit(target, root, open, done) {
                return true;
            }
            open.pop();
        }
        done.push(reference);
    }
    // Definitions count where they are referred to.
    let members = node.members().filter(|(key, _)| !matches!(*key, "$defs" | "definitions"));
    let mut inner = members.map(|(_, value)| value).chain(node.items());
    inner.any(|value| visit(value, root, open, done))
}
