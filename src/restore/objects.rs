//! Creates what is not rows: databases and tables before them, views, routines, triggers and
//! events after them. Triggers would fire for the rows, events would run; so they come last, and
//! events come disabled.

use super::lex::Tokens;
use super::plan::RestorePlan;
use super::server::Target;
use super::target::TableFilter;
use crate::error::{Error, ErrorKind, Result, Wrap};
use crate::schema::{TableName, quote_identifier};
use crate::source::{ObjectKind, SchemaObject, SqlClient, sql_error};
use mysql_async::prelude::Queryable;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The schema objects of a restore.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    /// Databases, sequences, tables: before the rows.
    pub(super) before: Vec<SchemaObject>,
    /// The rest: after them.
    pub(super) after: Vec<SchemaObject>,
}

impl Objects {
    /// Those of the base that a plan needs and its filter takes, in their order of creation.
    pub(super) fn choose(plan: &RestorePlan, filter: &TableFilter) -> Objects {
        let all = &plan.objects;
        let named = |object: &SchemaObject| TableName::new(&object.db, &object.name);
        let tables: BTreeSet<&TableName> = plan
            .tables
            .iter()
            .filter_map(|t| t.base_name.as_ref())
            .collect();
        let databases: BTreeSet<&str> = plan.databases().collect();
        let taken = |object: &SchemaObject| match object.kind {
            ObjectKind::Database => false,
            ObjectKind::Sequence | ObjectKind::Table => tables.contains(&named(object)),
            ObjectKind::View => filter.takes(&named(object)),
            ObjectKind::Trigger => object
                .table
                .as_ref()
                .is_some_and(|table| filter.takes(&TableName::new(&object.db, table))),
            _ => filter.takes_database(&object.db),
        };
        let chosen: Vec<&SchemaObject> = all.iter().filter(|object| taken(object)).collect();
        let needed = |object: &&SchemaObject| match object.kind {
            ObjectKind::Database => {
                filter.takes_database(&object.db)
                    || databases.contains(object.db.as_str())
                    || chosen.iter().any(|c| c.db == object.db)
            }
            _ => taken(object),
        };
        let early = |object: &SchemaObject| {
            matches!(
                object.kind,
                ObjectKind::Database | ObjectKind::Sequence | ObjectKind::Table
            )
        };
        let (before, after) = all.iter().filter(needed).cloned().partition(early);
        Objects { before, after }
    }

    /// The databases, by name.
    pub(super) fn databases(&self) -> impl Iterator<Item = &str> {
        let databases = self
            .before
            .iter()
            .filter(|o| o.kind == ObjectKind::Database);
        databases.map(|object| object.name.as_str())
    }
}

/// Refuses a target that has any of the databases of a restore.
///
/// # Errors
/// [`Incompatible`](crate::error::ErrorKind::Incompatible), naming them.
pub(super) async fn refuse_existing(client: &mut SqlClient, databases: &[String]) -> Result<()> {
    let mut found = Vec::new();
    for db in databases {
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.schemata WHERE BINARY schema_name = \
             CONVERT(X'{}' USING utf8mb4)",
            hex::encode(db)
        );
        if client.query_string(&sql).await?.as_deref() != Some("0") {
            found.push(db.to_owned());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::incompatible("restore: the target is not empty")
        .field("databases", found.join(", "))
        .hint("restore to a server that does not have these databases, or drop them there first"))
}

/// Drops the databases of a restore that had written no rows yet.
///
/// # Errors
/// Those of the connection.
pub(super) async fn drop_databases(client: &mut SqlClient, databases: &[String]) -> Result<()> {
    for db in databases {
        let sql = format!("DROP DATABASE IF EXISTS {}", quote_identifier(db));
        client.exec(&sql).await?;
    }
    Ok(())
}

/// How objects are created.
#[derive(Clone, Copy, Debug)]
pub(super) struct Creation<'a> {
    /// The server.
    pub(super) target: &'a Target,
    /// Connections.
    pub(super) jobs: usize,
    /// Drops what an earlier, unfinished run created.
    pub(super) again: bool,
    /// Next AUTO_INCREMENT value of tables, as the base has it; rows may raise it.
    pub(super) counters: &'a BTreeMap<TableName, u64>,
}

