//! Bytes of a statement -> tokens. Any bytes: what makes no sense ends as an error, not a panic.

use super::{SQL_MODE_ANSI_QUOTES, SQL_MODE_NO_BACKSLASH_ESCAPES, StatementContext};
use crate::position::Flavor;
use crate::schema::charset::{Charset, charset_of_collation, decode_to_utf8};
use std::ops::Range;

/// One token; comments and white space are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, unquoted identifier or number, as text.
    Word(String),
    /// A quoted identifier, unquoted.
    Quoted(String),
    /// A string literal's bytes, unescaped as far as names and XA identifiers need.
    Text(Vec<u8>),
    /// Any other character.
    Sign(u8),
}

impl Token {
    /// Whether this is the keyword; quoted identifiers never are.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// The text has an open quote or comment, or a name that is not text in its charset.
#[derive(Debug)]
pub(super) struct NotLexed;

/// Splits a statement into tokens.
pub(super) fn tokens(text: &[u8], context: &StatementContext<'_>) -> Result<Vec<Token>, NotLexed> {
    let mut lexer = Lexer::new(text, context)?;
    while lexer.step()? {}
    let closed = lexer.executed_comments == 0;
    closed.then_some(lexer.tokens).ok_or(NotLexed)
}

/// Every token with where it stands in the text.
pub(super) fn placed_tokens(
    text: &[u8],
    context: &StatementContext<'_>,
) -> Result<Vec<(Token, Range<usize>)>, NotLexed> {
    let mut lexer = Lexer::new(text, context)?;
    let at = |lexer: &Lexer<'_>| text.len() - lexer.rest.len();
    let mut placed = Vec::new();
    loop {
        let start = at(&lexer);
        if !lexer.step()? {
            return Ok(placed);
        }
        let end = at(&lexer);
        placed.extend(lexer.tokens.drain(..).map(|token| (token, start..end)));
    }
}

/// The first token, `None` when there are only comments.
pub(super) fn first_token(
    text: &[u8],
    context: &StatementContext<'_>,
) -> Result<Option<Token>, NotLexed> {
    let mut lexer = Lexer::new(text, context)?;
    while lexer.tokens.is_empty() && lexer.step()? {}
    Ok(lexer.tokens.pop())
}

struct Lexer<'a> {
    rest: &'a [u8],
    charset: Charset,
    flavor: Flavor,
    ansi_quotes: bool,
    backslash_escapes: bool,
    /// Open `/*!` whose content is read like the rest.
    executed_comments: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a [u8], context: &StatementContext<'_>) -> Result<Self, NotLexed> {
        let charset = match context.collation {
            None => Charset::Utf8mb4,
            Some(id) => charset_of_collation(id).ok_or(NotLexed)?,
        };
        if charset.min_len() > 1 {
            // No client can send statements in these; the server refuses them.
            return Err(NotLexed);
        }
        Ok(Lexer {
            rest: text,
            charset,
            flavor: context.flavor,
            ansi_quotes: context.sql_mode & SQL_MODE_ANSI_QUOTES != 0,
            backslash_escapes: context.sql_mode & SQL_MODE_NO_BACKSLASH_ESCAPES == 0,
            executed_comments: 0,
            tokens: Vec::new(),
        })
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Takes one token, comment or stretch of space; false at the end.
    fn step(&mut self) -> Result<bool, NotLexed> {
        let Some(&first) = self.rest.first() else {
            return Ok(false);
        };
        match first {
            b' ' | b'\t'..=b'\r' | 0 => self.skip(1),
            b'#' => self.line_comment(),
            b'-' if self.is_dash_comment() => self.line_comment(),
            b'/' if self.rest.starts_with(b"/*") => self.block_comment()?,
            b'*' if self.executed_comments > 0 && self.rest.starts_with(b"*/") => {
                self.executed_comments -= 1;
                self.skip(2);
            }
            b'\'' => self.text(b'\'')?,
            b'"' if !self.ansi_quotes => self.text(b'"')?,
            b'"' | b'`' => self.identifier(first)?,
            _ if is_word(first) => self.word()?,
            sign => {
                self.tokens.push(Token::Sign(sign));
                self.skip(1);
            }
        }
        Ok(true)
    }

    /// `--` counts as a comment only before space, a control character or the end.
    fn is_dash_comment(&self) -> bool {
        self.rest.starts_with(b"--") && self.rest.get(2).is_none_or(|&byte| byte <= b' ')
    }

    fn line_comment(&mut self) {
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        self.skip(end.map_or(self.rest.len(), |at| at + 1));
    }

