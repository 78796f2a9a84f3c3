//! Code, URLs, identifiers and quotations must be equal; what could not be read whole equals nothing.

use crate::cache::comparison::Comparison;
use crate::cache::profile::{Profile, Span};

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let Comparison { a, b, .. } = pair;
    let are_quotes_compared = quotes(a).next().is_some() && quotes(b).next().is_some();
    a.is_cut()
        || b.is_cut()
        || opaques(a).ne(opaques(b))
        // A quotation on one side only is emphasis as often as not, and its words are compared.
        || (are_quotes_compared && quotes(a).ne(quotes(b)))
}

fn opaques(profile: &Profile) -> impl Iterator<Item = &Span> {
    profile.spans().iter().filter(|span| matches!(span, Span::Opaque(_)))
}

fn quotes(profile: &Profile) -> impl Iterator<Item = &Span> {
    profile.spans().iter().filter(|span| matches!(span, Span::Quote(_)))
}
