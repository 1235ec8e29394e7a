//! Cells into numbers and times.

use quintet_data::Part;

use crate::config::TimeUnit;
use crate::log::{Flaw, shown};
use crate::report::FaultCode;

/// 2200-01-01 00:00 UTC. A time after it is far more likely a wrong unit than a late event.
pub(crate) const LATEST: i64 = 7_258_118_400;

/// A finite number, rounded to 32 bits by way of 64: so that a number has the same value whether
/// it comes as text or as a number of a typed column.
pub(crate) fn number(cell: &str) -> Result<f32, Flaw> {
    if let Some(value) = short_decimal(cell.as_bytes()) {
        return Ok(value as f32);
    }
    match cell.trim().parse::<f64>().map(|value| value as f32) {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(Flaw::new(FaultCode::NotFinite, "a finite number", shown(cell))),
        Err(_) => Err(Flaw::new(FaultCode::BadNumber, "a number", shown(cell))),
    }
}

/// The value of a few digits with at most one point among them. Digits and power of ten are exact
/// in 64 bits, so their quotient is the nearest number (Clinger, "How to read floating point
/// numbers accurately", PLDI 1990): the same that the standard library finds, sooner.
fn short_decimal(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > 15 || !text[0].is_ascii_digit() {
        return None;
    }
    let (mut digits, mut scale, mut point) = (0u64, 1u64, false);
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                digits = digits * 10 + u64::from(byte - b'0');
                scale *= if point { 10 } else { 1 };
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    Some(digits as f64 / scale as f64)
}

/// The part of a split that a cell names: by name, or as 0, 1 and 2 (`x_label` of MMRec).
/// An empty cell names none.
pub(crate) fn part(cell: &str) -> Result<Option<Part>, Flaw> {
    match cell.trim().to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "0" | "train" => Ok(Some(Part::Train)),
        "1" | "valid" | "validation" | "val" | "dev" => Ok(Some(Part::Valid)),
        "2" | "test" => Ok(Some(Part::Test)),
        _ => {
            let expected = "train, valid or test, or 0, 1 or 2";
            Err(Flaw::new(FaultCode::BadPart, expected, shown(cell)))
        }
    }
}

/// How times are read, and which of them can be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) unit: TimeUnit,
    /// The first and the last second that is accepted.
    pub(crate) earliest: i64,
    pub(crate) latest: i64,
}

impl Clock {
    /// Every time of a unit from 1970 to 2200.
    pub(crate) fn of(unit: TimeUnit) -> Self {
        Self { unit, earliest: 0, latest: LATEST }
    }

    /// A whole number of a typed column, if it is a time that is accepted.
    pub(crate) fn number(self, number: i64) -> Option<i64> {
        let seconds = match self.unit {
            TimeUnit::S => number,
            TimeUnit::Ms => number.div_euclid(1000),
            TimeUnit::Rfc3339 => return None,
        };
        (self.earliest..=self.latest).contains(&seconds).then_some(seconds)
    }

    /// Seconds since 1970-01-01 00:00 UTC.
    pub(crate) fn text(self, cell: &str) -> Result<i64, Flaw> {
        if self.unit != TimeUnit::Rfc3339
            && let Some(time) = whole(cell).and_then(|number| self.number(number))
        {
            return Ok(time);
        }
        let text = cell.trim();
        let (seconds, expected) = match self.unit {
            TimeUnit::S => (whole(text), "whole seconds since 1970"),
            TimeUnit::Ms => (whole(text).map(|ms| ms.div_euclid(1000)), "milliseconds since 1970"),
            TimeUnit::Rfc3339 => (rfc3339(text), "a time such as 2024-02-29T12:00:00Z"),
        };
        let flaw =
            |expected: &str, found: String| Flaw::new(FaultCode::BadTimestamp, expected, found);
        let Some(seconds) = seconds else {
            return Err(flaw(expected, shown(cell)));
        };
        if seconds < 0 {
            return Err(flaw("a time after 1970", shown(cell)));
        }
        if seconds > LATEST {
            let milliseconds = self.unit == TimeUnit::S && seconds / 1000 <= LATEST;
            let hint = if milliseconds { " (milliseconds? then time_unit = \"ms\")" } else { "" };
            return Err(flaw("a time before 2200", format!("{}{hint}", shown(cell))));
        }
        if !(self.earliest..=self.latest).contains(&seconds) {
            let expected =
                format!("a time from {} to {} (seconds since 1970)", self.earliest, self.latest);
            return Err(Flaw::new(FaultCode::TimeOutOfRange, expected, shown(cell)));
        }
        Ok(seconds)
    }
}

/// A whole number, also one that was written as a decimal fraction (`881250949.0`).
fn whole(text: &str) -> Option<i64> {
    if let Some(number) = quintet_core::id_number(text).and_then(|n| i64::try_from(n).ok()) {
        return Some(number);
    }
    let digits = match text.split_once('.') {
        Some((digits, fraction)) if fraction.bytes().all(|b| b == b'0') => digits,
        Some(_) => return None,
        None => text,
    };
    digits.parse().ok()
}

