//! All routes of the settings.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::Route;

/// Routes by their names.
#[derive(Debug)]
pub struct RouteSet {
    routes: HashMap<String, Arc<Route>>,
    /// The models that they set.
    models: HashSet<Arc<str>>,
    /// A hash of the text that they were made from. Secrets may be in it.
    written: [u8; 32],
}

impl RouteSet {
    /// The set of these routes, which are made from `written` and nothing else.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = Route>, written: &[u8]) -> Self {
        let routes = routes.into_iter().map(|route| (route.name.clone(), Arc::new(route)));
        let routes: HashMap<_, _> = routes.collect();
        let targets = routes.values().flat_map(|route| &route.targets);
        let models = targets.flat_map(|it| [&it.override_model, &it.default_model]);
        let models = models.flatten().cloned().collect();
        Self { routes, models, written: *blake3::hash(written).as_bytes() }
    }

    /// The route of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.get(name)
    }

    /// True if a route sets that model.
    #[must_use]
    pub fn names_model(&self, model: &str) -> bool {
        self.models.contains(model)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

/// Equal sets are made from the same text.
impl PartialEq for RouteSet {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}
