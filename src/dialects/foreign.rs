//! Members that one dialect alone knows: they travel along to that dialect, and nowhere else.

use super::warnings::Warnings;
use crate::llm::{ChatRequest, Dialect, Foreign, Node, ObjectWriter};

/// Keeps a member that `dialect` alone knows. Null says nothing in any dialect.
pub(super) fn keep(request: &mut ChatRequest, dialect: Dialect, key: &str, value: Node<'_>) {
    if !value.is_null() {
        let foreign = Foreign { dialect, json: value.json() };
        request.foreign.push((key.to_owned(), foreign));
    }
}

/// Writes the members that `dialect` knows and warns of the others.
pub(super) fn write(
    object: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    dialect: Dialect,
    warnings: &mut Warnings,
) {
    for (key, foreign) in &request.foreign {
        if foreign.dialect == dialect {
            object.raw(key, &foreign.json);
        } else {
            warnings.dropped(key, "the provider's format has no such member");
        }
    }
}
