//! A pull parser for JSON text (RFC 8259) whose caller says what it expects next.
//!
//! A request holds many numbers and few names, so nothing is built in between: numbers go from the text into cells,
//! names are compared where they stand. Numbers are rounded correctly: up to 19 digits are gathered in an integer m
//! with a decimal exponent e; when m < 2^53 and |e| <= 22 both m and 10^|e| are exact doubles and one multiplication
//! or division rounds once (Clinger 1990, the fast path); all others go to the standard library's `f64::from_str`.

use crate::failure::{Failure, Result};
use std::borrow::Cow;

/// Arrays and objects inside a value that nobody reads may nest this deep; values that are read have a fixed depth.
const SKIPPED_DEPTH: usize = 64;

/// Powers of ten that are exact in `f64`.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A place in JSON text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the start of a request's body.
    pub(crate) fn new(body: &'a [u8]) -> Result<Self> {
        match std::str::from_utf8(body) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(e) => Err(Failure::bad(format!("the body is not UTF-8 text at byte {}", e.valid_up_to()))),
        }
    }

    /// Where it stands.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// A second reader of the same text, elsewhere.
    pub(crate) fn at(&self, position: usize) -> Self {
        Self { text: self.text, at: position }
    }

    /// An error at this place.
    #[cold]
    pub(crate) fn error(&self, what: impl std::fmt::Display) -> Failure {
        Failure::bad(format!("JSON at byte {}: {what}", self.at))
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> Failure {
        let rest = &self.text.as_bytes()[self.at.min(self.text.len())..];
        if rest.is_empty() {
            return self.error(format_args!("the text ends where {expected} should be"));
        }
        for literal in ["NaN", "Infinity", "-Infinity", "nan", "inf", "-inf"] {
            if rest.starts_with(literal.as_bytes()) {
                return self.error(format_args!("{literal} is not JSON; a missing value is null"));
            }
        }
        let found = self.text[self.at..].chars().next().unwrap_or('?');
        self.error(format_args!("found {found:?} where {expected} should be"))
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte of what comes next.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Steps over `token` if it comes next.
    #[inline]
    pub(crate) fn take(&mut self, token: u8) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Steps over `text` (a token as it would be written) if it comes next.
    #[inline]
    pub(crate) fn take_text(&mut self, text: &[u8]) -> bool {
        self.peek();
        let found = self.text.as_bytes()[self.at..].starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Steps over `token`, which must come next.
    #[inline]
    pub(crate) fn expect(&mut self, token: u8, name: &str) -> Result<()> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected(name)) }
    }

    /// After an element: whether another follows (`,`) or the collection ends with `close`.
    #[inline]
    pub(crate) fn more(&mut self, close: u8) -> Result<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b) if b == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.unexpected(if close == b']' { "a comma or ]" } else { "a comma or }" })),
        }
    }

    /// The end of the text must come next.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the text")),
        }
    }

    /// An array: `element` reads each of its elements.
    #[inline]
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(b'[', "an array")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    /// An object: `member` is called at each value, with its key.
    pub(crate) fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.expect(b'{', "an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, &key)?;
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// A key and its colon.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        let key = self.string()?;
        self.expect(b':', "a colon")?;
        Ok(key)
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        loop {
            match self.byte() {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(0x20..) => self.at += 1,
                Some(_) => return Err(self.error("a control character inside a string must be escaped")),
                None => return Err(self.unexpected("the closing quote of a string")),
            }
        }
    }

    /// The rest of a string that holds an escape.
    fn escaped(&mut self, start: usize) -> Result<String> {
        let mut out = String::from(&self.text[start..self.at]);
        loop {
            let run = self.at;
            while matches!(self.byte(), Some(b) if b != b'"' && b != b'\\' && b >= 0x20) {
                self.at += 1;
            }
            out.push_str(&self.text[run..self.at]);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(_) => return Err(self.error("a control character inside a string must be escaped")),
                None => return Err(self.unexpected("the closing quote of a string")),
            }
        }
    }

    /// What stands after a backslash.
    fn escape(&mut self) -> Result<char> {
        let plain = match self.byte() {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.code_point();
            }
            _ => return Err(self.unexpected("an escape (one of \"\\/bfnrtu)")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// The four digits after `\u`, and a second such escape where the first is half of a pair.
    fn code_point(&mut self) -> Result<char> {
        let high = self.hex4()?;
        if let Some(c) = char::from_u32(high) {
            return Ok(c);
        }
        if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return char::from_u32(code).ok_or_else(|| self.error("no such character"));
            }
        }
        Err(self.error("half of a surrogate pair"))
    }

    fn hex4(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|b| char::from(b).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.unexpected("a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(code)
    }

    /// A number.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<f64> {
        self.peek();
        let bytes = self.text.as_bytes();
        let start = self.at;
        let negative = self.byte() == Some(b'-');
        let mut at = start + usize::from(negative);
        // Leading zeros are counted as digits below, which only sends such a number (0.000...) to the slow path early.
        let (mut mantissa, mut exponent, mut digits) = (0_u64, 0_i32, 0_usize);
        let whole = at;
        while let Some(d @ b'0'..=b'9') = bytes.get(at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d - b'0'));
            at += 1;
        }
        digits += at - whole;
        if digits == 0 {
            return Err(self.unexpected("a number"));
        }
        if digits > 1 && bytes[whole] == b'0' {
            return Err(self.error("a number must not begin with 0 before other digits"));
        }
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            let fraction = at;
            while let Some(d @ b'0'..=b'9') = bytes.get(at) {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d - b'0'));
                at += 1;
            }
            if at == fraction {
                self.at = at;
                return Err(self.unexpected("a digit after the point"));
            }
            digits += at - fraction;
            exponent = -i32::try_from(at - fraction).unwrap_or(i32::MAX);
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1;
            let down = bytes.get(at) == Some(&b'-');
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            let first = at;
            let mut written = 0_i32;
            while let Some(d @ b'0'..=b'9') = bytes.get(at) {
                written = written.saturating_mul(10).saturating_add(i32::from(d - b'0'));
                at += 1;
            }
            if at == first {
                self.at = at;
                return Err(self.unexpected("a digit of the exponent"));
            }
            exponent = exponent.saturating_add(if down { -written } else { written });
        }
        self.at = at;
        if digits <= 19 && mantissa < 1 << 53 && exponent.unsigned_abs() <= 22 {
            let power = POWERS[exponent.unsigned_abs() as usize];
            let x = if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power };
            return Ok(if negative { -x } else { x });
        }
        match self.text[start..at].parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(x),
            _ => Err(self.error("the number is outside the range of a double")),
        }
    }

    /// `true`, `false` or `null`, if one of them comes next.
    #[inline]
    pub(crate) fn literal(&mut self) -> Option<Option<bool>> {
        match self.peek() {
            Some(b'n') if self.take_text(b"null") => Some(None),
            Some(b't') if self.take_text(b"true") => Some(Some(true)),
            Some(b'f') if self.take_text(b"false") => Some(Some(false)),
            _ => None,
        }
    }

    /// What comes next is none of what could be read there.
    #[cold]
    pub(crate) fn refuse(&mut self, expected: &str) -> Failure {
        self.peek();
        self.unexpected(expected)
    }

    /// Steps over any value, checking it.
    pub(crate) fn skip(&mut self) -> Result<()> {
        self.skip_within(SKIPPED_DEPTH)
    }

    fn skip_within(&mut self, depth: usize) -> Result<()> {
        match self.peek() {
            Some(b'{' | b'[') if depth == 0 => Err(self.error("nested too deep")),
            Some(b'{') => self.object(|r, _| r.skip_within(depth - 1)),
            Some(b'[') => self.array(|r| r.skip_within(depth - 1)),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => match self.literal() {
                Some(_) => Ok(()),
                None => Err(self.unexpected("a value")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Result<f64> {
        let mut reader = Reader::new(text.as_bytes())?;
        let x = reader.number()?;
        reader.end()?;
        Ok(x)
    }

    #[test]
    fn numbers_at_the_edges() {
        for text in [
            "0",
            "-0",
            "0.1",
            "1e22",
            "1e23",
            "9007199254740993",
            "123456789012345678901234567890",
            "5e-324",
            "2e-324",
            "1e-400",
            "1.7976931348623157e308",
            "0.000000000000000000000000000001",
            "1E+2",
            "-1.25e-3",
            "0.30000000000000004",
            "8.41e21",
            "9007199254740991e22",
            "18446744073709551616",
            "00.5e0000000000000",
        ] {
            let ours = number(text).ok().map(f64::to_bits);
            let theirs = serde_json::from_str::<f64>(text).ok().map(f64::to_bits);
            assert_eq!(ours, theirs, "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "01",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "0x10",
            "1 2",
        ] {
            assert!(number(text).is_err(), "{text}");
        }
        assert!(number("NaN").unwrap_err().message.contains("null"));
    }

    proptest! {
        #[test]
        fn every_double_comes_back(bits: u64) {
            let x = f64::from_bits(bits);
            prop_assume!(x.is_finite());
            prop_assert_eq!(number(&serde_json::to_string(&x).unwrap()).unwrap().to_bits(), bits);
            prop_assert_eq!(number(&format!("{x:.3e}")).unwrap(), format!("{x:.3e}").parse::<f64>().unwrap());
        }

        #[test]
        fn decimal_text_is_read_as_the_standard_library_does(text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?") {
            let expected: f64 = text.parse().unwrap();
            match number(&text) {
                Ok(x) => prop_assert_eq!(x.to_bits(), expected.to_bits()),
                Err(_) => prop_assert!(expected.is_infinite()),
            }
        }

        #[test]
        fn accepts_what_serde_json_accepts(text in "[\\[\\]{}:, \"\\\\/bfnrtu0-9eE+.truefalsn\u{1}é-]{0,24}") {
            let mut reader = Reader::new(text.as_bytes()).unwrap();
            let ours = reader.skip().and_then(|()| reader.end());
            prop_assert_eq!(ours.is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn every_string_comes_back(s: String) {
            let text = serde_json::to_string(&s).unwrap();
            let mut reader = Reader::new(text.as_bytes()).unwrap();
            prop_assert_eq!(reader.string().unwrap(), s);
        }
    }

    #[test]
    fn escapes_and_depth() {
        let read = |text: &str| Reader::new(text.as_bytes()).unwrap().string().map(Cow::into_owned);
        assert_eq!(read(r#""a\"\\\/\b\f\n\r\tA\u00e9\ud83d\ude00""#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\tAé😀");
        for bad in [r#""\ud83d""#, r#""\ud83dA""#, r#""\x""#, r#""\u12g4""#, "\"a", "\"\n\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
        for (depth, fits) in [(SKIPPED_DEPTH, true), (SKIPPED_DEPTH + 1, false), (10_000, false)] {
            let bomb = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(Reader::new(bomb.as_bytes()).unwrap().skip().is_ok(), fits, "{depth}");
        }
        assert!(Reader::new(b"\xff").is_err());
    }
}