/// Creates objects: tables that name no other one over several connections, all else in order.
///
/// # Errors
/// [`Incompatible`](crate::error::ErrorKind::Incompatible) when the target refuses one, with the
/// object's name.
pub(super) async fn create(
    how: Creation<'_>,
    objects: &[SchemaObject],
    notes: &mut Vec<String>,
) -> Result<()> {
    let is_table = |object: &&SchemaObject| object.kind == ObjectKind::Table;
    let (tables, first): (Vec<_>, Vec<_>) = objects.iter().partition(is_table);
    let (alike, last): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| stands_alone(table));
    let mut session = Session::open(how).await?;
    session.create_all(first, notes).await?;
    let next = AtomicUsize::new(0);
    let jobs = how.jobs.clamp(1, alike.len().max(1));
    let others = (1..jobs).map(|_| async {
        let mut session = Session::open(how).await?;
        session.create_next(&alike, &next).await?;
        session.client.close().await;
        Ok(())
    });
    let others = futures::future::try_join_all(others);
    futures::try_join!(session.create_next(&alike, &next), others)?;
    session.create_all(last, notes).await?;
    session.client.close().await;
    Ok(())
}

/// Whether a table may be created at the same time as others: it names none, whose definition the
/// server would lock, and needs no setting that all sessions share.
fn stands_alone(table: &SchemaObject) -> bool {
    let tokens = Tokens::new(&table.statement);
    let names_another = (0..tokens.len()).any(|at| tokens.has(at, &["FOREIGN", "KEY"]));
    !table.broken && !names_another && !has_old_times(table)
}

/// A connection that creates objects. It speaks UTF-8 between them.
struct Session<'a> {
    client: SqlClient,
    how: Creation<'a>,
    /// The statements that it was set up with for the object before, where they still hold.
    standing: Vec<String>,
}

