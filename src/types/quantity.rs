//! Sizes: of volumes and memory, of processors, of a Java heap.
//!
//! May import nothing of this package but the macro of `text`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{TextError, is_number};

/// A size in bytes as Kubernetes writes one: `8Gi`, `512Mi`, `1.5Gi`, `40G`. It keeps the text as it was written; two
/// are compared by what they come to.
#[derive(Debug, Clone)]
pub struct Bytes {
    text: String,
    count: u64,
}

const BYTES_RULE: &str =
    "a number with Ki, Mi, Gi, Ti, k, M, G or T after it, as in 8Gi; at most three decimals";

/// Units, the longer ones first, and how many bytes one is.
const UNITS: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("", 1),
];

impl Bytes {
    /// So many MiB, written in Gi where it is a whole number of them.
    #[must_use]
    pub fn from_mebibytes(size: u64) -> Self {
        let text = if size.is_multiple_of(1024) { format!("{}Gi", size / 1024) } else { format!("{size}Mi") };
        Self { text, count: size << 20 }
    }

    /// How many bytes; a fraction of one is rounded up, and what a number cannot hold is the largest number.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl FromStr for Bytes {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        bytes(text)
            .map(|count| Self { text: text.to_owned(), count })
            .ok_or_else(|| TextError::new("size", BYTES_RULE, text))
    }
}

fn bytes(text: &str) -> Option<u64> {
    let (number, factor) =
        UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    let count = (u128::from(thousandths(number)?) * u128::from(factor)).div_ceil(1000);
    Some(u64::try_from(count).unwrap_or(u64::MAX))
}

/// `1.5` as 1500: at most nine digits before the point and three after it.
fn thousandths(number: &str) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let three = format!("{decimals:0<3}");
    let digits = three.len() == 3 && three.bytes().all(|b| b.is_ascii_digit()) && !decimals.is_empty();
    (digits && is_number(whole, 0, 999_999_999))
        .then(|| Some(whole.parse::<u64>().ok()? * 1000 + three.parse::<u64>().ok()?))
        .flatten()
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count
    }
}

impl Eq for Bytes {}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.count.cmp(&other.count)
    }
}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

text_schema!(Bytes, "size in bytes", "^(0|[1-9][0-9]{0,8})(\\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)?$", 1, 15);

/// Processors: `4`, `0.5`, `500m`. A whole number may be written as a number too, as everybody does.
#[derive(Debug, Clone)]
pub struct Cpu {
    written: Written,
    millis: u64,
}

/// How a value stood in the file.
#[derive(Debug, Clone)]
enum Written {
    Number(u32),
    Text(String),
}

impl Cpu {
    /// So many thousandths of a processor.
    #[must_use]
    pub fn from_millis(millis: u32) -> Self {
        let whole = millis.is_multiple_of(1000);
        let text = if whole { (millis / 1000).to_string() } else { format!("{millis}m") };
        Self { written: Written::Text(text), millis: millis.into() }
    }

    /// In thousandths of a processor.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.millis
    }
}

impl FromStr for Cpu {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let millis = match text.strip_suffix('m') {
            Some(millis) => {
                Some(millis).filter(|m| is_number(m, 0, 999_999_999)).and_then(|m| m.parse().ok())
            }
            None => thousandths(text),
        };
        millis
            .map(|millis| Self { written: Written::Text(text.to_owned()), millis })
            .ok_or_else(|| TextError::new("number of processors", "a number such as 4 or 0.5, or 500m", text))
    }
}

impl From<u32> for Cpu {
    fn from(count: u32) -> Self {
        Self { written: Written::Number(count), millis: u64::from(count) * 1000 }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.written {
            Written::Number(number) => write!(f, "{number}"),
            Written::Text(text) => f.write_str(text),
        }
    }
}

impl PartialEq for Cpu {
    fn eq(&self, other: &Self) -> bool {
        self.millis == other.millis
    }
}

impl Eq for Cpu {}

impl Ord for Cpu {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.millis.cmp(&other.millis)
    }
}

impl PartialOrd for Cpu {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Cpu {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.written {
            Written::Number(number) => serializer.serialize_u32(*number),
            Written::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Cpu {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum NumberOrText {
            Number(u32),
            Text(String),
        }
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(number.into()),
            NumberOrText::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl schemars::JsonSchema for Cpu {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cpu".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "number of processors",
            "x-kubernetes-int-or-string": true,
            "pattern": "^(0|[1-9][0-9]{0,8})((\\.[0-9]{1,3})|m)?$",
            "maxLength": 13,
            "minimum": 0,
            "maximum": 999_999_999,
        })
    }
}

/// How much of the memory the Java heap takes: `Auto`, or a size such as `3000Mi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Heap {
    /// The table of the operations guide, by the memory limit.
    #[default]
    Auto,
    /// So many Mi.
    Mi(u32),
}

impl FromStr for Heap {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let size = || text.strip_suffix("Mi").filter(|n| is_number(n, 1, 9_999_999))?.parse().ok();
        match text {
            "Auto" => Some(Self::Auto),
            _ => size().map(Self::Mi),
        }
        .ok_or_else(|| {
            TextError::new("size of a heap", "Auto, or a number with Mi after it, as in 3000Mi", text)
        })
    }
}

impl fmt::Display for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("Auto"),
            Self::Mi(size) => write!(f, "{size}Mi"),
        }
    }
}

text_schema!(Heap, "size of a heap", "^(Auto|[1-9][0-9]{0,6}Mi)$", 3, 9);

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Bytes {
        text.parse().unwrap()
    }

    #[test]
    fn compares_sizes_by_what_they_come_to() {
        assert_eq!(size("8Gi"), size("8192Mi"));
        assert!(size("240G") < size("240Gi"));
        assert!(size("0.5Gi") < size("513Mi"));
        assert_eq!(size("1.5Gi").count(), 1_610_612_736);
        assert_eq!(size("0.001").count(), 1);
    }

    #[test]
    fn keeps_the_text() {
        for json in ["\"8192Mi\"", "\"1.50Gi\""] {
            assert_eq!(serde_json::to_string(&serde_json::from_str::<Bytes>(json).unwrap()).unwrap(), json);
        }
        for json in ["4", "\"4\"", "\"500m\"", "\"0.5\""] {
            assert_eq!(serde_json::to_string(&serde_json::from_str::<Cpu>(json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn refuses_other_sizes() {
        for text in ["", "Gi", "-1Gi", "8gb", "8 Gi", "1.2345Gi", "1.Gi", ".5Gi", "1e3", "08Gi", "1Pi"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        assert_eq!(size("99999999Ti").count(), u64::MAX);
    }

    #[test]
    fn compares_processors() {
        assert_eq!("0.5".parse::<Cpu>().unwrap(), "500m".parse().unwrap());
        assert_eq!(Cpu::from(4), "4000m".parse().unwrap());
    }

    #[test]
    fn reads_heaps() {
        assert_eq!("Auto".parse::<Heap>().unwrap(), Heap::Auto);
        assert_eq!("3000Mi".parse::<Heap>().unwrap(), Heap::Mi(3000));
        for text in ["auto", "3000", "3Gi", "0Mi", "Mi"] {
            assert!(text.parse::<Heap>().is_err(), "{text}");
        }
    }
}
