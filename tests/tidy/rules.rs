//! The rules: each gives the violations it finds.

use super::code::{Source, is_word, places, plain};
use std::collections::BTreeSet;

/// Imports point to lower ranks only; parts of one rank never import each other.
pub(crate) const RANKS: [&[&str]; 14] = [
    &["error"],
    &["position"],
    &["schema"],
    &["change"],
    &["config", "observe"],
    &["binlog"],
    &["segment"],
    &["base"],
    &["runtime"],
    &["storage", "source"],
    &["manifest"],
    &[
        "log",
        "snapshot",
        "history",
        "compact",
        "retention",
        "restore",
        "query",
        "archive",
    ],
    &["service"],
    &["cli"],
];

pub(crate) fn rank(folder: &str) -> Option<usize> {
    RANKS.iter().position(|folders| folders.contains(&folder))
}

pub(crate) fn import_direction(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let Some(folder) = source.folder().filter(|f| !matches!(*f, "lib" | "main")) else {
            continue;
        };
        let Some(own) = rank(folder) else {
            found.push(format!("{}: folder without a rank", source.path));
            continue;
        };
        let code = plain(&source.text);
        for (at, _) in code.match_indices("crate::") {
            for other in imported(&code[at + "crate::".len()..]) {
                let allowed = other == folder || rank(&other).is_some_and(|r| r < own);
                if !allowed {
                    let line = code[..at].lines().count();
                    found.push(format!("{}:{line}: imports {other}", source.path));
                }
            }
        }
    }
    found
}

/// The folders named after `crate::`: one, or those of a `{...}` list.
pub(crate) fn imported(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| is_word(*c)).collect() };
    let Some(list) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let (mut depth, mut names, mut is_start) = (0, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            c if is_start && is_word(c) => {
                names.push(word(&list[at..]));
                is_start = false;
            }
            _ => {}
        }
    }
    names
}

pub(crate) const LINES_MAX: usize = 500;

pub(crate) fn file_size(sources: &[Source]) -> Vec<String> {
    let lines = |s: &Source| s.text.lines().count();
    let long = sources.iter().filter(|s| lines(s) > LINES_MAX);
    long.map(|s| format!("{}: {} lines", s.path, lines(s)))
        .collect()
}

pub(crate) fn file_head(sources: &[Source]) -> Vec<String> {
    let headless = sources.iter().filter(|s| !s.text.starts_with("//!"));
    headless
        .map(|s| format!("{}: starts without `//!`", s.path))
        .collect()
}

pub(crate) const PANICS: [&str; 7] = [
    ".unwrap()",
    ".expect(\"",
    "panic!",
    "todo!",
    "unimplemented!",
    "unreachable!",
    "dbg!",
];

pub(crate) fn no_panics(sources: &[Source]) -> Vec<String> {
    in_source(sources, &PANICS, |_| true)
}

pub(crate) const OUTSIDE: [&str; 9] = [
    "SystemTime::now",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "Uuid::new_v4",
    "rand::",
    "getrandom::",
    "thread_rng",
    "RandomState",
];

pub(crate) fn no_hidden_inputs(sources: &[Source]) -> Vec<String> {
    in_source(sources, &OUTSIDE, |folder| folder != "runtime")
}

pub(crate) const PURE: [&str; 6] = ["position", "schema", "change", "binlog", "segment", "base"];
pub(crate) const IMPURE: [&str; 9] = [
    "async fn",
    ".await",
    "tokio::",
    "std::fs",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "std::env",
    "std::process",
];

pub(crate) fn pure_folders(sources: &[Source]) -> Vec<String> {
    in_source(sources, &IMPURE, |folder| PURE.contains(&folder))
}

pub(crate) fn in_source(
    sources: &[Source],
    patterns: &[&str],
    applies: fn(&str) -> bool,
) -> Vec<String> {
    let sources = sources.iter().filter(|s| s.folder().is_some_and(applies));
    sources
        .flat_map(|source| {
            let code = source.code();
            let found = patterns.iter().flat_map(|p| places(source, &code, p));
            found.collect::<Vec<_>>()
        })
        .collect()
}

pub(crate) fn no_markers(sources: &[Source]) -> Vec<String> {
    let markers = ["TO\u{44}O", "FIX\u{4d}E", "XX\u{58}", "HAC\u{4b}"];
    let sources = sources.iter().filter(|s| s.path != "tests/tidy.rs");
    sources
        .flat_map(|s| markers.iter().flat_map(|m| places(s, &s.text, m)))
        .collect()
}

/// Files that no `mod` line (nor a target of the manifest) reaches.
pub(crate) fn dead_files(sources: &[Source]) -> Vec<String> {
    let exists = |path: &str| sources.iter().any(|s| s.path == path);
    let is_root = |path: &str| {
        let rest = path
            .strip_prefix("tests/")
            .or(path.strip_prefix("benches/"));
        matches!(path, "src/lib.rs" | "src/main.rs")
            || rest.is_some_and(|r| !r.contains('/') || r.ends_with("/main.rs"))
    };
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Source> = sources.iter().filter(|s| is_root(&s.path)).collect();
    while let Some(source) = open.pop() {
        if !reached.insert(source.path.clone()) {
            continue;
        }
        for path in children(source).into_iter().filter(|p| exists(p)) {
            open.extend(sources.iter().filter(|s| s.path == path));
        }
    }
    let dead = sources.iter().filter(|s| !reached.contains(&s.path));
    dead.map(|s| format!("{}: no `mod` line leads here", s.path))
        .collect()
}

/// Paths that the `mod` lines of a file may mean.
pub(crate) fn children(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = file.trim_end_matches(".rs");
    let inside = match stem {
        "mod" | "lib" | "main" => folder.to_owned(),
        _ => format!("{folder}/{stem}"),
    };
    let mut paths = Vec::new();
    let mut explicit: Option<String> = None;
    for line in source.text.lines() {
        let line = line.trim();
        if let Some(path) = line
            .strip_prefix("#[path = \"")
            .and_then(|l| l.strip_suffix("\"]"))
        {
            explicit = Some(normal(&format!("{folder}/{path}")));
            continue;
        }
        let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
        let Some(name) = words
            .iter()
            .position(|w| *w == "mod")
            .map(|i| &words[i + 1..])
        else {
            continue;
        };
        if let ([name], true) = (name, line.ends_with(';')) {
            paths.push(format!("{inside}/{name}.rs"));
            paths.push(format!("{inside}/{name}/mod.rs"));
            paths.extend(explicit.take());
        }
    }
    paths
}

pub(crate) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What a newcomer types first.
pub(crate) fn readme(text: &str) -> Vec<String> {
    ["make demo", "make test"]
        .iter()
        .filter(|command| !text.contains(**command))
        .map(|command| format!("README.md does not say `{command}`"))
        .collect()
}
