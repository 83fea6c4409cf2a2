//! Reading a status whose words are not all known: one of a newer operator, or one that a hand has edited. What is not
//! understood is left out, the rest is kept: else one odd object would keep the operator from listing any.
//!
//! May import `types`.

use k8s_openapi::jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::types::Time;

/// The value, or what stands for none where it is not understood.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(T::deserialize(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// Those entries of a list that are understood.
pub(super) fn known<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let Value::Array(entries) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    Ok(entries.into_iter().filter_map(|entry| T::deserialize(entry).ok()).collect())
}

/// The time, or 1970 where it is not understood. Only for times by which nothing is decided.
pub(super) fn or_long_ago<'de, D>(deserializer: D) -> Result<Time, D::Error>
where
    D: Deserializer<'de>,
{
    let read = Time::deserialize(Value::deserialize(deserializer)?);
    Ok(read.unwrap_or(Time(Timestamp::UNIX_EPOCH)))
}
