//! `conditional`: the first condition that holds names the target; else the `default` does.
//!
//! A failure does not lead on: who wants that nests a `fallback`.

use super::condition::Condition;
use super::field::Field;
use super::strategy::{Choosing, Draft, Strategy};
use crate::base::{Problems, did_you_mean, member_path};

#[derive(Debug)]
pub(super) struct Conditional {
    /// Conditions and the places in the group.
    conditions: Vec<(Condition, usize)>,
    default: Option<usize>,
}

impl Conditional {
    pub(super) fn make(draft: &Draft<'_>, problems: &mut Problems) -> Option<Box<dyn Strategy>> {
        let path = member_path(draft.path, "conditions");
        let written = draft.settings.conditions.as_deref().unwrap_or_default();
        if written.is_empty() {
            problems.add(&path, "expected at least one condition, got none", "");
        }
        let mut conditions = Vec::new();
        for (index, written) in written.iter().enumerate() {
            if problems.is_full() {
                break;
            }
            let path = format!("{path}[{index}]");
            let query = member_path(&path, "query");
            let condition = Condition::read(&written.query, &query, draft.tally, problems);
            let place = draft.place(&written.then, &member_path(&path, "then"), problems);
            conditions.extend(condition.zip(place));
        }
        let default = draft.settings.default.as_deref();
        let default_path = member_path(draft.path, "default");
        let default = default.and_then(|name| draft.place(name, &default_path, problems));
        Some(Box::new(Self { conditions, default }))
    }
}

impl Draft<'_> {
    /// The place of the child of that name.
    fn place(&self, name: &str, path: &str, problems: &mut Problems) -> Option<usize> {
        let found = self.children.iter().position(|child| child.name == Some(name));
        if found.is_none() {
            let names = self.children.iter().filter_map(|child| child.name);
            let hint = did_you_mean(name, names);
            let message = format!("no target has the name {}", problems.quote(path, name));
            problems.add(path, message, hint);
        }
        found
    }
}

impl Strategy for Conditional {
    fn choose(&self, choosing: &mut Choosing<'_>) -> Option<usize> {
        let holds = |(condition, _): &&(Condition, usize)| condition.holds(choosing.facts);
        let found = self.conditions.iter().find(holds).map(|(_, place)| *place);
        found.or(self.default)
    }

    fn fields(&self) -> Vec<&Field> {
        self.conditions.iter().flat_map(|(condition, _)| condition.fields()).collect()
    }

    fn may_choose_nobody(&self) -> bool {
        self.default.is_none()
    }

    fn fails_over(&self) -> bool {
        false
    }

    fn heeds_health(&self) -> bool {
        false
    }
}
