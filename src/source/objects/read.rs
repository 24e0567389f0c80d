//! Reading schema objects by `SHOW CREATE`.

use super::views::{ViewText, in_order};
use super::{DatabaseCollation, ObjectKind, SchemaObject};
use crate::error::{Error, Result};
use crate::position::Flavor;
use crate::schema::{TableName, quote_identifier};
use crate::source::SqlClient;
use crate::source::catalogue::{
    CatalogueTable, TableKind, TextRow, prepare_session, read_catalogue, rows, user_databases,
};
use std::collections::BTreeMap;

/// Reads all schema objects of all user databases, in creation order.
///
/// # Errors
/// As [`sql_error`](super::super::sql_error) sorts them; `Config` where a right is missing to see
/// the text of one. What the account has no right to know of at all is not shown by the server:
/// [`check_source`](super::super::check_source) checks the rights.
pub async fn read_objects(client: &mut SqlClient) -> Result<Vec<SchemaObject>> {
    let tables = read_catalogue(client).await?;
    read_objects_of(client, &tables).await
}

/// As [`read_objects`], for a catalogue that was read already.
pub(in crate::source) async fn read_objects_of(
    client: &mut SqlClient,
    tables: &[CatalogueTable],
) -> Result<Vec<SchemaObject>> {
    prepare_session(client).await?;
    let databases = databases(client).await?;
    let mut objects: Vec<SchemaObject> = databases.values().map(|d| d.object.clone()).collect();
    objects.extend(tables.iter().filter_map(table));
    let mut reader = Reader {
        client,
        databases: &databases,
    };
    objects.extend(reader.sequences(tables).await?);
    objects.extend(reader.routines().await?);
    objects.extend(reader.views().await?);
    objects.extend(reader.triggers().await?);
    objects.extend(reader.events().await?);
    client.exec("SET NAMES utf8mb4").await?;
    // Stable: views, and triggers of one table, stay in their order.
    objects.sort_by_key(|o| o.kind);
    Ok(objects)
}

struct Database {
    object: SchemaObject,
    collation: String,
}

fn plain(kind: ObjectKind, db: String, name: String, statement: Vec<u8>) -> SchemaObject {
    SchemaObject {
        kind,
        db,
        name,
        table: None,
        statement,
        sql_mode: String::new(),
        character_set_client: "utf8mb4".to_owned(),
        collation_connection: None,
        database_collation: None,
        // Partitions print their bounds in the session's time zone.
        time_zone: Some("+00:00".to_owned()),
        definer: None,
        broken: false,
    }
}

async fn databases(client: &mut SqlClient) -> Result<BTreeMap<String, Database>> {
    let sql = format!(
        "SELECT SCHEMA_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE {}",
        user_databases("SCHEMA_NAME")
    );
    let mut found = BTreeMap::new();
    for row in rows(client, &sql).await? {
        let name = row.text(0);
        let sql = format!("SHOW CREATE DATABASE {}", quote_identifier(&name));
        let shown = rows(client, &sql).await?;
        let statement = shown.first().map(|r| r.bytes(1).to_vec());
        let statement = statement.unwrap_or_default();
        let object = plain(ObjectKind::Database, name.clone(), name.clone(), statement);
        let collation = row.text(1);
        found.insert(name, Database { object, collation });
    }
    Ok(found)
}

fn table(table: &CatalogueTable) -> Option<SchemaObject> {
    if table.kind == TableKind::Sequence {
        return None;
    }
    let name = table.shape.name.clone();
    let statement = table.shape.definition.clone()?.into_bytes();
    Some(plain(ObjectKind::Table, name.db, name.table, statement))
}

/// Where `SHOW CREATE` of a kind has what.
struct Shown {
    kind: ObjectKind,
    /// The word after SHOW CREATE.
    word: &'static str,
    statement: usize,
    sql_mode: Option<usize>,
    time_zone: Option<usize>,
    /// character_set_client; collation_connection and the database's collation follow.
    charset: usize,
}

