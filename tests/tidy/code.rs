//! Source files, and their text as code.

use std::path::Path;

/// A source file: path from the root of the crate, with slashes, and text.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Source {
        let (path, text) = (path.into(), text.into());
        Source { path, text }
    }

    /// The module folder of the crate it is in: `src/<this>/...` or `src/<this>.rs`.
    pub(crate) fn folder(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        rest.split(['/', '.']).next()
    }

    pub(crate) fn is_test(&self) -> bool {
        let is_named = |part: &str| matches!(part, "tests" | "tests.rs" | "testing.rs");
        self.path.split('/').any(is_named)
    }

    /// What is compiled outside of tests, without comments and literals.
    pub(crate) fn code(&self) -> String {
        match self.is_test() {
            true => String::new(),
            false => without_tests(&plain(&self.text)),
        }
    }
}

pub(crate) fn tree() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![root.join("src"), root.join("tests"), root.join("benches")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("read folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).expect("below the root");
                let text = std::fs::read_to_string(&path).expect("read source");
                files.push(Source::new(name.to_str().expect("utf-8"), text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 50, "the tree was not found");
    files
}

/// Blanks comments and the inside of string and character literals; lines and quotes stay where
/// they are.
pub(crate) fn plain(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut out = String::new();
    let mut i = 0;
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => until(&chars, i, "\n"),
            ('/', '*') => until(&chars, i + 2, "*/") + 2,
            ('r', '"' | '#') if !is_word(at(i.wrapping_sub(1))) || at(i.wrapping_sub(1)) == 'b' => {
                let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
                match at(i + 1 + hashes) {
                    '"' => {
                        let close = format!("\"{}", "#".repeat(hashes));
                        until(&chars, i + 2 + hashes, &close) + close.len()
                    }
                    _ => i,
                }
            }
            ('"', _) => past_quote(&chars, i, '"'),
            ('\'', '\\') => past_quote(&chars, i, '\''),
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => i,
        };
        if end == i {
            out.push(at(i));
            i += 1;
            continue;
        }
        let end = end.min(chars.len());
        let shown = |c: char| if matches!(c, '\n' | '"') { c } else { ' ' };
        out.extend(chars[i..end].iter().map(|c| shown(*c)));
        i = end;
    }
    out
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn until(chars: &[char], from: usize, end: &str) -> usize {
    let end: Vec<char> = end.chars().collect();
    (from..chars.len())
        .find(|&i| chars[i..].starts_with(&end))
        .unwrap_or(chars.len())
}

/// The index after the quote that closes the literal opened at `from`.
pub(crate) fn past_quote(chars: &[char], from: usize, quote: char) -> usize {
    let mut i = from + 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Blanks every item under `#[cfg(test)]`; expects [`plain`] text.
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        out.push_str(&rest[..start]);
        let item = &rest[start + MARK.len()..];
        let mut depth = 0_usize;
        let end = item.char_indices().find_map(|(i, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (depth == 0 && matches!(c, '}' | ';')).then_some(i + 1)
        });
        let end = end.unwrap_or(item.len());
        out.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    out + rest
}

/// Where a pattern stands, as `path:line`. A pattern that starts with a letter starts a word.
pub(crate) fn places(source: &Source, code: &str, pattern: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for (at, _) in line.match_indices(pattern) {
            let before = line[..at].chars().next_back().unwrap_or(' ');
            if !(pattern.starts_with(is_word) && is_word(before)) {
                found.push(format!("{}:{}: {pattern}", source.path, number + 1));
            }
        }
    }
    found
}
