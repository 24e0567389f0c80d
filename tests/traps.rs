//! docs/TRAPS.md and docs/FAULTS.md are whole: every trap and every fault has its row, every row a
//! test that exists or a reason.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

const TRAPS: usize = 127;
const FAULTS: usize = 48;
const NOT: &str = "does not apply: ";

/// Number, tests named (`path::name`), whether a reason is given.
fn row(line: &str) -> Option<(usize, Vec<&str>, bool)> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
    let [number, what, more, held] = cells.as_slice() else {
        return None;
    };
    let number = number.parse().ok()?;
    assert!(!what.is_empty() && !more.is_empty(), "{line}");
    let held = held.strip_suffix(" |")?;
    let tests = held.split('`').filter(|part| part.contains("::")).collect();
    Some((
        number,
        tests,
        held.starts_with(NOT) && held.len() > NOT.len(),
    ))
}

/// What is wrong with a list of so many rows, row by row.
fn wrong(list: &str, wanted: usize) -> Vec<String> {
    let rows: Vec<_> = list.lines().filter_map(row).collect();
    let mut found = Vec::new();
    let numbers: Vec<usize> = rows.iter().map(|r| r.0).collect();
    if numbers != (1..=wanted).collect::<Vec<_>>() {
        found.push(format!("rows are not 1 to {wanted}: {numbers:?}"));
    }
    for (number, tests, has_reason) in rows {
        if tests.is_empty() != has_reason {
            found.push(format!("{number}: either tests or a reason"));
        }
        for test in tests {
            let (path, name) = test.split_once("::").unwrap();
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let source = std::fs::read_to_string(root.join(path)).unwrap_or_default();
            if !source.contains(&format!("fn {name}(")) {
                found.push(format!("{number}: there is no {test}"));
            }
        }
    }
    found
}

#[test]
fn every_trap_has_a_test_or_a_reason() {
    let list = std::fs::read_to_string("docs/TRAPS.md").unwrap();
    assert_eq!(wrong(&list, TRAPS), Vec::<String>::new());
}

#[test]
fn every_fault_has_a_test_or_a_reason() {
    let list = std::fs::read_to_string("docs/FAULTS.md").unwrap();
    assert_eq!(wrong(&list, FAULTS), Vec::<String>::new());
}

/// The check can fail in each of its ways.
#[test]
fn a_list_with_a_hole_is_found_out() {
    let list = std::fs::read_to_string("docs/TRAPS.md").unwrap();
    let line = |n: usize| {
        list.lines()
            .find(|l| l.starts_with(&format!("| {n} |")))
            .unwrap()
    };
    for (from, to) in [
        (line(7), ""),
        ("::trap_18_years`", "::trap_18_yeras`"),
        (
            "does not apply: there is no retention yet",
            "there is no retention yet",
        ),
        (
            "does not apply: a restore writes",
            "does not apply: see `a::b`, a restore writes",
        ),
    ] {
        assert!(list.contains(from), "{from}");
        assert!(!wrong(&list.replace(from, to), TRAPS).is_empty(), "{from}");
    }
}
