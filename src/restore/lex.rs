//! Words of the server's own `SHOW CREATE` texts: enough to find a clause outside of quotes.

/// One token, by place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A run of letters, digits, `_` and bytes beyond ASCII.
    Word(usize, usize),
    /// A quoted name or string, quotes included.
    Quoted(usize, usize),
    /// Any other character but blanks.
    Mark(u8),
}

/// The tokens of a statement. Names are quoted by backticks or double quotes.
pub(super) fn tokens(text: &[u8]) -> Vec<Token> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        let length = match byte {
            b'`' | b'\'' | b'"' => quoted(rest, byte),
            _ if is_word(&byte) => rest.iter().take_while(|b| is_word(b)).count(),
            _ => 1,
        };
        match byte {
            b'`' | b'\'' | b'"' => found.push(Token::Quoted(at, at + length)),
            _ if is_word(&byte) => found.push(Token::Word(at, at + length)),
            _ if byte.is_ascii_whitespace() => {}
            _ => found.push(Token::Mark(byte)),
        }
        at += length;
    }
    found
}

/// Length of the quoted text at the start: to the quote that is neither doubled nor, in a
/// string, escaped.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if quote != b'`' => at += 2,
            _ if byte == quote && text.get(at + 1) == Some(&quote) => at += 2,
            _ if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Tokens with the text they are of.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a [u8],
    list: Vec<Token>,
}

impl<'a> Tokens<'a> {
    /// Of a statement.
    pub(super) fn new(text: &'a [u8]) -> Tokens<'a> {
        Tokens {
            text,
            list: tokens(text),
        }
    }

    /// Number of tokens.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether these words stand from `at` on.
    pub(super) fn has(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| {
            let found = match self.list.get(at + offset) {
                Some(Token::Word(from, to)) => self.text.get(*from..*to),
                _ => None,
            };
            found.is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
        })
    }

    /// Whether this character stands at `at`.
    pub(super) fn has_mark(&self, at: usize, mark: u8) -> bool {
        self.list.get(at) == Some(&Token::Mark(mark))
    }

    /// Where a token stands in the text.
    pub(super) fn place(&self, at: usize) -> Option<(usize, usize)> {
        match self.list.get(at)? {
            Token::Word(from, to) | Token::Quoted(from, to) => Some((*from, *to)),
            Token::Mark(_) => None,
        }
    }

    /// The name at `at`, its quotes taken away.
    pub(super) fn name(&self, at: usize) -> Option<String> {
        let (from, to) = self.place(at)?;
        let text = String::from_utf8_lossy(self.text.get(from..to)?).into_owned();
        let quote = text.chars().next().filter(|c| matches!(c, '`' | '"'));
        Some(match quote {
            None => text,
            Some(quote) => {
                let inner = text
                    .get(1..text.len().saturating_sub(1))
                    .unwrap_or_default();
                inner.replace(&format!("{quote}{quote}"), &quote.to_string())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hide_what_is_in_them() {
        let text = br"a `b``c (` ('d\' e', 'f''g')x_1";
        let tokens = Tokens::new(text);
        assert_eq!(tokens.len(), 8);
        assert_eq!(tokens.name(1).as_deref(), Some("b`c ("));
        assert!(tokens.has_mark(2, b'(') && tokens.has_mark(4, b',') && tokens.has_mark(6, b')'));
        assert_eq!(tokens.name(7).as_deref(), Some("x_1"));
        assert!(tokens.has(0, &["A"]) && !tokens.has(0, &["A", "B"]));
        assert_eq!(Tokens::new(b"`open").len(), 1);
        assert_eq!(Tokens::new(br"'\").len(), 1);
    }
}
