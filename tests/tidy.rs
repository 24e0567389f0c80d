//! Style as a test: what the compiler and clippy cannot hold.
//!
//! Every rule is a function from the source files to a list of violations. It runs over the
//! tree, and over a bad sample that it must catch: a rule that cannot fail holds nothing.
#![allow(missing_docs)]

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/rules.rs"]
mod rules;

use code::{Source, tree};
use rules::{
    LINES_MAX, dead_files, file_head, file_size, import_direction, no_hidden_inputs, no_markers,
    no_panics, pure_folders, readme,
};
use std::path::Path;

/// The tree has no violation; each bad sample has one, and the good sample none.
fn holds(rule: fn(&[Source]) -> Vec<String>, bad: &[(&str, &str)], good: &[(&str, &str)]) {
    for (path, text) in bad {
        let found = rule(&[Source::new(*path, *text)]);
        assert!(
            !found.is_empty(),
            "the rule misses a violation: {path}: {text}"
        );
    }
    for (path, text) in good {
        let found = rule(&[Source::new(*path, *text)]);
        assert!(found.is_empty(), "the rule is too strict: {found:?}");
    }
    let found = rule(&tree());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn imports_point_one_way() {
    let bad = [
        ("src/position/a.rs", "use crate::schema::X;"),
        ("src/log/a.rs", "use crate::restore::X;"),
        ("src/storage/a.rs", "fn f() { crate::source::x() }"),
        ("src/error.rs", "use crate::{error::A, cli::{b, c}};"),
        ("src/stray/a.rs", ""),
        ("src/log/tests.rs", "use crate::cli::X;"),
    ];
    let good = [
        (
            "src/log/a.rs",
            "use crate::{log::A, manifest::{b, c}};\n// crate::cli",
        ),
        (
            "src/cli/a.rs",
            "use crate::log::X; const A: &str = \"crate::main\";",
        ),
        ("src/lib.rs", "use crate::cli;"),
    ];
    holds(import_direction, &bad, &good);
}

#[test]
fn files_are_short() {
    let long = "\n".repeat(LINES_MAX + 1);
    holds(
        file_size,
        &[("src/a.rs", &long)],
        &[("src/a.rs", &long[1..])],
    );
}

#[test]
fn files_say_what_they_are_for() {
    holds(
        file_head,
        &[("src/a.rs", "use x;")],
        &[("src/a.rs", "//! A.")],
    );
}

#[test]
fn only_tests_panic() {
    let bad = [
        ("src/log/a.rs", "fn f() { g().unwrap() }"),
        ("src/log/a.rs", "fn f() { g().expect(\"x\") }"),
        ("src/log/a.rs", "#[cfg(test)] mod tests; fn f() { todo!() }"),
        (
            "src/log/a.rs",
            "#[cfg(test)] mod tests { fn f() {} } fn f() { panic!(\"x\") }",
        ),
        ("src/log/a.rs", "fn f() { let c = '\"'; dbg!(c) }"),
        ("src/log/a.rs", "fn f() { let c = r#\"\"\"#; dbg!(c) }"),
    ];
    let good = [
        (
            "src/log/a.rs",
            "#[cfg(test)]\nmod tests { fn f() { g().unwrap() } }",
        ),
        ("src/log/tests.rs", "fn f() { panic!() }"),
        (
            "src/log/a.rs",
            "/* panic! */ fn f<'a>() -> &'a str { r#\"panic!\"# } // dbg!",
        ),
        (
            "src/log/a.rs",
            "fn f() { should_panic!(); parser.expect(&[\"ON\"]) }",
        ),
    ];
    holds(no_panics, &bad, &good);
}

#[test]
fn clocks_and_randomness_are_in_runtime() {
    let bad = [
        ("src/log/a.rs", "fn f() { Instant::now() }"),
        ("src/cli/a.rs", "use rand::rng;"),
    ];
    let good = [
        ("src/runtime/a.rs", "fn f() { Instant::now() }"),
        ("src/a.rs", "use brand::x;"),
    ];
    holds(no_hidden_inputs, &bad, &good);
}

#[test]
fn words_and_formats_are_pure() {
    let bad = [
        ("src/binlog/a.rs", "async fn f() {}"),
        ("src/base/a.rs", "use std::fs::File;"),
    ];
    holds(pure_folders, &bad, &[("src/log/a.rs", "async fn f() {}")]);
}

#[test]
fn nothing_is_left_for_later() {
    let bad = ["// TO\u{44}O: later", "/// FIX\u{4d}E"].map(|text| ("src/a.rs", text));
    holds(no_markers, &bad, &[("src/a.rs", "// to do")]);
}

#[test]
fn every_file_is_compiled() {
    holds(
        dead_files,
        &[("src/dead.rs", "//! Dead.")],
        &[("tests/it/main.rs", "")],
    );
    let tree = [
        Source::new("src/lib.rs", "pub mod a;\nmod b;"),
        Source::new("src/a.rs", "#[cfg(test)]\nmod tests;"),
        Source::new("src/a/tests.rs", ""),
        Source::new("src/b/mod.rs", "pub(crate) mod c;"),
        Source::new("src/b/c.rs", ""),
        Source::new("tests/it/main.rs", "#[path = \"../../x/y.rs\"]\nmod y;"),
        Source::new("x/y.rs", ""),
        Source::new("src/b/d.rs", "// mod c;"),
    ];
    assert_eq!(dead_files(&tree), ["src/b/d.rs: no `mod` line leads here"]);
}

#[test]
fn the_readme_starts_people() {
    assert_eq!(readme("make test"), ["README.md does not say `make demo`"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).expect("there is a README.md");
    assert_eq!(readme(&text), [""; 0]);
}
