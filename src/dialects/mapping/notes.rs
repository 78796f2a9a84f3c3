//! The numbered notes below a table; each text has one number.

use std::fmt::Write;

use crate::llm::Dialect;

/// The notes of one table.
#[derive(Default)]
pub(super) struct MappingNotes(Vec<String>);

impl MappingNotes {
    /// The mark of the note `text`, which concerns `dialect`.
    pub(super) fn mark(&mut self, dialect: Dialect, text: &str) -> String {
        let name = dialect.name();
        let whole = if text.contains(name) { text.to_owned() } else { format!("{name}: {text}") };
        let index = self.0.iter().position(|known| *known == whole).unwrap_or_else(|| {
            self.0.push(whole);
            self.0.len() - 1
        });
        format!("({})", index + 1)
    }

    /// Appends them as a list.
    pub(super) fn write(&self, out: &mut String) {
        if self.0.is_empty() {
            return;
        }
        out.push('\n');
        for (index, note) in self.0.iter().enumerate() {
            let _ = writeln!(out, "{}. {note}", index + 1);
        }
    }
}
