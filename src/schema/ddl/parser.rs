//! A cursor over tokens: keywords, names, and what to skip.

use super::Xid;
use super::lexer::Token;
use crate::schema::TableName;

/// The statement is not understood; it becomes `Unknown`.
#[derive(Debug)]
pub(super) struct NotUnderstood;

/// Shorthand for steps that may meet something they do not understand.
pub(super) type Step<T> = Result<T, NotUnderstood>;

/// Cursor over the tokens of one statement.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    pub(super) rest: &'a [Token],
    pub(super) default_db: &'a str,
}

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.rest.first()
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Whether the next tokens are these keywords.
    pub(super) fn sees(&self, keywords: &[&str]) -> bool {
        keywords.len() <= self.rest.len()
            && keywords
                .iter()
                .zip(self.rest)
                .all(|(keyword, token)| token.is(keyword))
    }

    /// Takes the keywords if all of them are next.
    pub(super) fn take(&mut self, keywords: &[&str]) -> bool {
        let found = self.sees(keywords);
        if found {
            self.rest = self.rest.get(keywords.len()..).unwrap_or_default();
        }
        found
    }

    /// Takes one of several keywords and tells which.
    pub(super) fn take_any(&mut self, keywords: &[&'static str]) -> Option<&'static str> {
        let found = keywords.iter().find(|keyword| self.sees(&[keyword]))?;
        self.next();
        Some(found)
    }

    pub(super) fn take_sign(&mut self, sign: u8) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        if found {
            self.next();
        }
        found
    }

    pub(super) fn require(&mut self, keywords: &[&str]) -> Step<()> {
        self.take(keywords).then_some(()).ok_or(NotUnderstood)
    }

    /// Nothing may follow but a semicolon.
    pub(super) fn end(&mut self) -> Step<()> {
        self.take_sign(b';');
        self.rest.is_empty().then_some(()).ok_or(NotUnderstood)
    }

    /// An identifier, quoted or not.
    pub(super) fn identifier(&mut self) -> Step<String> {
        match self.next() {
            Some(Token::Word(name) | Token::Quoted(name)) if !name.is_empty() => Ok(name.clone()),
            _ => Err(NotUnderstood),
        }
    }

    /// `name` or `db.name`; the default database stands in for a missing one.
    pub(super) fn name(&mut self) -> Step<TableName> {
        // ODBC writes `.name` for the default database.
        let dotted = self.take_sign(b'.');
        let first = self.identifier()?;
        if !dotted && self.take_sign(b'.') {
            let table = self.identifier()?;
            return Ok(TableName { db: first, table });
        }
        if self.default_db.is_empty() {
            return Err(NotUnderstood);
        }
        Ok(TableName::new(self.default_db, first))
    }

    /// Names with commas between.
    pub(super) fn names(&mut self) -> Step<Vec<TableName>> {
        let mut names = vec![self.name()?];
        while self.take_sign(b',') {
            names.push(self.name()?);
        }
        Ok(names)
    }

    /// MariaDB's lock wait option.
    pub(super) fn skip_wait(&mut self) {
        if !self.take(&["NOWAIT"]) && self.take(&["WAIT"]) {
            self.next();
        }
    }

    /// `DEFINER = user[@host]` and what else may stand between CREATE and a view or routine.
    pub(super) fn skip_definer_and_options(&mut self) -> Step<()> {
        loop {
            if self.take(&["DEFINER"]) {
                self.sign(b'=')?;
                self.account()?;
            } else if self.take(&["ALGORITHM"]) {
                self.sign(b'=')?;
                self.next();
            } else if self.take(&["SQL", "SECURITY"]) {
                self.next();
            } else {
                return Ok(());
            }
        }
    }

    fn sign(&mut self, sign: u8) -> Step<()> {
        self.take_sign(sign).then_some(()).ok_or(NotUnderstood)
    }

    fn account(&mut self) -> Step<()> {
        let part = |token: Option<&Token>| match token {
            Some(Token::Word(_) | Token::Quoted(_) | Token::Text(_)) => Ok(()),
            _ => Err(NotUnderstood),
        };
        part(self.next())?;
        if self.take_sign(b'(') {
            return self.sign(b')');
        }
        if self.take_sign(b'@') {
            part(self.next())?;
            // Unquoted hosts have dots and dashes.
            while self.take_sign(b'.') || self.take_sign(b'-') {
                part(self.next())?;
            }
        }
        Ok(())
    }

    /// An XA identifier: `gtrid[, bqual[, format]]`, hexadecimal or text.
    pub(super) fn xid(&mut self) -> Step<Xid> {
        let gtrid = self.xid_part()?;
        let mut xid = Xid {
            gtrid,
            bqual: Vec::new(),
            format: 1,
        };
        if self.take_sign(b',') {
            xid.bqual = self.xid_part()?;
        }
        if self.take_sign(b',') {
            let Some(Token::Word(number)) = self.next() else {
                return Err(NotUnderstood);
            };
            xid.format = match number.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16).map_err(|_| NotUnderstood)?,
                None => number.parse().map_err(|_| NotUnderstood)?,
            };
        }
        Ok(xid)
    }

    fn xid_part(&mut self) -> Step<Vec<u8>> {
        let decode = |digits: &[u8]| hex::decode(digits).map_err(|_| NotUnderstood);
        match self.next() {
            Some(Token::Text(bytes)) => Ok(bytes.clone()),
            Some(token @ Token::Word(_)) if token.is("x") => match self.next() {
                Some(Token::Text(digits)) => decode(digits),
                _ => Err(NotUnderstood),
            },
            Some(Token::Word(word)) => match word.strip_prefix("0x") {
                Some(digits) => decode(digits.as_bytes()),
                None => Err(NotUnderstood),
            },
            _ => Err(NotUnderstood),
        }
    }

    /// Takes tokens up to a comma outside of parentheses, or to the end; the comma is taken,
    /// too, and not returned.
    pub(super) fn clause(&mut self) -> Step<&'a [Token]> {
        let all = self.rest;
        let mut depth = 0usize;
        let mut length = 0;
        for token in all {
            match token {
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') => depth = depth.checked_sub(1).ok_or(NotUnderstood)?,
                Token::Sign(b',') if depth == 0 => break,
                _ => {}
            }
            length += 1;
        }
        let (clause, rest) = all.split_at_checked(length).ok_or(NotUnderstood)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(clause)
    }
}
