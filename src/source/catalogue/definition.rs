//! `SHOW CREATE TABLE` made exact.

use super::labels::Repair;
use crate::schema::quote_identifier;
use std::borrow::Cow;

/// The statement as text. A default of a binary column stands in it as raw bytes: such a literal
/// is written as a hexadecimal one.
pub(crate) fn readable_definition(statement: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(statement) {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut rest = statement;
    while let Some(&first) = rest.first() {
        let length = match first {
            b'\'' | b'`' => quoted_length(rest),
            _ => rest
                .iter()
                .position(|b| matches!(b, b'\'' | b'`'))
                .unwrap_or(rest.len()),
        };
        let (part, tail) = rest.split_at(length.clamp(1, rest.len()));
        rest = tail;
        match std::str::from_utf8(part) {
            Ok(text) => out.push_str(text),
            Err(_) if first == b'\'' => {
                out.push_str("0x");
                out.push_str(&hex::encode(unescape(part)));
            }
            Err(_) => out.push_str(&String::from_utf8_lossy(part)),
        }
    }
    out
}

/// Length of the quoted text at the begin of `bytes`, both quotes included.
fn quoted_length(bytes: &[u8]) -> usize {
    let quote = bytes.first().copied().unwrap_or(b'\'');
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'\'' => at += 2,
            _ if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            _ if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn unescape(literal: &[u8]) -> Vec<u8> {
    let inner = literal
        .get(1..literal.len().saturating_sub(1))
        .unwrap_or_default();
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'0') => 0,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'b') => 8,
                Some(b'Z') => 0x1a,
                Some(&other) => other,
                None => b'\\',
            },
            b'\'' => {
                bytes.next();
                b'\''
            }
            other => other,
        });
    }
    out
}

/// Replaces what the server printed with question marks.
pub(super) fn with_labels(definition: &str, repairs: &[Repair]) -> String {
    let lines = definition.split('\n').map(|line| {
        let mut line = Cow::Borrowed(line);
        for repair in repairs {
            let begin = format!("  {} ", quote_identifier(&repair.column));
            if line.starts_with(&begin) {
                line = Cow::Owned(line.replacen(&repair.printed, &repair.exact, 1));
            }
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The definition without the counter that changes with every insert.
pub(crate) fn without_auto_increment(definition: &str) -> String {
    const OPTION: &str = " AUTO_INCREMENT=";
    // Table options begin after the last column or key; a comment among them comes later.
    let found = definition.rfind("\n) ").and_then(|options| {
        let at = options + definition.get(options..)?.find(OPTION)?;
        let comment = definition.get(options..)?.find(" COMMENT='");
        comment.is_none_or(|c| options + c > at).then_some(at)
    });
    let Some((before, after)) = found.and_then(|at| definition.split_at_checked(at)) else {
        return definition.to_owned();
    };
    let value = after.get(OPTION.len()..).unwrap_or_default();
    let rest = value.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{rest}")
}

/// Where a key stands among the keys of the table: the server prints them in its own order.
pub(super) fn key_place(definition: &str, name: &str) -> usize {
    let line = format!("\n  UNIQUE KEY {} ", quote_identifier(name));
    definition.find(&line).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_become_hexadecimal() {
        let shown = b"CREATE TABLE `a'b` (\n  `c` varbinary(9) DEFAULT '\\0\xff''A\\'',\n  \
                      `d` int DEFAULT '1' COMMENT '\xc3\xa4'\n)";
        assert_eq!(
            readable_definition(shown),
            "CREATE TABLE `a'b` (\n  `c` varbinary(9) DEFAULT 0x00ff274127,\n  \
             `d` int DEFAULT '1' COMMENT 'ä'\n)"
        );
        assert_eq!(readable_definition(b"x '\xff"), "x 0x");
    }

    #[test]
    fn the_counter_is_no_part_of_a_definition() {
        let shown = "CREATE TABLE `t` (\n  `a` int COMMENT ' AUTO_INCREMENT=1'\n) \
                     ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT CHARSET=utf8mb4";
        assert_eq!(
            without_auto_increment(shown),
            shown.replace(" AUTO_INCREMENT=42", "")
        );
        let other = "CREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB COMMENT='x AUTO_INCREMENT=4'";
        assert_eq!(without_auto_increment(other), other);
    }

    #[test]
    fn question_marks_are_replaced_in_their_column_only() {
        let definition = "CREATE TABLE `t` (\n  `a` enum('?') DEFAULT NULL,\n  `b` enum('?')\n)";
        let repair = Repair {
            column: "b".into(),
            printed: "enum('?')".into(),
            exact: "enum('😀')".into(),
        };
        assert_eq!(
            with_labels(definition, &[repair]),
            "CREATE TABLE `t` (\n  `a` enum('?') DEFAULT NULL,\n  `b` enum('😀')\n)"
        );
    }
}
