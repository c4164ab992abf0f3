//! Ranges of a blob (RFC 9110, section 14), and of an upload.

use actix_web::http::header::HeaderMap;

/// Past this many ranges in one request it is answered whole.
const MOST_RANGES: usize = 1024;

/// Part of some content: from an offset, so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Part {
    /// The value of `Content-Range`.
    pub(super) fn content_range(self, total: u64) -> String {
        format!("bytes {}-{}/{total}", self.offset, self.offset + self.length - 1)
    }

    fn end(self) -> u64 {
        self.offset + self.length
    }
}

/// What of the content is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, or one that is not to be honoured.
    Whole,
    /// One part.
    One(Part),
    /// Several, in the order asked.
    Several(Vec<Part>),
    /// Only what lies beyond its end.
    Unsatisfiable,
}

/// Reads a `Range` against the length of the content.
///
/// What is malformed, of another unit, or asks for bytes twice is answered whole, so that no request costs more than the content.
/// A range that ends before it begins counts as beyond the end: the conformance program wants 416, as registry:2 answers.
pub(super) fn wanted(header: Option<&str>, total: u64) -> Wanted {
    let Some(specs) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Wanted::Whole };
    let mut parts = Vec::new();
    for (index, spec) in specs.split(',').enumerate() {
        if index == MOST_RANGES {
            return Wanted::Whole;
        }
        match part(spec.trim(), total) {
            Ok(Some(part)) => parts.push(part),
            Ok(None) => {}
            Err(Malformed) => return Wanted::Whole,
        }
    }
    match parts.as_slice() {
        [] => Wanted::Unsatisfiable,
        [part] => Wanted::One(*part),
        _ if overlap(&parts) => Wanted::Whole,
        _ => Wanted::Several(parts),
    }
}

struct Malformed;

/// One range; `None` when it lies beyond the end, or is empty.
fn part(spec: &str, total: u64) -> Result<Option<Part>, Malformed> {
    let (first, last) = spec.split_once('-').ok_or(Malformed)?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true if !text.is_empty() => Ok(text.parse().unwrap_or(u64::MAX)),
        _ => Err(Malformed),
    };
    let (offset, end) = match (first, last) {
        ("", suffix) => (total.saturating_sub(number(suffix)?), total),
        (first, "") => (number(first)?, total),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first, last.saturating_add(1).min(total))
        }
    };
    Ok((offset < end).then(|| Part { offset, length: end - offset }))
}

fn overlap(parts: &[Part]) -> bool {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable_by_key(|part| part.offset);
    sorted.windows(2).any(|pair| pair[0].end() > pair[1].offset)
}

/// The `Content-Range` of a piece of an upload: first and last byte, `0-99` or `bytes 0-99/*`.
pub(super) fn of_upload(headers: &HeaderMap) -> Result<Option<Part>, MalformedRange> {
    let Some(value) = headers.get("content-range").filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = value.to_str().map_err(|_| MalformedRange)?.trim();
    let text = text.strip_prefix("bytes").map_or(text, str::trim_start).trim_start_matches('=');
    let range = text.split('/').next().unwrap_or_default();
    let (first, last) = range.split_once('-').ok_or(MalformedRange)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| MalformedRange);
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_sub(first).and_then(|span| span.checked_add(1)).ok_or(MalformedRange)?;
    Ok(Some(Part { offset: first, length }))
}

/// The text is no range of an upload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedRange;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(offset: u64, length: u64) -> Wanted {
        Wanted::One(Part { offset, length })
    }

    #[test]
    fn each_form_of_a_range_is_read() {
        for (text, expected) in [
            ("bytes=0-0", one(0, 1)),
            ("bytes=2-5", one(2, 4)),
            ("bytes=2-", one(2, 8)),
            ("bytes=-3", one(7, 3)),
            ("bytes=-30", one(0, 10)),
            ("bytes=5-500", one(5, 5)),
            ("bytes=0-18446744073709551615", one(0, 10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-2", Wanted::Unsatisfiable),
            ("bytes=5-4", Wanted::Unsatisfiable),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=0-4,3-6", Wanted::Whole),
            ("bytes=0-1, 4-5", Wanted::Several(vec![Part { offset: 0, length: 2 }, Part { offset: 4, length: 2 }])),
            ("bytes=0-1,90-99", one(0, 2)),
        ] {
            assert_eq!(wanted(Some(text), 10), expected, "{text}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn too_many_ranges_are_answered_whole() {
        let many: Vec<String> = (0..=MOST_RANGES).map(|index| format!("{0}-{0}", 2 * index)).collect();
        assert_eq!(wanted(Some(&format!("bytes={}", many.join(","))), 1 << 20), Wanted::Whole);
        assert!(matches!(wanted(Some(&format!("bytes={}", many[1..].join(","))), 1 << 20), Wanted::Several(_)));
    }

    #[test]
    fn the_range_of_an_upload_is_read_with_and_without_a_unit() {
        let parse = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(actix_web::http::header::CONTENT_RANGE, actix_web::http::header::HeaderValue::from_static(text));
            of_upload(&headers)
        };
        let expected = Ok(Some(Part { offset: 5, length: 5 }));
        assert_eq!(parse("5-9"), expected);
        assert_eq!(parse("bytes 5-9/*"), expected);
        assert_eq!(parse(""), Ok(None));
        for text in ["9-5", "a-b", "5", "0-18446744073709551615"] {
            assert_eq!(parse(text), Err(MalformedRange), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_longer_than_the_content(text in "bytes=[0-9,-]{0,40}", total in 0u64..100) {
            let sent: u64 = match wanted(Some(&text), total) {
                Wanted::Whole | Wanted::Unsatisfiable => 0,
                Wanted::One(part) => part.length,
                Wanted::Several(parts) => parts.iter().map(|part| part.length).sum(),
            };
            prop_assert!(sent <= total);
        }
    }
}
