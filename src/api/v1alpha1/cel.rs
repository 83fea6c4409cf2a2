//! Rules in CEL: what a wrong spec can say is refused by the API server, with a sentence that tells the field and what
//! to do.
//!
//! A rule is never one that a person cannot get out of: what it refuses can be corrected in the same edit.
//!
//! May import nothing of this package.

use schemars::Schema;
use serde_json::{Map, Value, json};

/// One rule, the sentence that the API server answers when it fails, and the field below its parent that is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CelRule {
    /// The expression: true where the object is right.
    pub rule: String,
    /// Which field is wrong, and what to do.
    pub message: String,
    /// The field, as a JSON path below the place where the rule stands; empty for that place itself.
    pub field: String,
}

impl CelRule {
    pub(super) fn new(field: impl Into<String>, rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self { rule: squeeze(&rule.into()), message: message.into(), field: field.into() }
    }

    fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("rule".into(), json!(self.rule));
        fields.insert("message".into(), json!(self.message));
        if !self.field.is_empty() {
            fields.insert("fieldPath".into(), json!(self.field));
        }
        Value::Object(fields)
    }
}

/// One space between words: expressions are written over several lines.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Puts rules on a schema, after those that it has.
pub(crate) fn attach(schema: &mut Schema, rules: &[CelRule]) {
    let fields = schema.ensure_object();
    let list = fields.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut() {
        list.extend(rules.iter().map(CelRule::to_json));
    }
}

/// The rule on the name of a cluster of any kind, which stands on the object itself.
///
/// Names of Services have to begin with a letter and know no dots. Label values have at most 63 characters, and
/// Kubernetes makes some from a StatefulSet's name and 11 more: 40 leave 12 for `-` and a role.
#[must_use]
pub fn name_rule() -> CelRule {
    CelRule::new(
        "",
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name: names of Services and labels are made from it: use at most 40 of a-z, 0-9 and '-', beginning \
         with a letter and ending with a letter or digit",
    )
}
