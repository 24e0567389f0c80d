//! JSON text -> tree, with the server's parser (RapidJSON) as the model.

use super::number::number_of_token;
use super::{DEPTH_MAX, JsonObject, JsonTree};
use crate::error::{Error, Result};
use std::borrow::Cow;

/// Parses JSON text into the tree the server would store for it: INTEGER for numbers without
/// point and exponent from -2^63 to 2^32-1, UNSIGNED INTEGER up to 2^64-1, DOUBLE otherwise; of
/// equal keys the last one stays.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) with the byte offset when the text is no JSON
/// document, nests deeper than 100 levels, holds half a surrogate pair, or a number exceeds a
/// double.
pub fn from_text(text: &str) -> Result<JsonTree> {
    parse(text, &mut Plain)
}

/// Makes nodes of what the parser finds.
///
/// Implemented by [`Plain`] (the server's own typing) and by the typed rebuild of
/// [`from_text_with_types`](super::from_text_with_types), which keeps number tokens as text.
pub(super) trait Build<'t> {
    /// A finished value.
    type Node;
    /// `null`, `true` or `false`.
    fn literal(&mut self, value: Option<bool>) -> Self::Node;
    /// A number as it stands in the text.
    fn number(&mut self, token: &'t str) -> Result<Self::Node>;
    /// A string, unescaped.
    fn string(&mut self, text: Cow<'t, str>) -> Self::Node;
    /// An array.
    fn array(&mut self, elements: Vec<Self::Node>) -> Self::Node;
    /// An object, members in the order of the text.
    fn object(&mut self, members: Vec<(String, Self::Node)>) -> Self::Node;
}

struct Plain;

impl<'t> Build<'t> for Plain {
    type Node = JsonTree;

    fn literal(&mut self, value: Option<bool>) -> JsonTree {
        value.map_or(JsonTree::Null, JsonTree::Bool)
    }

    fn number(&mut self, token: &'t str) -> Result<JsonTree> {
        number_of_token(token)
    }

    fn string(&mut self, text: Cow<'t, str>) -> JsonTree {
        JsonTree::String(text.into_owned())
    }

    fn array(&mut self, elements: Vec<JsonTree>) -> JsonTree {
        JsonTree::Array(elements)
    }

    fn object(&mut self, members: Vec<(String, JsonTree)>) -> JsonTree {
        JsonTree::Object(JsonObject::from_members(members))
    }
}

/// Parses a whole text with a builder.
///
/// # Errors
/// As [`from_text`].
pub(super) fn parse<'t, B: Build<'t>>(text: &'t str, build: &mut B) -> Result<B::Node> {
    let mut parser = Parser::new(text);
    parser.skip_space();
    let node = parser.value(build, 0)?;
    parser.skip_space();
    if !parser.is_at_end() {
        return Err(parser.refuse("text after the document"));
    }
    Ok(node)
}

/// Takes tokens from a text, one after the other.
pub(super) struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Parser<'t> {
        Parser { text, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Takes a byte that was looked at, of ASCII.
    pub(super) fn skip_byte(&mut self) {
        self.at += 1;
    }

    fn refuse(&self, what: &'static str) -> Error {
        Error::corrupt("parse json text")
            .field("reason", what)
            .field("offset", self.at)
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes `byte` if it is next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value<B: Build<'t>>(&mut self, build: &mut B, depth: usize) -> Result<B::Node> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= DEPTH_MAX => Err(self.refuse("more than 100 levels")),
            Some(b'{') => self.object(build, depth),
            Some(b'[') => self.array(build, depth),
            Some(b'"') => {
                let text = self.string()?;
                Ok(build.string(text))
            }
            Some(b'-' | b'0'..=b'9') => {
                let token = self.number()?;
                build.number(token)
            }
            Some(b't') => self.word("true").map(|()| build.literal(Some(true))),
            Some(b'f') => self.word("false").map(|()| build.literal(Some(false))),
            Some(b'n') => self.word("null").map(|()| build.literal(None)),
            _ => Err(self.refuse("value expected")),
        }
    }

    pub(super) fn word(&mut self, word: &str) -> Result<()> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.refuse("value expected"));
        }
        self.at += word.len();
        Ok(())
    }

    fn array<B: Build<'t>>(&mut self, build: &mut B, depth: usize) -> Result<B::Node> {
        self.at += 1;
        let mut elements = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(build.array(elements));
        }
        loop {
            self.skip_space();
            elements.push(self.value(build, depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(build.array(elements));
            }
            if !self.take(b',') {
                return Err(self.refuse("comma or end of array expected"));
            }
        }
    }

    fn object<B: Build<'t>>(&mut self, build: &mut B, depth: usize) -> Result<B::Node> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(build.object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.refuse("key expected"));
            }
            let key = self.string()?.into_owned();
            self.skip_space();
            if !self.take(b':') {
                return Err(self.refuse("colon expected"));
            }
            self.skip_space();
            members.push((key, self.value(build, depth + 1)?));
            self.skip_space();
            if self.take(b'}') {
                return Ok(build.object(members));
            }
            if !self.take(b',') {
                return Err(self.refuse("comma or end of object expected"));
            }
        }
    }

    /// Takes a number token: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
    pub(super) fn number(&mut self) -> Result<&'t str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.refuse("digit expected"));
        }
        Ok(())
    }

    /// Takes a string, borrowed where it has no escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'t, str>> {
        self.at += 1;
        let mut owned = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
            let Some(length) = rest.bytes().position(special) else {
                return Err(self.refuse("string does not end"));
            };
            let plain = rest.get(..length).unwrap_or_default();
            self.at += length;
            if self.take(b'"') {
                if owned.is_empty() {
                    return Ok(Cow::Borrowed(plain));
                }
                owned.push_str(plain);
                return Ok(Cow::Owned(owned));
            }
            owned.push_str(plain);
            if !self.take(b'\\') {
                return Err(self.refuse("control character in string"));
            }
            owned.push(self.escape()?);
        }
    }

    /// Takes what follows a backslash.
    fn escape(&mut self) -> Result<char> {
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.refuse("unknown escape")),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if !self.take(b'\\') || self.peek() != Some(b'u') {
                return Err(self.refuse("half a surrogate pair"));
            }
            let second = self.hex4()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.refuse("half a surrogate pair"));
            }
            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.refuse("half a surrogate pair"))
    }

    /// Takes `u` and four hexadecimal digits.
    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at + 1..self.at + 5).unwrap_or_default();
        let valid = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| valid);
        self.at += 5;
        code.ok_or_else(|| self.refuse("four hexadecimal digits expected"))
    }
}
