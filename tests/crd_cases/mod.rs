//! What the API accepts and what it refuses: one table, run in the client-side CEL (`tests/crd_cel.rs`) and on a real
//! API server (`tests/apiserver/main.rs`).

pub(crate) mod examples;
mod registry;
mod scheduler;
mod shared;

use serde_json::{Value, json};

use self::examples::{DRM, POWERJOB, REGISTRY};

/// One object, or one edit of it, and whether the rule lets it pass.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The kind.
    pub(crate) kind: &'static str,
    /// What is tried.
    pub(crate) name: String,
    /// Words of the message of the rule that this case is about.
    pub(crate) rule: String,
    /// The name of the object; a usual one if it is absent.
    pub(crate) object: Option<String>,
    /// The spec before the edit; absent for a creation.
    pub(crate) old: Option<Value>,
    /// The spec.
    pub(crate) new: Value,
    /// Whether the rule refuses it.
    pub(crate) refused: bool,
    /// Why the client-side CEL says the opposite of the API server, where it does.
    pub(crate) client_differs: Option<&'static str>,
}

/// What is put into a base spec: a JSON pointer and a value; `null` takes it out.
pub(crate) type Edits<'a> = &'a [(&'a str, Value)];

/// The spec with these edits.
pub(crate) fn edited(base: &Value, edits: Edits) -> Value {
    let mut spec = base.clone();
    for (path, value) in edits {
        let mut at = &mut spec;
        let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        for part in &parts[..parts.len() - 1] {
            if at.get(part).is_none() {
                at[*part] = json!({});
            }
            at = &mut at[*part];
        }
        let last = parts[parts.len() - 1];
        if value.is_null() {
            at.as_object_mut().map(|fields| fields.remove(last));
        } else {
            at[last] = value.clone();
        }
    }
    spec
}

/// All cases about one rule.
pub(crate) struct About<'a> {
    cases: &'a mut Vec<Case>,
    kind: &'static str,
    rule: String,
    base: Value,
}

impl<'a> About<'a> {
    pub(crate) fn new(
        cases: &'a mut Vec<Case>,
        kind: &'static str,
        base: &Value,
        rule: impl Into<String>,
    ) -> Self {
        Self { cases, kind, rule: rule.into(), base: base.clone() }
    }

    fn add(&mut self, name: &str, old: Option<Edits>, new: Edits, refused: bool) {
        self.cases.push(Case {
            kind: self.kind,
            name: name.to_owned(),
            rule: self.rule.clone(),
            object: None,
            old: old.map(|edits| edited(&self.base, edits)),
            new: edited(&self.base, new),
            refused,
            client_differs: None,
        });
    }

    pub(crate) fn accepts(&mut self, name: &str, new: Edits) -> &mut Self {
        self.add(name, None, new, false);
        self
    }

    pub(crate) fn refuses(&mut self, name: &str, new: Edits) -> &mut Self {
        self.add(name, None, new, true);
        self
    }

    pub(crate) fn accepts_change(&mut self, name: &str, old: Edits, new: Edits) -> &mut Self {
        self.add(name, Some(old), new, false);
        self
    }

    pub(crate) fn refuses_change(&mut self, name: &str, old: Edits, new: Edits) -> &mut Self {
        self.add(name, Some(old), new, true);
        self
    }

    fn named(&mut self, object: &str, refused: bool) -> &mut Self {
        self.add(&format!("name {object}"), None, &[], refused);
        if let Some(case) = self.cases.last_mut() {
            case.object = Some(object.to_owned());
        }
        self
    }
}

/// The whole table.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, base) in
        [("RegistryCluster", &*REGISTRY), ("DrmCluster", &*DRM), ("SchedulerCluster", &*POWERJOB)]
    {
        let mut about = About::new(&mut cases, kind, base, "metadata.name: names of Services");
        about.named("a", false).named("night-shift-1", false).named(&"a".repeat(40), false);
        about.named("1st", true).named("with.dot", true).named(&"a".repeat(41), true);
    }
    registry::add(&mut cases);
    scheduler::add(&mut cases);
    shared::add(&mut cases);
    cases
}
