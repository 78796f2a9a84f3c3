//! `conditional`: the first true condition selects the target; otherwise `default` does.
//!
//! A failure does not fail over; nest a `fallback` for that.

use super::condition::Condition;
use super::field::Field;
use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::{Diagnostics, did_you_mean, member_path};

#[derive(Debug)]
pub(super) struct Conditional {
    /// Conditions and their positions in the group.
    conditions: Vec<(Condition, usize)>,
    default: Option<usize>,
}

impl Conditional {
    pub(super) fn make(
        input: &StrategyInput<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Box<dyn Strategy>> {
        let path = member_path(input.path, "conditions");
        let written = input.settings.conditions.as_deref().unwrap_or_default();
        if written.is_empty() {
            diagnostics.add(&path, "expected at least one condition, got none", "");
        }
        let mut conditions = Vec::new();
        for (index, written) in written.iter().enumerate() {
            if diagnostics.is_full() {
                break;
            }
            let path = format!("{path}[{index}]");
            let query = member_path(&path, "query");
            let condition = Condition::read(&written.query, &query, input.usage, diagnostics);
            let place = input.place(&written.then, &member_path(&path, "then"), diagnostics);
            conditions.extend(condition.zip(place));
        }
        let default = input.settings.default.as_deref();
        let default_path = member_path(input.path, "default");
        let default = default.and_then(|name| input.place(name, &default_path, diagnostics));
        Some(Box::new(Self { conditions, default }))
    }
}

impl StrategyInput<'_> {
    /// The position of the child with that name.
    fn place(&self, name: &str, path: &str, diagnostics: &mut Diagnostics) -> Option<usize> {
        let found = self.children.iter().position(|child| child.name == Some(name));
        if found.is_none() {
            let names = self.children.iter().filter_map(|child| child.name);
            let hint = did_you_mean(name, names);
            let message = format!("no target has the name {}", diagnostics.quote(path, name));
            diagnostics.add(path, message, hint);
        }
        found
    }
}

impl Strategy for Conditional {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        let holds = |(condition, _): &&(Condition, usize)| condition.holds(selection.attributes);
        let found = self.conditions.iter().find(holds).map(|(_, place)| *place);
        found.or(self.default)
    }

    fn fields(&self) -> Vec<&Field> {
        self.conditions.iter().flat_map(|(condition, _)| condition.fields()).collect()
    }

    fn may_select_none(&self) -> bool {
        self.default.is_none()
    }

    fn fails_over(&self) -> bool {
        false
    }

    fn respects_health(&self) -> bool {
        false
    }
}
