//! Points in time as scripts see them: text by RFC 3339, parts, and arithmetic in seconds.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;
use rhai::Engine;

use super::error::{Answer, broken, refused};
use crate::pipeline::value;

/// A point in time with the offset it was written in; `received` and `now` are in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    at: Timestamp,
    offset: Offset,
}

impl Time {
    /// From Unix milliseconds, in UTC.
    pub(super) fn from_unix_ms(ms: i64) -> Option<Self> {
        let at = Timestamp::from_millisecond(ms).ok()?;
        Some(Self { at, offset: Offset::UTC })
    }

    /// From a text by RFC 3339.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let at = text.parse().ok()?;
        let offset = Pieces::parse(text).ok()?.to_numeric_offset()?;
        Some(Self { at, offset })
    }

    fn civil(&self) -> DateTime {
        self.offset.to_datetime(self.at)
    }

    fn moved(self, duration: &str, back: bool) -> Answer<Self> {
        let seconds = i64::try_from(value::seconds(duration).map_err(broken)?)
            .map_err(|_| refused("the duration is too long"))?;
        let seconds = if back { -seconds } else { seconds };
        let span = jiff::SignedDuration::from_secs(seconds);
        let at = self.at.checked_add(span).map_err(|_| refused("no such time"))?;
        Ok(Self { at, ..self })
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.offset == Offset::UTC {
            return self.at.fmt(f);
        }
        self.at.display_with_offset(self.offset).fmt(f)
    }
}

/// Registers the type with its parts and operators.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Time>("time")
        .register_get("year", |time: &mut Time| i64::from(time.civil().year()))
        .register_get("month", |time: &mut Time| i64::from(time.civil().month()))
        .register_get("day", |time: &mut Time| i64::from(time.civil().day()))
        .register_get("hour", |time: &mut Time| i64::from(time.civil().hour()))
        .register_get("minute", |time: &mut Time| i64::from(time.civil().minute()))
        .register_get("weekday", |time: &mut Time| {
            i64::from(time.civil().weekday().to_monday_one_offset())
        })
        .register_get("unix", |time: &mut Time| time.at.as_second())
        .register_fn("to_string", |time: &mut Time| time.to_string())
        .register_fn("to_debug", |time: &mut Time| time.to_string())
        .register_fn("-", |a: Time, b: Time| a.at.as_second() - b.at.as_second())
        .register_fn("+", |time: Time, duration: &str| time.moved(duration, false))
        .register_fn("-", |time: Time, duration: &str| time.moved(duration, true))
        .register_fn("==", |a: Time, b: Time| a.at == b.at)
        .register_fn("!=", |a: Time, b: Time| a.at != b.at)
        .register_fn("<", |a: Time, b: Time| a.at < b.at)
        .register_fn("<=", |a: Time, b: Time| a.at <= b.at)
        .register_fn(">", |a: Time, b: Time| a.at > b.at)
        .register_fn(">=", |a: Time, b: Time| a.at >= b.at);
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn the_senders_offset_stays() {
        let time = Time::parse("2026-03-01T00:30:00+02:00").map(|time| {
            (time.to_string(), time.civil().day(), time.civil().weekday().to_monday_one_offset())
        });
        assert_eq!(time, Some(("2026-03-01T00:30:00+02:00".to_owned(), 1, 7)));
        assert!(Time::parse("yesterday").is_none());
        let utc = Time::from_unix_ms(0).map(|time| time.to_string());
        assert_eq!(utc.as_deref(), Some("1970-01-01T00:00:00Z"));
    }
}
