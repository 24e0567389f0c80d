//! The order in which views can be created.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A view as [`in_order`] sees it.
pub(super) struct ViewText<'a> {
    pub(super) db: &'a str,
    pub(super) name: &'a str,
    /// Its statement in UTF-8, references within the database unqualified.
    pub(super) text: &'a str,
}

/// Indexes of the views, those first that others select from; where they seem to go in a circle
/// (a column may have the name of a view) by name, and the restore tries again.
pub(super) fn in_order(views: &[ViewText<'_>]) -> Vec<usize> {
    let by_name: BTreeMap<(&str, &str), usize> = views
        .iter()
        .enumerate()
        .map(|(index, view)| ((view.db, view.name), index))
        .collect();
    let mut waiting: BTreeMap<(&str, &str), BTreeSet<usize>> = BTreeMap::new();
    for (index, view) in views.iter().enumerate() {
        let mut needs = BTreeSet::new();
        for (db, name) in identifiers(view.text) {
            let key = (db.as_deref().unwrap_or(view.db), name.as_str());
            needs.extend(by_name.get(&key).copied().filter(|&n| n != index));
        }
        waiting.insert((view.db, view.name), needs);
    }
    let mut order = Vec::with_capacity(views.len());
    let mut done = HashSet::new();
    while !waiting.is_empty() {
        let is_ready = |needs: &BTreeSet<usize>| needs.iter().all(|n| done.contains(n));
        let ready = waiting.iter().find(|(_, needs)| is_ready(needs));
        let Some(key) = ready.or_else(|| waiting.iter().next()).map(|(k, _)| *k) else {
            break;
        };
        waiting.remove(&key);
        if let Some(&index) = by_name.get(&key) {
            done.insert(index);
            order.push(index);
        }
    }
    order
}

/// All quoted identifiers, with the quoted identifier before them where a point joins the two.
fn identifiers(text: &str) -> Vec<(Option<String>, String)> {
    let mut found: Vec<(Option<String>, String)> = Vec::new();
    let mut chars = text.chars().peekable();
    let mut former: Option<String> = None;
    while let Some(first) = chars.next() {
        match first {
            '\'' => {
                skip_literal(&mut chars);
                former = None;
            }
            '`' => {
                let mut name = String::new();
                while let Some(c) = chars.next() {
                    match c {
                        '`' if chars.peek() == Some(&'`') => {
                            chars.next();
                            name.push('`');
                        }
                        '`' => break,
                        other => name.push(other),
                    }
                }
                let before = former.take();
                found.push((before, name.clone()));
                if chars.peek() == Some(&'.') {
                    chars.next();
                    former = Some(name.clone());
                }
                // `view`.`column`: the first of a pair may be a view of this database as well.
                found.push((None, name));
            }
            _ => former = None,
        }
    }
    found
}

fn skip_literal(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '\'' if chars.peek() == Some(&'\'') => {
                chars.next();
            }
            '\'' => break,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order<'a>(views: &[(&'a str, &'a str, &'a str)]) -> Vec<&'a str> {
        let texts: Vec<ViewText<'_>> = views
            .iter()
            .map(|&(db, name, text)| ViewText { db, name, text })
            .collect();
        let order = in_order(&texts);
        assert_eq!(order.len(), views.len());
        order.into_iter().map(|i| views[i].1).collect()
    }

    #[test]
    fn views_follow_what_they_select_from() {
        assert_eq!(
            order(&[
                (
                    "d",
                    "a",
                    "CREATE VIEW `a` AS select `b`.`x` AS `x` from `b`"
                ),
                (
                    "d",
                    "b",
                    "CREATE VIEW `b` AS select `e`.`z``z`.`x` from `e`.`z``z`"
                ),
                ("e", "z`z", "CREATE VIEW `z``z` AS select '`a`' AS `x`"),
            ]),
            ["z`z", "b", "a"]
        );
    }

    #[test]
    fn names_that_only_look_like_a_circle_lose_no_view() {
        let circle = [
            (
                "d",
                "a",
                "CREATE VIEW `a` AS select `t`.`b` AS `b` from `t`",
            ),
            (
                "d",
                "b",
                "CREATE VIEW `b` AS select `t`.`a` AS `a` from `t`",
            ),
        ];
        assert_eq!(order(&circle), ["a", "b"]);
    }
}
