//! DDL after the base, as the log has it and as the target will run it.
//!
//! A statement's ladder: logged ([`Ddl`]: what `statements.parquet` has, with its effects) ->
//! understood ([`model`]: which table of the log it concerns, however that is called meanwhile) ->
//! planned ([`PlannedStatement`]: the commands for the target, and the tables whose rows must be
//! there before) -> run (`replay`, in its place between the rows).

pub(super) mod model;
mod text;

pub(super) use text::{Command, commands};

use crate::binlog::query::status_vars;
use crate::change::StatementKind;
use crate::error::{Error, Result};
use crate::manifest::{FileRole, Repository, SegmentManifest};
use crate::position::{Flavor, Seq};
use crate::schema::ddl::{self, Effect, ObjectKind, Obstacle, StatementClass, StatementContext};
use crate::schema::{TableId, TableName, TableVersion};
use crate::segment::{StatementRow, StatementsReader};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A logged statement that changes definitions.
#[derive(Clone, Debug)]
pub(super) struct Ddl {
    /// As logged.
    pub(super) statement: StatementRow,
    /// What it does, names as the source spells them.
    pub(super) effects: Vec<Effect>,
    /// What of it cannot be repeated.
    pub(super) obstacles: Vec<Obstacle>,
}

impl Ddl {
    /// Reads a statement; `None` when it changes no definition.
    pub(super) fn of(
        statement: StatementRow,
        flavor: Flavor,
        folded: bool,
        is_keyless: impl Fn(&TableName) -> bool,
    ) -> Option<Ddl> {
        let vars = status_vars(&statement.status_vars);
        // The start and the rollback of a two-phase ALTER change nothing.
        if vars.alter_flags & (2 | 8) != 0 {
            return None;
        }
        let context = context(&statement, flavor);
        let StatementClass::Ddl { mut effects } = ddl::classify(&statement.text, &context) else {
            return None;
        };
        let mut obstacles = ddl::obstacles(&statement.text, &context, &effects, is_keyless);
        if statement.error_code != 0 {
            obstacles.push(Obstacle {
                table: None,
                reason: "ddl that ended with an error",
            });
        }
        if folded {
            effects.iter_mut().for_each(Effect::fold_names);
            for obstacle in &mut obstacles {
                obstacle.table = obstacle.table.as_ref().map(TableName::lower);
            }
        }
        Some(Ddl {
            statement,
            effects,
            obstacles,
        })
    }

    /// The entry it stands in.
    pub(super) fn seq(&self) -> Seq {
        self.statement.seq
    }

    /// Its start, for people.
    pub(super) fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.statement.text);
        text.chars().take(200).collect()
    }

    /// The statement without what it says of how it is to be carried out; `None` where it says
    /// nothing of that.
    pub(super) fn relaxed(&self, flavor: Flavor) -> Option<Vec<u8>> {
        ddl::relaxed(&self.statement.text, &context(&self.statement, flavor))
    }

    /// Whether it may set AUTO_INCREMENT.
    pub(super) fn sets_counter(&self) -> bool {
        let text = self.statement.text.to_ascii_uppercase();
        text.windows(14).any(|word| word == b"AUTO_INCREMENT")
    }

    /// Adds what names the statement to an error.
    pub(super) fn name(&self, error: Error) -> Error {
        error
            .field("seq", self.seq())
            .field("statement", self.excerpt())
    }
}

fn context(statement: &StatementRow, flavor: Flavor) -> StatementContext<'_> {
    StatementContext {
        flavor,
        default_db: &statement.default_db,
        collation: statement.charset,
        sql_mode: status_vars(&statement.status_vars).sql_mode.unwrap_or(0),
    }
}

/// A statement as the target will run it.
#[derive(Clone, Debug)]
pub(super) struct PlannedStatement {
    /// What was logged.
    pub(super) ddl: Ddl,
    /// What is run for it.
    pub(super) commands: Vec<Command>,
    /// Tables and epochs of them whose rows it reads: written before it.
    pub(super) loads: Vec<(usize, usize)>,
    /// Tables whose rows may be other ones after it, and what they are called then.
    pub(super) rereads: Vec<(usize, TableName)>,
    /// Events that it creates or alters: disabled after it.
    pub(super) events: Vec<TableName>,
}

impl PlannedStatement {
    /// Whether it may start something that runs by itself.
    pub(super) fn touches_events(&self) -> bool {
        !self.events.is_empty()
    }
}

/// Events among the effects that are there after the statement.
pub(super) fn events(effects: &[Effect]) -> Vec<TableName> {
    let all = effects.iter().filter_map(|effect| match effect {
        Effect::SchemaObject {
            kind: ObjectKind::Event,
            change: ddl::ObjectChange::Create | ddl::ObjectChange::Alter,
            name,
        } => Some(name.clone()),
        _ => None,
    });
    all.collect()
}

/// What statements are read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    /// Flavor of the source.
    pub(super) flavor: Flavor,
    /// Whether names are in lower case, however statements spell them.
    pub(super) folded: bool,
    /// Every table version known up to the cut.
    pub(super) versions: &'a BTreeMap<(TableId, u32), Arc<TableVersion>>,
}

impl Reading<'_> {
    /// The statements of segments that change definitions, after one entry up to another.
    ///
    /// # Errors
    /// Those of the repository, naming the object.
    pub(super) async fn all(
        &self,
        repo: &Repository,
        segments: &[Arc<SegmentManifest>],
        (after, through): (Seq, Seq),
    ) -> Result<Vec<Ddl>> {
        let mut all = Vec::new();
        for segment in segments {
            let mut wanted = segment.ddl_entries();
            wanted.retain(|seq| *seq > after && *seq <= through);
            if wanted.is_empty() {
                continue;
            }
            for file in segment.files_of(FileRole::Statements) {
                let rows = StatementsReader::open(repo.get_file(file).await?)?;
                let read = self.some(rows, &wanted);
                all.extend(read.map_err(|e| e.field("object", &file.object))?);
            }
        }
        Ok(all)
    }

    fn some(
        &self,
        rows: impl Iterator<Item = Result<StatementRow>>,
        wanted: &[Seq],
    ) -> Result<Vec<Ddl>> {
        let keyless = self.versions.values().filter(|v| v.key.is_empty());
        let keyless: BTreeSet<&TableName> = keyless.map(|version| &version.name).collect();
        let is_keyless = |name: &TableName| keyless.contains(name);
        let mut found = Vec::new();
        for row in rows {
            let row = row?;
            let is_query = row.kind == StatementKind::Query;
            if is_query && wanted.binary_search(&row.seq).is_ok() {
                found.extend(Ddl::of(row, self.flavor, self.folded, is_keyless));
            }
        }
        Ok(found)
    }
}