    /// Skips a comment, or enters one whose content the server executes.
    fn block_comment(&mut self) -> Result<(), NotLexed> {
        let executed = if self.rest.starts_with(b"/*!") {
            Some(3)
        } else if self.rest.starts_with(b"/*M!") && self.flavor == Flavor::MariaDb {
            Some(4)
        } else {
            None
        };
        if let Some(opener) = executed {
            self.skip(opener);
            // A server that does not execute a comment takes the `!` out before it logs the
            // statement, so every version number still here was executed.
            let digits = self
                .rest
                .iter()
                .take(6)
                .take_while(|byte| byte.is_ascii_digit());
            let digits = digits.count();
            self.skip(if digits >= 5 { digits } else { 0 });
            self.executed_comments += 1;
            return Ok(());
        }
        let body = self.rest.get(2..).unwrap_or_default();
        let end = body
            .windows(2)
            .position(|pair| pair == b"*/")
            .ok_or(NotLexed)?;
        self.skip(end + 4);
        Ok(())
    }

    /// Bytes of the character at the start of `rest`, where its second byte could look like
    /// ASCII.
    fn character_bytes(&self) -> usize {
        let (lead, second) = match *self.rest {
            [lead, second, ..] => (lead, second),
            _ => return 1,
        };
        let pair = match self.charset {
            Charset::Big5 => (0xa1..=0xf9).contains(&lead),
            Charset::Gbk | Charset::Gb18030 => (0x81..=0xfe).contains(&lead),
            Charset::Cp932 | Charset::Sjis => matches!(lead, 0x81..=0x9f | 0xe0..=0xfc),
            _ => false,
        };
        match (pair, self.charset, second) {
            (true, Charset::Gb18030, b'0'..=b'9') => 4,
            (true, Charset::Gb18030 | Charset::Gbk, 0x40..=0x7e | 0x80..=0xfe) => 2,
            (true, Charset::Big5, 0x40..=0x7e | 0xa1..=0xfe) => 2,
            (true, Charset::Cp932 | Charset::Sjis, 0x40..=0x7e | 0x80..=0xfc) => 2,
            _ => 1,
        }
    }

    /// Takes the content of a quoted token and its closing quote.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Result<Vec<u8>, NotLexed> {
        self.skip(1);
        let mut content = Vec::new();
        loop {
            let first = *self.rest.first().ok_or(NotLexed)?;
            let width = self.character_bytes();
            if width == 1 && first == quote {
                if self.rest.get(1) != Some(&quote) {
                    self.skip(1);
                    return Ok(content);
                }
                content.push(quote);
                self.skip(2);
            } else if width == 1 && escapes && first == b'\\' {
                self.skip(1);
                let escaped = *self.rest.first().ok_or(NotLexed)?;
                let width = self.character_bytes();
                let meant = match escaped {
                    b'0' => &[0],
                    b'n' => &b"\n"[..],
                    b't' => b"\t",
                    b'r' => b"\r",
                    b'b' => b"\x08",
                    b'Z' => b"\x1a",
                    _ => self.rest.get(..width).ok_or(NotLexed)?,
                };
                content.extend_from_slice(meant);
                self.skip(width);
            } else {
                content.extend_from_slice(self.rest.get(..width).ok_or(NotLexed)?);
                self.skip(width);
            }
        }
    }

    fn text(&mut self, quote: u8) -> Result<(), NotLexed> {
        let content = self.quoted(quote, self.backslash_escapes)?;
        self.tokens.push(Token::Text(content));
        Ok(())
    }

    fn identifier(&mut self, quote: u8) -> Result<(), NotLexed> {
        let content = self.quoted(quote, false)?;
        let name = self.utf8(&content)?;
        self.tokens.push(Token::Quoted(name));
        Ok(())
    }

    fn word(&mut self) -> Result<(), NotLexed> {
        let whole = self.rest;
        while let Some(&first) = self.rest.first() {
            if !is_word(first) {
                break;
            }
            self.skip(self.character_bytes());
        }
        let length = whole.len() - self.rest.len();
        let word = self.utf8(whole.get(..length).unwrap_or_default())?;
        self.tokens.push(Token::Word(word));
        Ok(())
    }

    fn utf8(&self, bytes: &[u8]) -> Result<String, NotLexed> {
        let charset = match self.charset {
            // Names are utf8 even when the client calls its text binary.
            Charset::Binary => Charset::Utf8mb4,
            other => other,
        };
        let text = decode_to_utf8(charset, bytes).ok_or(NotLexed)?;
        Ok(text.into_owned())
    }
}

/// Bytes of unquoted identifiers, keywords and numbers.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}
