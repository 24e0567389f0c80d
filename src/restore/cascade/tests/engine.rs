//! A naive engine: every change is checked, done and passed on, one row after the other.

use crate::change::Op;
use crate::restore::cascade::definition::OnChange::{self, Cascade, SetNull};

pub(super) type Row = Vec<Option<i32>>;
/// Rows of each table.
pub(super) type State = Vec<Vec<Row>>;
/// Table, operation, row.
pub(super) type Change = (usize, Op, Row);

/// Name, columns, those of its key.
pub(super) const TABLES: [(&str, &[&str], &[u32]); 5] = [
    ("a", &["id", "u"], &[0]),
    ("b", &["id", "a", "u", "up"], &[0]),
    ("c", &["b", "n", "v"], &[1, 0]),
    ("k", &["b", "v"], &[]),
    ("d", &["id", "b", "n"], &[0]),
];

/// A foreign key: parent, its columns, child, its columns, ON DELETE, ON UPDATE.
pub(super) type Fk = (
    usize,
    &'static [usize],
    usize,
    &'static [usize],
    Option<OnChange>,
    Option<OnChange>,
);

pub(super) const KEYS: [Fk; 6] = [
    (0, &[0], 1, &[1], Some(Cascade), Some(Cascade)),
    (0, &[1], 1, &[2], Some(SetNull), Some(Cascade)),
    (1, &[0], 1, &[3], Some(SetNull), None),
    (1, &[0], 2, &[0], Some(Cascade), Some(Cascade)),
    (1, &[0], 3, &[0], Some(SetNull), Some(Cascade)),
    (2, &[0, 1], 4, &[1, 2], Some(Cascade), Some(SetNull)),
];

/// The engine: every change is checked, done, and passed on; `None` when it is refused.
#[derive(Clone, Debug, Default)]
struct Engine {
    state: State,
    checks: bool,
}

impl Engine {
    fn cells(row: &Row, columns: &[usize]) -> Row {
        columns.iter().map(|c| row[*c]).collect()
    }

    fn take(&mut self, table: usize, row: &Row) -> Option<()> {
        let at = self.state[table].iter().position(|r| r == row)?;
        self.state[table].remove(at);
        Some(())
    }

    fn put(&mut self, table: usize, row: &Row) -> Option<()> {
        let key: Vec<usize> = TABLES[table].2.iter().map(|c| *c as usize).collect();
        let own = Self::cells(row, &key);
        let taken = |r: &Row| !key.is_empty() && Self::cells(r, &key) == own;
        if own.contains(&None) || self.state[table].iter().any(taken) {
            return None;
        }
        // `a.u` is unique.
        if table == 0 && row[1].is_some() && self.state[0].iter().any(|r| r[1] == row[1]) {
            return None;
        }
        self.state[table].push(row.clone());
        Some(())
    }

    /// A row of the child that refers to the row of the parent.
    fn child(&self, key: &Fk, row: &Row) -> Option<Row> {
        let value = Self::cells(row, key.1);
        let refers = |r: &&Row| !value.contains(&None) && Self::cells(r, key.3) == value;
        self.state[key.2].iter().find(refers).cloned()
    }

    fn delete(&mut self, table: usize, row: &Row) -> Option<()> {
        self.take(table, row)?;
        let checks = self.checks;
        for key in KEYS.iter().filter(|k| k.0 == table && checks) {
            while let Some(child) = self.child(key, row) {
                match key.4? {
                    Cascade => self.delete(key.2, &child)?,
                    SetNull => self.rewrite(key, &child, vec![None; key.3.len()])?,
                }
            }
        }
        Some(())
    }

    fn rewrite(&mut self, key: &Fk, child: &Row, cells: Row) -> Option<()> {
        let mut after = child.clone();
        for (column, cell) in key.3.iter().zip(cells) {
            after[*column] = cell;
        }
        self.update(key.2, child, &after)
    }

    fn update(&mut self, table: usize, was: &Row, is: &Row) -> Option<()> {
        self.take(table, was)?;
        self.put(table, is)?;
        let checks = self.checks;
        for key in KEYS.iter().filter(|k| k.0 == table && checks) {
            let value = Self::cells(is, key.1);
            if value == Self::cells(was, key.1) {
                continue;
            }
            while let Some(child) = self.child(key, was) {
                match key.5? {
                    Cascade => self.rewrite(key, &child, value.clone())?,
                    SetNull => self.rewrite(key, &child, vec![None; key.3.len()])?,
                }
            }
        }
        Some(())
    }

    /// Whether everything the row refers to is there.
    fn refers_well(&self, table: usize, row: &Row) -> bool {
        KEYS.iter().filter(|k| k.2 == table).all(|key| {
            let value = Self::cells(row, key.3);
            let mut parents = self.state[key.0].iter();
            value.contains(&None) || parents.any(|p| Self::cells(p, key.1) == value)
        })
    }
}

/// A wish: table, kind, which row, and values.
pub(super) type Wish = (usize, u8, usize, [i32; 4]);

/// What the wishes that are granted log, and the state after each of them.
pub(super) fn history(wishes: &[Wish]) -> (Vec<(Vec<Change>, u16)>, Vec<State>) {
    let mut engine = Engine {
        state: vec![Vec::new(); TABLES.len()],
        checks: true,
    };
    let mut log = Vec::new();
    let mut states = vec![engine.state.clone()];
    for (table, kind, which, values) in wishes {
        let columns = TABLES[*table].1.len();
        let value = |v: i32| (v < 7).then_some(v);
        let new: Row = values.iter().take(columns).map(|v| value(*v)).collect();
        let mut next = engine.clone();
        next.checks = *kind != 9;
        let rows = &engine.state[*table];
        let old = rows.get(which % rows.len().max(1)).cloned();
        let changes = match (kind, old) {
            (0..=4, _) => next
                .refers_well(*table, &new)
                .then(|| next.put(*table, &new))
                .flatten()
                .map(|()| vec![(*table, Op::Insert, new)]),
            (5 | 6 | 9, Some(old)) => {
                let done = next.delete(*table, &old);
                done.map(|()| vec![(*table, Op::Delete, old)])
            }
            (_, Some(old)) => {
                let mut is = old.clone();
                is[which % columns] = new[which % columns];
                let done = next.update(*table, &old, &is);
                let well = done.filter(|()| is != old && next.refers_well(*table, &is));
                well.map(|()| {
                    vec![
                        (*table, Op::UpdateBefore, old),
                        (*table, Op::UpdateAfter, is),
                    ]
                })
            }
            _ => None,
        };
        let Some(changes) = changes else {
            continue;
        };
        next.state.iter_mut().for_each(|rows| rows.sort());
        log.push((changes, if next.checks { 0 } else { 2 }));
        states.push(next.state.clone());
        engine = next;
    }
    (log, states)
}
