//! A point in time as decisions use it: plain arithmetic, no clock.
//!
//! May import nothing of this package but `time`.

use std::fmt;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::Time;

/// A point in time, in milliseconds since 1970 in UTC. The clock is not read here: time is an argument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// So many milliseconds after 1970 began.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 began.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This much earlier.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long `earlier` is past; nothing if it is not past.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The first full second that is not before this. A status keeps full seconds: a moment that facts are compared with
    /// is rounded up, so that what was seen before it never counts as seen after it.
    #[must_use]
    pub fn ceil_second(self) -> Self {
        Self(self.0.saturating_add(999).div_euclid(1000) * 1000)
    }
}

impl From<&Time> for Moment {
    fn from(time: &Time) -> Self {
        Self(time.0.as_millisecond())
    }
}

/// To the second, rounded up. Moments outside of the years that Kubernetes can write become the nearest that it can.
impl From<Moment> for Time {
    fn from(moment: Moment) -> Self {
        let seconds = moment.ceil_second().0 / 1000;
        let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Self(Timestamp::from_second(seconds).unwrap_or(nearest))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_never_makes_a_moment_earlier() {
        for (millis, second) in [(0, 0), (1, 1000), (999, 1000), (1000, 1000), (1001, 2000)] {
            let stored = Time::from(Moment::from_millis(millis));
            assert_eq!(Moment::from(&stored).as_millis(), second, "{millis}");
        }
    }

    #[test]
    fn time_does_not_run_backwards() {
        let (early, late) = (Moment::from_millis(5), Moment::from_millis(8));
        assert_eq!(late.since(early), Duration::from_millis(3));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.after(Duration::from_millis(3)), late);
    }
}