impl<'a> Session<'a> {
    async fn open(how: Creation<'a>) -> Result<Session<'a>> {
        Ok(Session {
            client: how.target.connect().await?,
            how,
            standing: Vec::new(),
        })
    }

    async fn create_all(
        &mut self,
        objects: impl IntoIterator<Item = &SchemaObject>,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        for object in objects {
            if object.broken {
                notes.push(format!(
                    "{} {}.{} was broken on the source and is left out",
                    word(object.kind),
                    object.db,
                    object.name
                ));
                continue;
            }
            let created = self.create(object, notes).await;
            created.map_err(|e| refused(object, e))?;
        }
        Ok(())
    }

    /// Takes tables that other sessions take from, too, until there are no more.
    async fn create_next(&mut self, tables: &[&SchemaObject], next: &AtomicUsize) -> Result<()> {
        while let Some(table) = tables.get(next.fetch_add(1, Ordering::SeqCst)) {
            let created = self.create(table, &mut Vec::new()).await;
            created.map_err(|e| refused(table, e))?;
        }
        Ok(())
    }

    async fn create(&mut self, object: &SchemaObject, notes: &mut Vec<String>) -> Result<()> {
        if self.how.again {
            self.client.exec(&drop_statement(object)).await?;
        }
        let mut statement = object.statement.clone();
        let name = TableName::new(&object.db, &object.name).quoted();
        if object.kind == ObjectKind::Event
            && let Some(disabled) = disabled(&statement)
        {
            statement = disabled;
            notes.push(format!(
                "event {name} is restored disabled: ALTER EVENT {name} ENABLE"
            ));
        }
        self.run(object, &statement, &name).await?;
        let client = &mut self.client;
        for statement in object.after_statements(&object.db) {
            self.standing.clear();
            client.exec(&statement).await?;
        }
        if object.kind == ObjectKind::Event && is_enabled(client, object).await? {
            client.exec(&format!("ALTER EVENT {name} DISABLE")).await?;
        }
        Ok(())
    }

    /// Runs the definition of an object under what it was made under.
    async fn run(&mut self, object: &SchemaObject, statement: &[u8], name: &str) -> Result<()> {
        let setting = object.session_statements(self.how.target.flavor, &object.db);
        if self.standing != setting {
            self.standing.clear();
            for statement in &setting {
                self.client.exec(statement).await?;
            }
            self.standing = setting;
        }
        let counter = TableName::new(&object.db, &object.name);
        let counter = self.how.counters.get(&counter);
        let counter = counter.filter(|_| object.kind == ObjectKind::Table);
        let with_counter = counter.and_then(|next| with_auto_increment(statement, *next));
        let client = &mut self.client;
        let global = match has_old_times(object) {
            true => Some(set_old_times(client).await?),
            false => None,
        };
        let statement = with_counter.as_deref().unwrap_or(statement);
        let mut created = client.conn().query_drop(statement).await;
        if object.character_set_client != "utf8mb4" || object.collation_connection.is_some() {
            self.standing.clear();
            client.exec("SET NAMES utf8mb4").await?;
        }
        if let (Ok(()), Some(next), None) = (&created, counter, &with_counter) {
            let alter = format!("ALTER TABLE {name} AUTO_INCREMENT = {next}");
            created = client.conn().query_drop(alter).await;
        }
        if let Some(former) = global {
            let back = format!("SET GLOBAL mysql56_temporal_format = {former}");
            client.exec(&back).await?;
        }
        created.map_err(|e| sql_error("run statement", e))
    }
}

fn refused(object: &SchemaObject, error: Error) -> Error {
    if error.kind() == ErrorKind::Unavailable {
        return error;
    }
    let hint = match error.get("code") {
        // ER_BINLOG_CREATE_ROUTINE_NEED_SUPER
        Some("1419" | "1418") => {
            "run on the target: SET GLOBAL log_bin_trust_function_creators = 1, then restore with \
             --resume"
        }
        _ => {
            "the target refuses it: grant what the cause names, or create the account that it runs \
             as, then restore with --resume"
        }
    };
    Error::incompatible("create schema object on the target")
        .field("kind", word(object.kind))
        .field("name", format!("{}.{}", object.db, object.name))
        .source(error)
        .hint(hint)
}

/// A table's definition with the counter that it begins with, where its options are found.
fn with_auto_increment(definition: &[u8], next: u64) -> Option<Vec<u8>> {
    let tokens = Tokens::new(definition);
    let mut depth = 0;
    let columns_end = (0..tokens.len()).find(|at| {
        depth += i32::from(tokens.has_mark(*at, b'('));
        depth -= i32::from(tokens.has_mark(*at, b')'));
        depth == 0 && tokens.has_mark(*at, b')')
    })?;
    let options = columns_end + 1;
    let (at, _) = tokens
        .has(options, &["ENGINE"])
        .then(|| tokens.place(options))??;
    let (before, after) = definition.split_at_checked(at)?;
    let counter = format!("AUTO_INCREMENT={next} ");
    Some([before, counter.as_bytes(), after].concat())
}

/// Whether a MariaDB table has temporal columns of the format before MySQL 5.6: the server marks
/// them by a comment, and makes them only where a global setting says so.
fn has_old_times(object: &SchemaObject) -> bool {
    let tokens = Tokens::new(&object.statement);
    object.kind == ObjectKind::Table
        && (1..tokens.len()).any(|at| {
            tokens.has_mark(at - 1, b'*')
                && tokens.has(at, &["mariadb"])
                && tokens.has(at + 2, &["5"])
                && tokens.has(at + 4, &["3"])
        })
}

/// Lets the server make such columns; gives what the setting was.
async fn set_old_times(client: &mut SqlClient) -> Result<&'static str> {
    let found = client
        .query_string("SELECT @@global.mysql56_temporal_format")
        .await?;
    client
        .exec("SET GLOBAL mysql56_temporal_format = OFF")
        .await?;
    Ok(if found.as_deref() == Some("0") {
        "OFF"
    } else {
        "ON"
    })
}

