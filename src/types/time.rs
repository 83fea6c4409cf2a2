//! Durations as people write them, and points in time as Kubernetes writes them.
//!
//! May import nothing of this package but the macro of `text`. The clock is not read here: time is an argument.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A point in time, to the second, in UTC. The one time type of the API; `jiff` underneath.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::text::{TextError, is_number};

/// A duration: `20m`, `1h30m`, `45s`. It keeps the text as it was written, so that it reads back unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Span {
    text: String,
    length: Duration,
}

impl Span {
    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.length
    }
}

impl FromStr for Span {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        seconds(text).map(|s| Self { text: text.to_owned(), length: Duration::from_secs(s) }).ok_or_else(
            || {
                TextError::new(
                    "duration",
                    "hours, minutes and seconds in whole numbers, as in 1h30m, 20m or 45s",
                    text,
                )
            },
        )
    }
}

fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            if number.is_empty() || !is_number(number, 0, 99_999) {
                return None;
            }
            sum += number.parse::<u64>().ok()? * factor;
            rest = after;
        }
    }
    (rest.is_empty() && (2..=18).contains(&text.len())).then_some(sum)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_schema!(
    Span,
    "duration",
    "^((0|[1-9][0-9]{0,4})h)?((0|[1-9][0-9]{0,4})m)?((0|[1-9][0-9]{0,4})s)?$",
    2,
    18
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_prints_it_unchanged() {
        for (text, seconds) in [("20m", 1200), ("1h30m", 5400), ("90m", 5400), ("45s", 45), ("0s", 0)] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.length(), Duration::from_secs(seconds), "{text}");
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "5", "m", "1.5h", "10ms", "1m1h", "-1m", "1 m", "123456m", "1m1m"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
