//! The text of `Authorization`, and that of `WWW-Authenticate`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::error::Error;

/// What a request carries; nothing is verified yet.
pub(super) enum Credentials<'a> {
    /// Nothing, or Basic with neither name nor password.
    Nobody,
    Basic {
        user: String,
        password: Zeroizing<Vec<u8>>,
    },
    Bearer(&'a str),
}

/// Why the last credentials did not do, for the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The token was bad.
    InvalidToken,
    /// The token was good, but not for this.
    InsufficientScope,
}

impl<'a> Credentials<'a> {
    /// Takes the header apart; the scheme's case does not matter, nor does base64's padding or alphabet.
    pub(super) fn parse(authorization: Option<&'a str>) -> Result<Self, Error> {
        let Some(text) = authorization else { return Ok(Self::Nobody) };
        if text.len() > MAX_LENGTH {
            return Err(Error::MalformedAuthorization);
        }
        let text = text.trim();
        let (scheme, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return if rest.is_empty() { Err(Error::MalformedAuthorization) } else { Ok(Self::Bearer(rest)) };
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Error::UnsupportedScheme);
        }
        let decoded = STANDARD.decode(rest).or_else(|_| URL_SAFE.decode(rest)).map_err(|_| Error::MalformedAuthorization)?;
        let decoded = Zeroizing::new(decoded);
        let colon = decoded.iter().position(|byte| *byte == b':').ok_or(Error::MalformedAuthorization)?;
        let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
        if user.is_empty() && password.is_empty() {
            return Ok(Self::Nobody);
        }
        // Bytes that are not UTF-8 are replaced, as in the names of the password file.
        Ok(Self::Basic { user: String::from_utf8_lossy(user).into_owned(), password: Zeroizing::new(password.to_vec()) })
    }
}

/// A Bearer challenge by the Docker token specification.
pub(super) fn bearer_challenge(realm: &str, service: &str, scopes: &[String], problem: Option<Problem>) -> String {
    let mut text = format!("Bearer realm={},service={}", quoted(realm), quoted(service));
    if !scopes.is_empty() {
        text.push_str(&format!(",scope={}", quoted(&scopes.join(" "))));
    }
    match problem {
        Some(Problem::InvalidToken) => text.push_str(",error=\"invalid_token\""),
        Some(Problem::InsufficientScope) => text.push_str(",error=\"insufficient_scope\""),
        None => {}
    }
    text
}

/// A Basic challenge.
pub(super) fn basic_challenge(realm: &str) -> String {
    format!("Basic realm={}", quoted(realm))
}

/// The realm at a path of the request's own scheme and host; `origin` may have a path, which does not count.
pub(super) fn realm_beside(origin: &str, path: &str) -> String {
    let authority = origin.find("://").map_or(0, |end| end + 3);
    let end = origin[authority..].find('/').map_or(origin.len(), |slash| authority + slash);
    format!("{}/{}", &origin[..end], path.trim_start_matches('/'))
}

/// A quoted string of RFC 9110, section 5.6.4, without anything that could end the header.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// The longest `Authorization` that is looked at.
const MAX_LENGTH: usize = 16 * 1024;
const TOLERANT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, TOLERANT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, TOLERANT);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn basic(text: &str) -> Option<(String, Vec<u8>)> {
        match Credentials::parse(Some(text)) {
            Ok(Credentials::Basic { user, password }) => Some((user, password.to_vec())),
            _ => None,
        }
    }

    #[test]
    fn basic_is_read_with_any_case_padding_and_alphabet() {
        let expected = Some(("a".to_owned(), b"b:c?>".to_vec()));
        for text in ["Basic YTpiOmM/Pg==", "basic YTpiOmM/Pg", "BASIC   YTpiOmM_Pg= ", "Basic\tYTpiOmM_Pg=="] {
            assert_eq!(basic(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_and_an_empty_pair_are_nobody() {
        for text in [None, Some("Basic Og=="), Some("Basic Og")] {
            assert!(matches!(Credentials::parse(text), Ok(Credentials::Nobody)), "{text:?}");
        }
        assert_eq!(basic("Basic OnB3"), Some((String::new(), b"pw".to_vec())));
    }

    #[test]
    fn malformed_and_foreign_headers_are_refused() {
        for text in ["Basic", "Basic !", "Basic YWxpY2U=", "Bearer", "Bearer  ", &format!("Bearer {}", "x".repeat(MAX_LENGTH))] {
            assert!(matches!(Credentials::parse(Some(text)), Err(Error::MalformedAuthorization)), "{text:.20}");
        }
        for text in ["", "Negotiate abc", "Digest a=b", "YWxpY2U6cHc="] {
            assert!(matches!(Credentials::parse(Some(text)), Err(Error::UnsupportedScheme)), "{text}");
        }
        assert!(matches!(Credentials::parse(Some("bEaReR a.b.c")), Ok(Credentials::Bearer("a.b.c"))));
    }

    #[test]
    fn a_challenge_has_its_parts_in_the_known_order() {
        let scopes = ["repository:a:pull".to_owned(), "repository:b:pull,push".to_owned()];
        assert_eq!(
            bearer_challenge("https://h/auth/token", "s", &scopes, Some(Problem::InsufficientScope)),
            "Bearer realm=\"https://h/auth/token\",service=\"s\",scope=\"repository:a:pull repository:b:pull,push\",error=\"insufficient_scope\""
        );
        assert_eq!(bearer_challenge("r", "s", &[], None), "Bearer realm=\"r\",service=\"s\"");
        assert_eq!(
            bearer_challenge("r", "s", &[], Some(Problem::InvalidToken)),
            "Bearer realm=\"r\",service=\"s\",error=\"invalid_token\""
        );
        assert_eq!(basic_challenge("a \"b\"\\\r\nx"), "Basic realm=\"a \\\"b\\\"\\\\x\"");
    }

    #[test]
    fn a_redirected_realm_keeps_scheme_and_host_only() {
        assert_eq!(realm_beside("https://h:5000/prefix/more", "/auth/token"), "https://h:5000/auth/token");
        assert_eq!(realm_beside("http://h", "auth/token/"), "http://h/auth/token/");
    }

    proptest! {
        #[test]
        fn any_header_is_parsed_without_a_panic(text in "(?i:basic|bearer)? ?.{0,60}") {
            let _ = Credentials::parse(Some(&text));
        }
    }
}
