//! Windows: when a rollout may begin.
//!
//! A window opens whenever its cron expression says so, in its time zone, and stays open for its duration. Time zones
//! are those of the database that is compiled in: a host without one, or with an old one, decides the same.
//!
//! Where clocks are put forward, a time that is skipped counts as the same time after the gap; where they are put back, a
//! time that comes twice counts the first time.
//!
//! May import `types` and `api`. The clock is not read here: now is an argument.

use std::time::Duration;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use super::sentences;
use crate::api::v1alpha1::Window;
use crate::types::CronText;

/// The shortest and the longest duration of a window.
const DURATION: [Duration; 2] = [Duration::from_mins(1), Duration::from_hours(168)];
/// Clocks are never changed by more than this, so that what is looked for is not further away.
const LARGEST_CHANGE: SignedDuration = SignedDuration::from_hours(3);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// A cron expression fires within four years of any day or never: the 29th of February is the rarest day. From this one
/// on they are counted, because a spec is right or wrong whatever the date is.
const FIRST_DAY: DateTime = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);

/// When a rollout may begin: in one of these windows, or at any time if there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows(Vec<OpenTime>);

/// Whether a rollout may begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowVerdict {
    /// It may.
    Open {
        /// When the present window ends; `None`: there are no windows, it is always open. Another may begin before.
        until: Option<Timestamp>,
    },
    /// It may not.
    Closed {
        /// When the next window begins; `None`: not within four years.
        opens_at: Option<Timestamp>,
    },
}

/// Why a window cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadWindow {
    #[error("{0}")]
    Cron(String),
    #[error(
        "cron '{0}' never comes, no year has such a day, as with the 30th of February: correct the day or the month"
    )]
    Never(CronText),
    #[error(
        "timeZone '{0}' is not in the IANA database: use a name such as Asia/Shanghai, or leave it out for UTC"
    )]
    TimeZone(String),
    #[error("{}", sentences::WINDOW_DURATION)]
    Duration,
}

impl BadWindow {
    /// The field of the window that is wrong.
    pub(super) const fn field(&self) -> &'static str {
        match self {
            Self::Cron(_) | Self::Never(_) => "cron",
            Self::TimeZone(_) => "timeZone",
            Self::Duration => "duration",
        }
    }
}

impl Windows {
    /// These windows, with all that is wrong with each of them by its index.
    pub(super) fn read(windows: &[Window]) -> Result<Self, Vec<(usize, BadWindow)>> {
        let mut wrong = Vec::new();
        let mut open = Vec::new();
        for (index, window) in windows.iter().enumerate() {
            match OpenTime::read(window) {
                Ok(time) => open.push(time),
                Err(bad) => wrong.extend(bad.into_iter().map(|bad| (index, bad))),
            }
        }
        if wrong.is_empty() { Ok(Self(open)) } else { Err(wrong) }
    }

    /// Whether a rollout may begin at `now`.
    #[must_use]
    pub fn verdict(&self, now: Timestamp) -> WindowVerdict {
        if self.0.is_empty() {
            return WindowVerdict::Open { until: None };
        }
        match self.0.iter().filter_map(|window| window.open_until(now)).max() {
            Some(until) => WindowVerdict::Open { until: Some(until) },
            None => {
                WindowVerdict::Closed { opens_at: self.0.iter().filter_map(|w| w.opens_after(now)).min() }
            }
        }
    }
}

/// One window, read.
#[derive(Debug, Clone)]
struct OpenTime {
    text: CronText,
    cron: Crontab,
    zone: TimeZone,
    duration: SignedDuration,
}

impl PartialEq for OpenTime {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone && self.duration == other.duration
    }
}

impl Eq for OpenTime {}

