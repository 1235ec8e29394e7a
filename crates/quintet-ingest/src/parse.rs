//! Cells into numbers and times.

use crate::config::TimeUnit;
use crate::log::{Flaw, shown};
use crate::report::FaultCode;

/// 2200-01-01 00:00 UTC. A time after it is far more likely a wrong unit than a late event.
const LATEST: i64 = 7_258_118_400;

/// A finite number.
pub(crate) fn number(cell: &str) -> Result<f32, Flaw> {
    match cell.trim().parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(Flaw::new(FaultCode::NotFinite, "a finite number", shown(cell))),
        Err(_) => Err(Flaw::new(FaultCode::BadNumber, "a number", shown(cell))),
    }
}

/// Seconds since 1970-01-01 00:00 UTC.
pub(crate) fn timestamp(cell: &str, unit: TimeUnit) -> Result<i64, Flaw> {
    let text = cell.trim();
    let (seconds, expected) = match unit {
        TimeUnit::S => (whole(text), "whole seconds since 1970"),
        TimeUnit::Ms => (whole(text).map(|ms| ms.div_euclid(1000)), "milliseconds since 1970"),
        TimeUnit::Rfc3339 => (rfc3339(text), "a time such as 2024-02-29T12:00:00Z"),
    };
    let flaw = |expected: &str, found: String| Flaw::new(FaultCode::BadTimestamp, expected, found);
    let Some(seconds) = seconds else {
        return Err(flaw(expected, shown(cell)));
    };
    if seconds < 0 {
        return Err(flaw("a time after 1970", shown(cell)));
    }
    if seconds > LATEST {
        let milliseconds = unit == TimeUnit::S && seconds / 1000 <= LATEST;
        let hint = if milliseconds { " (milliseconds? then time_unit = \"ms\")" } else { "" };
        return Err(flaw("a time before 2200", format!("{}{hint}", shown(cell))));
    }
    Ok(seconds)
}

/// A whole number, also one that was written as a decimal fraction (`881250949.0`).
fn whole(text: &str) -> Option<i64> {
    let digits = match text.split_once('.') {
        Some((digits, fraction)) if fraction.bytes().all(|b| b == b'0') => digits,
        Some(_) => return None,
        None => text,
    };
    digits.parse().ok()
}

/// RFC 3339, section 5.6, with a blank allowed for the `T`, and UTC where no offset is given.
fn rfc3339(text: &str) -> Option<i64> {
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
    fn times_are_in_the_unit_that_was_named() {
        assert_eq!(timestamp("881250949", TimeUnit::S), Ok(881_250_949));
        assert_eq!(timestamp("881250949.0", TimeUnit::S), Ok(881_250_949));
        assert_eq!(timestamp("881250949999", TimeUnit::Ms), Ok(881_250_949));
        for cell in ["", "x", "1.5", "-1", "1997-12-04"] {
            let flaw = timestamp(cell, TimeUnit::S).unwrap_err();
            assert_eq!(flaw.code, FaultCode::BadTimestamp, "{cell}");
        }
        let flaw = timestamp("881250949000", TimeUnit::S).unwrap_err();
        assert!(flaw.found.contains("time_unit = \"ms\""), "{flaw:?}");
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
            assert_eq!(timestamp(text, TimeUnit::Rfc3339), Ok(seconds), "{text}");
        }
        for text in ["1999-02-29", "1997-13-01", "1997-12-04T24:00:00Z", "1997-12-04T", "é"] {
            assert!(timestamp(text, TimeUnit::Rfc3339).is_err(), "{text}");
        }
    }
}
