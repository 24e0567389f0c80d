//! The one error type of the crate.
//!
//! Errors are sorted by what the reader of the message must do about them, not by where they
//! arose: see [`ErrorKind`]. A message is lowercase and says what failed ("read segment
//! manifest"); the object, table or position it failed on travels as named fields and is printed
//! last as `key=value`; the next step is a [`hint`](Error::hint). The text of a source error is
//! never copied into the message: [`Error::report`] prints the chain once, where it is consumed.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// Shorthand for a result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the reader must do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A setting, an argument or a right is wrong: correct it and start again.
    Config,
    /// Source, target or repository do not fit together (other server, newer format, non-empty
    /// target): nothing is damaged, but this combination must not go on.
    Incompatible,
    /// A server or a store did not answer: the same call may succeed later and is retried.
    Unavailable,
    /// History is missing or the asked-for moment is not covered: take a new base or ask for
    /// another moment.
    Gap,
    /// Bytes are not what they were when they were written: restore the object, never go on.
    Corrupt,
    /// Another writer owns the repository now: this process stops.
    Fenced,
    /// A bug or an impossible state: report it.
    Internal,
}

impl ErrorKind {
    /// Process exit code for an error of this kind (see docs: 1 failed, 2 usage or
    /// configuration, 3 the answer is "no").
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Config => 2,
            ErrorKind::Gap => 3,
            _ => 1,
        }
    }

    /// Whether repeating the same call unchanged may succeed.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self == ErrorKind::Unavailable
    }

    /// Stable lowercase name, used in logs and in `--json` output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::Incompatible => "incompatible",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Gap => "gap",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Internal => "internal",
        }
    }
}

/// An error with its kind, message, named fields, hint and source.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    fields: Vec<(&'static str, String)>,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A new error of `kind`; `message` is lowercase, "verb object", without the source's text.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            fields: Vec::new(),
            hint: None,
            source: None,
        }))
    }

    /// A setting, an argument or a right is wrong.
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Parts do not fit together.
    pub fn incompatible(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Incompatible, message)
    }

    /// A peer did not answer; retried.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// History is missing.
    pub fn gap(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Gap, message)
    }

    /// Bytes are damaged.
    pub fn corrupt(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// Another writer owns the repository.
    pub fn fenced(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }

    /// A bug or an impossible state.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds a named field (object, table, position, ...), printed as `key=value`.
    #[must_use]
    pub fn field(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.fields.push((key, value.to_string()));
        self
    }

    /// Adds the next step for the reader.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without fields.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The value of a named field.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.fields.iter().find(|(k, _)| *k == key);
        found.map(|(_, v)| v.as_str())
    }

    /// The hint, where there is one.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The whole chain for a person: message, fields, causes and hint, one per line.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            text.push_str("\n  caused by: ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        if let Some(hint) = self.hint_text() {
            text.push_str("\n  next step: ");
            text.push_str(hint);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (index, (key, value)) in self.0.fields.iter().enumerate() {
            f.write_str(if index == 0 { "; " } else { " " })?;
            write!(f, "{key}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.0.kind.name(), self.report())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|s| {
            let s: &(dyn StdError + 'static) = &**s;
            s
        })
    }
}

/// Adds context to a foreign error while converting it: `result.wrap(|| Error::corrupt("..."))`.
pub trait Wrap<T> {
    /// Replaces the error by `make()` with the former error as its source.
    ///
    /// # Errors
    /// The error made by `make`.
    fn wrap(self, make: impl FnOnce() -> Error) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Wrap<T> for std::result::Result<T, E> {
    fn wrap(self, make: impl FnOnce() -> Error) -> Result<T> {
        self.map_err(|source| make().source(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_last_and_the_source_is_not_in_display() {
        let error = Error::corrupt("read segment manifest")
            .field("object", "timelines/0001/log/1.json")
            .field("offset", 7)
            .source("checksum differs")
            .hint("restore the object from a mirror");
        assert_eq!(
            error.to_string(),
            "read segment manifest; object=timelines/0001/log/1.json offset=7"
        );
        assert!(error.report().contains("caused by: checksum differs"));
        assert!(
            error
                .report()
                .ends_with("next step: restore the object from a mirror")
        );
        assert_eq!(error.get("offset"), Some("7"));
    }

    #[test]
    fn exit_codes_are_the_contract() {
        assert_eq!(ErrorKind::Config.exit_code(), 2);
        assert_eq!(ErrorKind::Gap.exit_code(), 3);
        assert_eq!(ErrorKind::Corrupt.exit_code(), 1);
    }
}
