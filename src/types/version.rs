//! Versions of the middleware, and the line that one belongs to.
//!
//! May import nothing of this package but the macro of `text`.

use std::fmt;
use std::str::FromStr;

use super::text::{TextError, is_number, is_plain};

/// A version of a server: `5.4.3`, `6.3.0`, `2.9.0-rc.1`. Two are ordered by their numbers; a suffix makes it older.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
    suffix: String,
}

/// Which `SOFARegistry` a version is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// Open source 5.x: metas are one raft group that knows its members by address.
    OpenSource5,
    /// Open source 6.x: members are rows of a database.
    OpenSource6,
    /// Anything else, such as the commercial 2.x: a person has to say how it keeps its members.
    Other,
}

impl Version {
    /// The line of `SOFARegistry` that this version belongs to, by its first number: public releases are 5.x and 6.x.
    #[must_use]
    pub fn line(&self) -> Line {
        match self.major {
            5 => Line::OpenSource5,
            6 => Line::OpenSource6,
            _ => Line::Other,
        }
    }

    /// Whether this is a PowerJob with which moving apps was measured: it uses what workers say to servers, which no document
    /// describes (measured: powerjob §1.6, limits, and §1.9). A build of one's own, which a suffix tells, is none.
    #[must_use]
    pub fn moves_apps(&self) -> bool {
        matches!((self.major, self.minor, self.patch), (4, 3, 8 | 9)) && self.suffix.is_empty()
    }

    /// What follows the numbers, its '-' included; empty for a release.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.suffix
    }
}

impl FromStr for Version {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| {
            TextError::new(
                "version",
                "three numbers with dots, and '-' with more where needed, as in 5.4.3",
                text,
            )
        })
    }
}

fn parse(text: &str) -> Option<Version> {
    let (numbers, suffix) = text.find('-').map_or((text, ""), |at| text.split_at(at));
    let mut numbers = numbers.split('.');
    let mut number = || numbers.next().filter(|n| is_number(n, 0, 99_999)).and_then(|n| n.parse().ok());
    let (major, minor, patch) = (number()?, number()?, number()?);
    let plain = suffix.is_empty() || is_plain(suffix.strip_prefix('-')?, ".-");
    (numbers.next().is_none() && plain && text.len() <= 32).then(|| Version {
        major,
        minor,
        patch,
        suffix: suffix.to_owned(),
    })
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}{}", self.major, self.minor, self.patch, self.suffix)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let numbers = |v: &Self| (v.major, v.minor, v.patch, v.suffix.is_empty());
        numbers(self).cmp(&numbers(other)).then_with(|| self.suffix.cmp(&other.suffix))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

text_schema!(
    Version,
    "version",
    "^(0|[1-9][0-9]{0,4})\\.(0|[1-9][0-9]{0,4})\\.(0|[1-9][0-9]{0,4})(-[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?)?$",
    5,
    32
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_lines() {
        for (text, line) in [
            ("5.4.3", Line::OpenSource5),
            ("6.3.0", Line::OpenSource6),
            ("2.9.0", Line::Other),
            ("7.0.0", Line::Other),
        ] {
            assert_eq!(text.parse::<Version>().unwrap().line(), line, "{text}");
        }
    }

    #[test]
    fn orders_by_number_and_a_suffix_is_older() {
        let order = ["2.8.10", "2.9.0-rc.1", "2.9.0", "2.10.0", "5.4.3"];
        let versions: Vec<Version> = order.iter().map(|v| v.parse().unwrap()).collect();
        assert!(versions.is_sorted());
        assert_eq!(versions.iter().map(ToString::to_string).collect::<Vec<_>>(), order);
    }
}
