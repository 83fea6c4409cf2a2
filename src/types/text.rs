//! One macro: a text with a rule, and the same rule as a JSON schema.
//!
//! May import nothing of this package.

/// Why a text is not what it should be: the type's name and the rule, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no {what}: {rule}")]
pub struct TextError {
    /// What it should have been, such as `DNS label`.
    pub what: &'static str,
    /// What such a text looks like.
    pub rule: &'static str,
    /// The text, cut off after 64 characters.
    pub text: String,
}

impl TextError {
    pub(super) fn new(what: &'static str, rule: &'static str, text: &str) -> Self {
        Self { what, rule, text: text.chars().take(64).collect() }
    }
}

/// Whether `text` starts and ends with a letter or digit and has else only letters, digits and `others`.
pub(super) fn is_plain(text: &str, others: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// Whether `text` is such a text, and has no capital letters.
pub(super) fn is_plain_lower(text: &str, others: &str) -> bool {
    is_plain(text, others) && !text.chars().any(|c| c.is_ascii_uppercase())
}

/// Whether `text` is a number between `from` and `to` without leading zeros.
pub(super) fn is_number(text: &str, from: u64, to: u64) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'))
        && text.parse::<u64>().is_ok_and(|n| (from..=to).contains(&n))
}

/// Gives a type that reads and prints itself as text its serde form and a JSON schema with the same rule.
macro_rules! text_schema {
    ($name:ident, $what:literal, $pattern:literal, $min:literal, $max:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": $what,
                    "type": "string",
                    "pattern": $pattern,
                    "minLength": $min,
                    "maxLength": $max,
                })
            }
        }
    };
}

/// A type for a text: `name, "what it is", "the rule in words", pattern, shortest, longest, |text| check of the rest`.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $pattern:literal, $min:literal, $max:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::types::TextError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> bool = $check;
                if ($min..=$max).contains(&text.chars().count()) && check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err($crate::types::TextError::new($what, $rule, text))
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_schema!($name, $what, $pattern, $min, $max);
    };
}
