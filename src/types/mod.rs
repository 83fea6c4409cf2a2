//! The values that everything else is written in: names with the rule of Kubernetes in them, versions, sizes,
//! durations and ids. Each type reads itself from text, prints itself as that text, and brings its JSON schema along,
//! so that a rule stands in one place.
//!
//! May import nothing of this package.

#[macro_use]
mod text;

mod fingerprint;
mod ids;
mod json;
mod moment;
mod names;
mod quantity;
mod time;
mod version;

pub use fingerprint::fingerprint;
pub use ids::{PlanId, PodUid, RolloutId};
pub use json::covers;
pub use moment::Moment;
pub use names::{
    Address, Cidr, CronText, DnsLabel, Host, HttpUrl, ImageName, ObjectName, PlaceName, TimeZone,
};
pub use quantity::{Bytes, Cpu, Heap};
pub use text::TextError;
pub use time::{Span, Time};
pub use version::{Line, Version};