/// Whether an event could run: its text is searched for the word, the server knows.
async fn is_enabled(client: &mut SqlClient, object: &SchemaObject) -> Result<bool> {
    let sql = format!(
        "SELECT status FROM information_schema.events WHERE event_schema = X'{}' AND event_name = \
         CONVERT(X'{}' USING utf8mb4)",
        hex::encode(&object.db),
        hex::encode(&object.name)
    );
    Ok(client.query_string(&sql).await?.as_deref() == Some("ENABLED"))
}

fn word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Database => "database",
        ObjectKind::Sequence => "sequence",
        ObjectKind::Table => "table",
        ObjectKind::Function => "function",
        ObjectKind::Procedure => "procedure",
        ObjectKind::Package => "package",
        ObjectKind::PackageBody => "package body",
        ObjectKind::View => "view",
        ObjectKind::Trigger => "trigger",
        ObjectKind::Event => "event",
    }
}

fn drop_statement(object: &SchemaObject) -> String {
    let name = TableName::new(&object.db, &object.name).quoted();
    format!("DROP {} IF EXISTS {name}", word(object.kind).to_uppercase())
}

/// `CREATE EVENT .. ENABLE DO ..` as `.. DISABLE DO ..`; `None` when it is not enabled. The word
/// is looked for where `SHOW CREATE EVENT` puts it, after ON COMPLETION and outside of quotes.
fn disabled(statement: &[u8]) -> Option<Vec<u8>> {
    let tokens = Tokens::new(statement);
    let at = (0..tokens.len()).find(|at| tokens.has(*at, &["ON", "COMPLETION"]))?;
    let preserve = at + 2 + usize::from(tokens.has(at + 2, &["NOT"]));
    if !tokens.has(preserve, &["PRESERVE", "ENABLE"]) {
        return None;
    }
    let (from, to) = tokens.place(preserve + 1)?;
    Some([statement.get(..from)?, b"DISABLE", statement.get(to..)?].concat())
}

/// Unpacks and parses the schema file of a base.
///
/// # Errors
/// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it is not whole.
pub(super) fn read_schema(packed: &[u8]) -> Result<Vec<SchemaObject>> {
    let file = zstd::stream::decode_all(packed).wrap(|| Error::corrupt("unpack schema of base"))?;
    crate::source::parse_schema(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_comes_before_all_other_options() {
        let table = b"CREATE TABLE `) ENGINE` (\n  `a` int(9) NOT NULL AUTO_INCREMENT COMMENT '\n) ENGINE',\n  \
                      PRIMARY KEY (`a`)\n) ENGINE=InnoDB\n/*!50100 PARTITION BY HASH (`a`)\nPARTITIONS 4 */";
        let made = with_auto_increment(table, 9).expect("options");
        assert_eq!(
            String::from_utf8(made).expect("text"),
            String::from_utf8_lossy(table).replace("ENGINE=", "AUTO_INCREMENT=9 ENGINE=")
        );
        let other = b"CREATE TABLE `t` (`a` int) /*!50100 TABLESPACE `s` */ ENGINE=InnoDB";
        assert_eq!(with_auto_increment(other, 9), None);
    }

    #[test]
    fn only_the_status_word_of_an_event_changes() {
        let event = |status: &str| {
            format!(
                "CREATE DEFINER=`a`@`%` EVENT `ON COMPLETION PRESERVE ENABLE` ON SCHEDULE EVERY 1 DAY \
                 STARTS '2026-01-01 00:00:00' ON COMPLETION NOT PRESERVE {status} COMMENT 'x ENABLE' \
                 DO SELECT 'ON COMPLETION PRESERVE ENABLE'"
            )
        };
        let made = disabled(event("ENABLE").as_bytes()).expect("enabled");
        assert_eq!(String::from_utf8(made).expect("text"), event("DISABLE"));
        assert!(disabled(event("DISABLE").as_bytes()).is_none());
        assert!(disabled(event("DISABLE ON SLAVE").as_bytes()).is_none());
        let preserve = event("ENABLE").replacen("NOT PRESERVE", "PRESERVE", 1);
        assert!(disabled(preserve.as_bytes()).is_some());
    }
}