const fn shown(kind: ObjectKind, word: &'static str) -> Shown {
    Shown {
        kind,
        word,
        statement: 2,
        sql_mode: Some(1),
        time_zone: None,
        charset: 3,
    }
}

struct Reader<'a> {
    client: &'a mut SqlClient,
    databases: &'a BTreeMap<String, Database>,
}

impl Reader<'_> {
    async fn list(
        &mut self,
        columns: &str,
        view: &str,
        db: &str,
        order: &str,
    ) -> Result<Vec<TextRow>> {
        let condition = user_databases(db);
        let sql = format!(
            "SELECT {columns} FROM information_schema.{view} WHERE {condition} ORDER BY {order}"
        );
        rows(self.client, &sql).await
    }

    async fn sequences(&mut self, tables: &[CatalogueTable]) -> Result<Vec<SchemaObject>> {
        let mut found = Vec::new();
        for table in tables.iter().filter(|t| t.kind == TableKind::Sequence) {
            let name = table.shape.name.clone();
            let sql = format!("SHOW CREATE SEQUENCE {}", name.quoted());
            let shown = rows(self.client, &sql).await?;
            let statement = shown
                .first()
                .map(|r| r.bytes(1).to_vec())
                .unwrap_or_default();
            found.push(plain(ObjectKind::Sequence, name.db, name.table, statement));
        }
        Ok(found)
    }

    async fn routines(&mut self) -> Result<Vec<SchemaObject>> {
        const COLUMNS: &str = "ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE, DEFINER";
        let listed = self
            .list(COLUMNS, "ROUTINES", "ROUTINE_SCHEMA", "1, 2, 3")
            .await?;
        let mut found = Vec::new();
        for row in listed {
            let kind = match row.text(2).as_str() {
                "FUNCTION" => shown(ObjectKind::Function, "FUNCTION"),
                "PROCEDURE" => shown(ObjectKind::Procedure, "PROCEDURE"),
                "PACKAGE" => shown(ObjectKind::Package, "PACKAGE"),
                "PACKAGE BODY" => shown(ObjectKind::PackageBody, "PACKAGE BODY"),
                other => {
                    return Err(Error::incompatible("read routine of unknown kind")
                        .field("kind", other)
                        .field("db", row.text(0))
                        .field("name", row.text(1)));
                }
            };
            let mut object = self.show(&kind, row.text(0), row.text(1)).await?;
            object.definer = row.get(3);
            found.push(object);
        }
        Ok(found)
    }

    async fn triggers(&mut self) -> Result<Vec<SchemaObject>> {
        let listed = self
            .list(
                "TRIGGER_SCHEMA, TRIGGER_NAME, EVENT_OBJECT_TABLE, DEFINER",
                "TRIGGERS",
                "TRIGGER_SCHEMA",
                "1, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
            )
            .await?;
        let mut found = Vec::new();
        for row in listed {
            let kind = shown(ObjectKind::Trigger, "TRIGGER");
            let mut object = self.show(&kind, row.text(0), row.text(1)).await?;
            object.table = row.get(2);
            object.definer = row.get(3);
            found.push(object);
        }
        Ok(found)
    }

    async fn events(&mut self) -> Result<Vec<SchemaObject>> {
        const COLUMNS: &str = "EVENT_SCHEMA, EVENT_NAME, DEFINER";
        let listed = self.list(COLUMNS, "EVENTS", "EVENT_SCHEMA", "1, 2").await?;
        let mut found = Vec::new();
        for row in listed {
            let kind = Shown {
                statement: 3,
                time_zone: Some(2),
                charset: 4,
                ..shown(ObjectKind::Event, "EVENT")
            };
            let mut object = self.show(&kind, row.text(0), row.text(1)).await?;
            object.definer = row.get(2);
            found.push(object);
        }
        Ok(found)
    }

    async fn views(&mut self) -> Result<Vec<SchemaObject>> {
        const COLUMNS: &str = "TABLE_SCHEMA, TABLE_NAME, CHARACTER_SET_CLIENT, DEFINER";
        let listed = self.list(COLUMNS, "VIEWS", "TABLE_SCHEMA", "1, 2").await?;
        let kind = Shown {
            statement: 1,
            sql_mode: None,
            charset: 2,
            ..shown(ObjectKind::View, "VIEW")
        };
        let mut found = Vec::new();
        let mut texts = Vec::new();
        for row in listed {
            let (db, name) = (row.text(0), row.text(1));
            let mut object = self.show(&kind, db.clone(), name.clone()).await?;
            // ER_VIEW_INVALID
            let warnings = rows(self.client, "SHOW WARNINGS").await?;
            object.broken = warnings.iter().any(|w| w.number(1) == Some(1356));
            object.definer = row.get(3);
            let text = String::from_utf8_lossy(&object.statement).into_owned();
            // The text is kept in UTF-8 whatever the client spoke, but is read again in the
            // client's character set, which its literals without introducer have.
            let charset = row.text(2);
            let of_client = self.view_in(&charset, &db, &name).await?;
            let marks = |bytes: &[u8]| bytes.iter().filter(|b| **b == b'?').count();
            object.character_set_client = "utf8mb4".to_owned();
            if marks(&of_client) == marks(&object.statement) {
                object.statement = of_client;
                object.character_set_client = charset;
            }
            found.push(object);
            texts.push(text);
        }
        let views: Vec<ViewText<'_>> = found
            .iter()
            .zip(&texts)
            .map(|(o, text)| ViewText {
                db: &o.db,
                name: &o.name,
                text,
            })
            .collect();
        let order = in_order(&views);
        Ok(order
            .into_iter()
            .filter_map(|index| found.get(index).cloned())
            .collect())
    }

    async fn view_in(&mut self, charset: &str, db: &str, name: &str) -> Result<Vec<u8>> {
        let charset = super::name(charset);
        self.client
            .exec(&format!("SET character_set_results={charset}"))
            .await?;
        let sql = format!("SHOW CREATE VIEW {}", TableName::new(db, name).quoted());
        let shown = rows(self.client, &sql).await?;
        Ok(shown
            .first()
            .map(|r| r.bytes(1).to_vec())
            .unwrap_or_default())
    }

    /// One object by `SHOW CREATE`, its text as stored.
    async fn show(&mut self, kind: &Shown, db: String, name: String) -> Result<SchemaObject> {
        let named = |e: Error| e.field("db", &db).field("name", &name);
        // So that references within the database are not qualified.
        for statement in [
            format!("USE {}", quote_identifier(&db)),
            "SET character_set_results=NULL".to_owned(),
        ] {
            self.client.exec(&statement).await.map_err(named)?;
        }
        let sql = format!(
            "SHOW CREATE {} {}",
            kind.word,
            TableName::new(&*db, &*name).quoted()
        );
        let found = rows(self.client, &sql).await.map_err(named)?;
        let row = found.first();
        let statement = row.map(|r| r.bytes(kind.statement)).unwrap_or_default();
        let Some(row) = row.filter(|_| !statement.is_empty()) else {
            return Err(
                named(Error::config("read text of schema object: it is not shown"))
                    .field("kind", kind.word)
                    .hint(match self.client.flavor() {
                        Flavor::MySql => "GRANT SHOW_ROUTINE ON *.* to the account",
                        Flavor::MariaDb => "GRANT SELECT ON mysql.proc to the account",
                    }),
            );
        };
        let of = |index: Option<usize>| index.and_then(|i| row.get(i));
        let created = row.get(kind.charset + 2);
        let current = self.databases.get(&db).map(|d| d.collation.clone());
        let database_collation = created.zip(current).filter(|(a, b)| a != b);
        let mut object = plain(kind.kind, db, name, statement.to_vec());
        object.sql_mode = of(kind.sql_mode).unwrap_or_default();
        object.time_zone = of(kind.time_zone).or(object.time_zone);
        object.character_set_client = row.text(kind.charset);
        object.collation_connection = row.get(kind.charset + 1);
        object.database_collation =
            database_collation.map(|(created, current)| DatabaseCollation { created, current });
        Ok(object)
    }
}
