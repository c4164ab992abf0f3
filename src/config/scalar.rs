//! What a text means as a truth value, a number, a duration: with the leniency of YAML 1.1 and of Go.

use std::time::Duration;

/// `true`, `yes`, `on`, `y` and their opposites, in any case.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

/// A whole number: decimal, `0x1F`, `0b101`, `0o755`, and `0755` as octal; with `_` between digits.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let text = text.replace('_', "");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(&text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        (8, rest)
    } else {
        (10, lower.as_str())
    };
    if !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

/// A duration as Go writes it (`1h30m`, `1.5h`, `100ms`), or a whole number of nanoseconds; not below zero.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Some(nanoseconds) = integer(text) {
        return u64::try_from(nanoseconds).ok().map(Duration::from_nanos);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let (number, after) = rest.split_at(end);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        total = total.checked_add(nanoseconds(number, unit_of(unit)?)?)?;
        rest = after;
    }
    let total = i64::try_from(total).ok().filter(|_| !text.is_empty() && text != "+")?;
    u64::try_from(total).ok().map(Duration::from_nanos)
}

/// A rate as `10/m`, as the time for each one: whole numbers a second, minute or hour.
pub(crate) fn rate(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let number = number.trim().parse::<u32>().ok().filter(|number| *number > 0)?;
    Some(Duration::from_secs(seconds) / number).filter(|period| !period.is_zero())
}

/// A size as `4MiB`, `512KiB`, `1GiB`, or a whole number of bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A rate of bytes as `1KiB/s`, in bytes a second; a bare `0` is none.
pub(crate) fn byte_rate(text: &str) -> Option<u64> {
    if text.trim() == "0" { Some(0) } else { size(text.trim().strip_suffix("/s")?) }
}

fn unit_of(name: &str) -> Option<u128> {
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn nanoseconds(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u128>().ok()? };
    let mut scale = unit;
    let mut part = 0_u128;
    for digit in fraction.chars() {
        let digit = digit.to_digit(10)?;
        part += scale * u128::from(digit) / 10;
        scale /= 10;
    }
    whole.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn truth_is_what_yaml_1_1_calls_so() {
        for text in ["true", "True", "yes", "YES", "on", "On", "y", "Y"] {
            assert_eq!(truth(text), Some(true), "{text}");
        }
        for text in ["false", "no", "No", "off", "OFF", "n"] {
            assert_eq!(truth(text), Some(false), "{text}");
        }
        for text in ["", "1", "0", "maybe", "tru"] {
            assert_eq!(truth(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_have_the_bases_of_yaml_1_1() {
        let table =
            [("0", 0), ("7", 7), ("-12", -12), ("+5", 5), ("1_000", 1000), ("0755", 493), ("0o755", 493), ("0x1F", 31), ("0b101", 5)];
        for (text, value) in table {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in ["", "-", "0x", "089", "1.5", "12a", "--1", "99999999999999999999"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_in_go() {
        let table = [
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("100ms", 100),
            ("0", 0),
            ("0s", 0),
            (".5s", 500),
            ("1.s", 1000),
            ("5000000", 5),
            ("+2s", 2000),
        ];
        for (text, milliseconds) in table {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "+", "-1s", "-5", "1d", "h", ".", ".s", "1h 30m", "1h0"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration("3000000h"), None, "more than Go can hold");
    }

    #[test]
    fn sizes_are_powers_of_two() {
        let table = [("0", 0), ("4MiB", 4 << 20), ("512 KiB", 512 << 10), ("1GiB", 1 << 30), ("17", 17), ("17B", 17)];
        for (text, bytes) in table {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "4MB", "4mib", "1.5GiB", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!((byte_rate("1KiB/s"), byte_rate("0"), byte_rate("1KiB"), byte_rate("1/s")), (Some(1024), Some(0), None, Some(1)));
    }

    #[test]
    fn rates_are_a_time_for_each() {
        let table = [("10/m", 6000), ("1/s", 1000), ("2000/s", 0), (" 3600 / h ", 1000)];
        for (text, milliseconds) in table {
            assert_eq!(rate(text).map(|period| period.as_millis()), Some(milliseconds), "{text}");
        }
        for text in ["", "10", "10/d", "0/s", "-1/s", "1.5/s", "/s"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_go_would_print_is_read_back(hours in 0_u64..100_000, minutes in 0_u64..60, seconds in 0_u64..60, milliseconds in 0_u64..1000) {
            let expected = Duration::from_secs(hours * 3600 + minutes * 60 + seconds) + Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&format!("{hours}h{minutes}m{seconds}.{milliseconds:03}s")), Some(expected));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "[-+0-9a-zµ_. ]{0,24}") {
            let _ = (truth(&text), integer(&text), duration(&text));
        }
    }
}