/// RFC 3339, section 5.6, with a blank allowed for the `T`, and UTC where no offset is given.
pub(crate) fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut date = date.split('-');
    let (year, month, day) =
        (digits(date.next()?, 4)?, digits(date.next()?, 2)?, digits(date.next()?, 2)?);
    if date.next().is_some() {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    if rest.is_empty() {
        return Some(days * 86_400);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let mut clock = clock.split(':');
    let (hour, minute, second) =
        (digits(clock.next()?, 2)?, digits(clock.next()?, 2)?, digits(clock.next()?, 2)?);
    // A leap second is the second after :59.
    if clock.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if rest.len() == fraction.len() {
                return None;
            }
            rest
        }
        None => rest,
    };
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset(rest)?)
}

/// `Z`, nothing, or `±hh:mm`, in seconds.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hour, minute) = text.get(1..)?.split_once(':')?;
    let (hour, minute) = (digits(hour, 2)?, digits(minute, 2)?);
    (hour <= 23 && minute <= 59).then_some(sign * (hour * 3600 + minute * 60))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let all = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, if there is such a date.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = |m: usize| DAYS[m] + i64::from(leap && m == 1);
    let m = usize::try_from(month - 1).ok().filter(|m| *m < 12)?;
    if !(1..=length(m)).contains(&day) {
        return None;
    }
    // Days before 1 January of a year, counted from year 1.
    let before = |y: i64| 365 * (y - 1) + (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400;
    Some(before(year) - before(1970) + (0..m).map(length).sum::<i64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite_or_a_fault() {
        assert_eq!(number(" 4.5 "), Ok(4.5));
        assert_eq!(number("x").unwrap_err().code, FaultCode::BadNumber);
        assert_eq!(number("").unwrap_err().code, FaultCode::BadNumber);
        for cell in ["NaN", "inf", "-inf", "1e40"] {
            assert_eq!(number(cell).unwrap_err().code, FaultCode::NotFinite, "{cell}");
        }
    }

    #[test]
    fn short_numbers_are_what_the_standard_library_reads() {
        for text in ["0", "007", "4.5", "0.1", "3.", "123456789012345", "1234567.8901234", "9.99"] {
            assert_eq!(short_decimal(text.as_bytes()), Some(text.parse().unwrap()), "{text}");
        }
        for text in ["", ".", ".5", "-1", "1e3", "1.2.3", "1,5", "1234567890123456"] {
            assert_eq!(short_decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn times_are_in_the_unit_that_was_named() {
        assert_eq!(Clock::of(TimeUnit::S).text("881250949"), Ok(881_250_949));
        assert_eq!(Clock::of(TimeUnit::S).text("881250949.0"), Ok(881_250_949));
        assert_eq!(Clock::of(TimeUnit::Ms).text("881250949999"), Ok(881_250_949));
        for cell in ["", "x", "1.5", "-1", "1997-12-04"] {
            let flaw = Clock::of(TimeUnit::S).text(cell).unwrap_err();
            assert_eq!(flaw.code, FaultCode::BadTimestamp, "{cell}");
        }
        let flaw = Clock::of(TimeUnit::S).text("881250949000").unwrap_err();
        assert!(flaw.found.contains("time_unit = \"ms\""), "{flaw:?}");
    }

    #[test]
    fn a_time_outside_the_asked_range_is_named() {
        let clock = Clock { unit: TimeUnit::Ms, earliest: 10, latest: 20 };
        assert_eq!(clock.text("10999"), Ok(10));
        assert_eq!((clock.number(20_999), clock.number(21_000)), (Some(20), None));
        let flaw = clock.text("21000").unwrap_err();
        assert_eq!(flaw.code, FaultCode::TimeOutOfRange);
        assert!(flaw.expected.contains("from 10 to 20"), "{flaw:?}");
    }

    #[test]
    fn parts_have_names_and_numbers() {
        assert_eq!(part(" Test "), Ok(Some(Part::Test)));
        assert_eq!(part("1"), Ok(Some(Part::Valid)));
        assert_eq!(part(""), Ok(None));
        assert_eq!(part("3").unwrap_err().code, FaultCode::BadPart);
    }

    #[test]
    fn written_times_agree_with_the_calendar() {
        // 1997-12-04 is day 10 199: 27 years of 365 days + 7 leap days + 337 days of 1997.
        assert_eq!(27 * 365 + 7 + 337, 10_199);
        let noon = 10_199 * 86_400 + 15 * 3600 + 55 * 60 + 49;
        assert_eq!(noon, 881_250_949);
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1997-12-04T15:55:49Z", noon),
            ("1997-12-04 15:55:49", noon),
            ("1997-12-04T15:55:49.999Z", noon),
            ("1997-12-04T16:55:49+01:00", noon),
            ("1997-12-04T10:25:49-05:30", noon),
            ("2000-02-29T00:00:00Z", 951_782_400),
        ] {
            assert_eq!(Clock::of(TimeUnit::Rfc3339).text(text), Ok(seconds), "{text}");
        }
        for text in ["1999-02-29", "1997-13-01", "1997-12-04T24:00:00Z", "1997-12-04T", "é"] {
            assert!(Clock::of(TimeUnit::Rfc3339).text(text).is_err(), "{text}");
        }
    }
}