impl OpenTime {
    fn read(window: &Window) -> Result<Self, Vec<BadWindow>> {
        let mut wrong = Vec::new();
        let name = window.time_zone.as_ref().map_or("UTC", |zone| zone.as_str());
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| BadWindow::TimeZone(name.to_owned()));
        let cron = parse(&window.cron);
        let cron = cron.and_then(|cron| match next(&cron, FIRST_DAY) {
            Some(_) => Ok(cron),
            None => Err(BadWindow::Never(window.cron.clone())),
        });
        let length = window.duration.length();
        if length < DURATION[0] || length > DURATION[1] {
            wrong.push(BadWindow::Duration);
        }
        match (zone, cron, SignedDuration::try_from(length)) {
            (Ok(zone), Ok(cron), Ok(duration)) if wrong.is_empty() => {
                Ok(Self { text: window.cron.clone(), cron, zone, duration })
            }
            (zone, cron, _) => {
                wrong.extend(zone.err());
                wrong.extend(cron.err());
                Err(wrong)
            }
        }
    }

    /// When this window ends, if it is open.
    fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        // After the clocks were put back, the last opening may stand later on the clock than now.
        let before = now.checked_sub(LARGEST_CHANGE).unwrap_or(now);
        let opened = [now, before]
            .map(|at| self.zone.to_offset(at))
            .into_iter()
            .filter_map(|offset| self.opened_before(now, offset))
            .max()?;
        let until = opened.checked_add(self.duration).ok()?;
        (now < until).then_some(until)
    }

    /// The last time that it opened, looked for in the last duration from `now` back, on a clock with this offset.
    fn opened_before(&self, now: Timestamp, offset: Offset) -> Option<Timestamp> {
        let first =
            offset.to_datetime(now).checked_sub(self.duration).ok()?.checked_sub(LARGEST_CHANGE).ok()?;
        let mut clock = offset.to_datetime(now);
        loop {
            clock = last(&self.cron, first, clock)?;
            match self.instant(clock) {
                Some(opened) if opened <= now => return Some(opened),
                _ => clock = clock.checked_sub(MINUTE).ok()?,
            }
        }
    }

    /// When it opens next.
    fn opens_after(&self, now: Timestamp) -> Option<Timestamp> {
        // A time that is skipped stands on the clock before now, and comes after it.
        let mut clock = self.zone.to_datetime(now.checked_sub(LARGEST_CHANGE).ok()?);
        loop {
            clock = next(&self.cron, clock)?;
            if let Some(opens) = self.instant(clock).filter(|opens| *opens > now) {
                return Some(opens);
            }
        }
    }

    fn instant(&self, clock: DateTime) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(clock).compatible().ok()
    }
}

/// The expression, read without a time zone: it is asked with clock times.
fn parse(text: &CronText) -> Result<Crontab, BadWindow> {
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::UTC;
    cronexpr::parse_crontab_with(text.as_str(), options).map_err(|_| {
        BadWindow::Cron(format!(
            "cron '{text}' cannot be read: minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or JAN-DEC) and \
             day of the week (0-7 or SUN-SAT), the smaller one first in a range: correct it, as in '30 1 * * 2-4'"
        ))
    })
}

/// The first time on the clock after this one at which it fires; `None`: not within four years.
fn next(cron: &Crontab, clock: DateTime) -> Option<DateTime> {
    let at = Offset::UTC.to_timestamp(clock).ok()?;
    Some(Offset::UTC.to_datetime(cron.find_next(MakeTimestamp(at)).ok()?.timestamp()))
}

/// The last time on the clock, from `first` to `clock`, at which it fires.
fn last(cron: &Crontab, first: DateTime, clock: DateTime) -> Option<DateTime> {
    let fires = |from: i64| {
        let from = first.checked_add(SignedDuration::from_mins(from - 1)).ok()?;
        next(cron, from).filter(|at| *at <= clock)
    };
    let mut found = fires(0)?;
    let (mut low, mut high) = (0, clock.duration_since(first).as_mins() + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match fires(middle) {
            Some(at) => (found, low) = (at, middle + 1),
            None => high = middle,
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(list: &[(&str, &str, Option<&str>)]) -> Result<Windows, Vec<(usize, BadWindow)>> {
        let read = |(cron, duration, zone): &(&str, &str, Option<&str>)| Window {
            cron: cron.parse().unwrap(),
            duration: duration.parse().unwrap(),
            time_zone: zone.map(|zone| zone.parse().unwrap()),
        };
        Windows::read(&list.iter().map(read).collect::<Vec<_>>())
    }

    fn verdict(windows: &Windows, now: &str) -> String {
        match windows.verdict(now.parse().unwrap()) {
            WindowVerdict::Open { until } => format!("open until {}", until.unwrap()),
            WindowVerdict::Closed { opens_at } => format!("opens at {}", opens_at.unwrap()),
        }
    }

    #[test]
    fn without_windows_it_is_always_open() {
        let open = Windows::default().verdict("2026-11-21T00:00:00Z".parse().unwrap());
        assert_eq!(open, WindowVerdict::Open { until: None });
    }

    #[test]
    fn a_window_opens_and_ends_in_its_time_zone() {
        // From Tuesday to Thursday, 01:30 to 04:30 in Shanghai: 17:30 to 20:30 UTC of the day before.
        let night = windows(&[("30 1 * * 2-4", "3h", Some("Asia/Shanghai"))]).unwrap();
        for (now, expected) in [
            ("2026-11-21T14:00:00Z", "opens at 2026-11-23T17:30:00Z"),
            ("2026-11-23T17:29:59Z", "opens at 2026-11-23T17:30:00Z"),
            ("2026-11-23T17:30:00Z", "open until 2026-11-23T20:30:00Z"),
            ("2026-11-23T20:29:59Z", "open until 2026-11-23T20:30:00Z"),
            ("2026-11-23T20:30:00Z", "opens at 2026-11-24T17:30:00Z"),
            ("2026-11-25T20:30:00Z", "opens at 2026-11-30T17:30:00Z"),
        ] {
            assert_eq!(verdict(&night, now), expected, "{now}");
        }
    }

    #[test]
    fn names_ranges_lists_and_steps_are_known() {
        for (cron, now, expected) in [
            ("0 2 * * SAT", "2026-11-21T02:10:00Z", "open until 2026-11-21T03:00:00Z"),
            ("0 2 1 JAN *", "2026-11-21T02:10:00Z", "opens at 2027-01-01T02:00:00Z"),
            ("0,30 2-4 * * *", "2026-11-21T04:40:00Z", "open until 2026-11-21T05:30:00Z"),
            ("*/20 5 * * *", "2026-11-21T05:59:00Z", "open until 2026-11-21T06:40:00Z"),
            ("0 3 29 2 *", "2026-11-21T00:00:00Z", "opens at 2028-02-29T03:00:00Z"),
            ("* * * * *", "2026-11-21T00:00:30Z", "open until 2026-11-21T01:00:00Z"),
        ] {
            assert_eq!(verdict(&windows(&[(cron, "1h", None)]).unwrap(), now), expected, "{cron}");
        }
    }

    #[test]
    fn the_last_of_several_open_windows_counts_and_the_first_of_those_to_come() {
        let two = windows(&[("0 1 * * *", "4h", None), ("0 3 * * *", "1h", None)]).unwrap();
        assert_eq!(verdict(&two, "2026-11-21T03:30:00Z"), "open until 2026-11-21T05:00:00Z");
        assert_eq!(verdict(&two, "2026-11-21T05:30:00Z"), "opens at 2026-11-22T01:00:00Z");
    }

    #[test]
    fn a_skipped_time_counts_after_the_gap_and_a_repeated_one_the_first_time() {
        // New York 2026: 02:00 became 03:00 on 8 March, 02:00 became 01:00 on 1 November.
        let gap = windows(&[("30 2 * * *", "1h", Some("America/New_York"))]).unwrap();
        assert_eq!(verdict(&gap, "2026-03-08T07:10:00Z"), "opens at 2026-03-08T07:30:00Z");
        assert_eq!(verdict(&gap, "2026-03-08T07:40:00Z"), "open until 2026-03-08T08:30:00Z");
        let fold = windows(&[("45 1 * * *", "2h", Some("America/New_York"))]).unwrap();
        // 01:10 for the second time, 25 minutes after the window opened at 01:45.
        assert_eq!(verdict(&fold, "2026-11-01T06:10:00Z"), "open until 2026-11-01T07:45:00Z");
        assert_eq!(verdict(&fold, "2026-11-01T07:50:00Z"), "opens at 2026-11-02T06:45:00Z");
    }

    #[test]
    fn what_is_wrong_is_told_of_every_window() {
        let wrong = windows(&[
            ("0 1 * * *", "1h", None),
            ("61 1 * * *", "1h", Some("Mars/Olympus")),
            ("0 1 30 2 *", "30s", None),
            ("0 1 * * FRI-MON", "200h", None),
        ])
        .unwrap_err();
        let fields: Vec<_> = wrong.iter().map(|(index, bad)| (*index, bad.field())).collect();
        let expected =
            [(1, "timeZone"), (1, "cron"), (2, "duration"), (2, "cron"), (3, "duration"), (3, "cron")];
        assert_eq!(fields, expected);
        assert!(wrong[3].1.to_string().contains("never comes"), "{}", wrong[3].1);
    }
}
