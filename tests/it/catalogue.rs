//! The catalogue says of every table what its table map says.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidelog::binlog::{Assembler, FileReader};
use tidelog::change::{LogItem, RowsEvent};
use tidelog::position::{BinlogPosition, Flavor, Seq};
use tidelog::schema::{TableId, TableName, TableShape, TableVersion};
use tidelog::source::{CatalogueTable, Endpoint, SqlClient, SqlSession, read_catalogue};

use crate::support::server::FLAVORS;
use crate::support::sql::{exec, exec_all};
use crate::support::{TestServer, start};
use crate::zoo;
use tidelog::service::throwaway::ServerSpec;

/// A session of our own kind on a test server.
pub(crate) async fn client(server: &TestServer) -> SqlClient {
    let endpoint: Endpoint = server.account_url().parse().expect("an endpoint");
    SqlClient::connect(&endpoint, &SqlSession::default())
        .await
        .expect("connect")
}

/// Everything in the server's first binlog file.
pub(crate) fn logged_items(server: &TestServer) -> Vec<LogItem> {
    let file = std::fs::read(server.data_dir().join("binlog.000001")).expect("read binlog");
    let mut reader = FileReader::new();
    reader.feed(&file);
    let start = BinlogPosition::new("binlog.000001", 4);
    let mut assembler = Assembler::new(server.flavor(), Some(start));
    let mut items: Vec<LogItem> = Vec::new();
    while let Some(event) = reader.next_event().expect("an event") {
        assembler.push(event, &mut items).expect("push event");
        while assembler.more(&mut items).expect("more items") {}
    }
    for item in &items {
        if let LogItem::Undecoded(undecoded) = item {
            panic!("{}", undecoded.reason);
        }
    }
    items
}

/// All rows events of the server's first binlog file.
fn logged_rows(server: &TestServer) -> Vec<RowsEvent> {
    let rows = logged_items(server)
        .into_iter()
        .filter_map(|item| match item {
            LogItem::Rows(rows) => Some(rows),
            _ => None,
        });
    rows.collect()
}

pub(crate) fn version_of(flavor: Flavor, shape: &TableShape) -> TableVersion {
    TableVersion::first(
        TableId::allocate(1, Seq::FIRST, 0),
        Seq::FIRST,
        flavor,
        shape.clone(),
    )
}

pub(crate) fn by_name(tables: Vec<CatalogueTable>) -> BTreeMap<TableName, CatalogueTable> {
    tables
        .into_iter()
        .map(|t| (t.shape.name.clone(), t))
        .collect()
}

#[tokio::test]
async fn every_table_is_described_as_its_table_map_does() {
    for flavor in FLAVORS {
        let server = start(ServerSpec::new(flavor)).await;
        let mut conn = server.conn().await;
        exec_all(&mut conn, &zoo::statements(flavor)).await;
        let tables = by_name(
            read_catalogue(&mut client(&server).await)
                .await
                .expect("catalogue"),
        );
        let logged: BTreeMap<TableName, Arc<TableShape>> = logged_rows(&server)
            .into_iter()
            .map(|r| (r.shape.name.clone(), r.shape))
            .collect();
        let mut seen = 0;
        for (name, table) in &tables {
            let Some(map) = logged.get(name) else {
                assert_eq!(name.table, "empty_table");
                continue;
            };
            assert!(
                version_of(flavor, &table.shape).has_shape(map),
                "{flavor} {name}\ncatalogue: {:#?}\nlogged: {:#?}\nkeys: {:?} {:?}",
                differing(&table.shape, map),
                differing(map, &table.shape),
                table.shape.key,
                map.key,
            );
            seen += 1;
        }
        assert_eq!(
            seen,
            logged.len(),
            "{flavor}: every logged table is in the catalogue"
        );
        let definitions: Vec<&str> = tables
            .values()
            .filter_map(|t| t.shape.definition.as_deref())
            .collect();
        recreate(&mut conn, &definitions).await;
        let again = by_name(
            read_catalogue(&mut client(&server).await)
                .await
                .expect("catalogue"),
        );
        for (name, table) in &again {
            let before = tables.get(name).map(|t| &t.shape);
            if name.table != "old_times" {
                assert_eq!(
                    before,
                    Some(&table.shape),
                    "{flavor}: made anew from its definition"
                );
            }
        }
        assert_eq!(again.len(), tables.len());
    }
}

/// Drops the zoo and makes its tables from the definitions that were read.
async fn recreate(conn: &mut mysql_async::Conn, definitions: &[&str]) {
    exec_all(
        conn,
        &[
            "DROP DATABASE zoo",
            "CREATE DATABASE zoo CHARACTER SET utf8mb4",
            "USE zoo",
            "SET sql_mode='', time_zone='+00:00'",
        ],
    )
    .await;
    for definition in definitions {
        exec(conn, definition).await;
    }
}

/// The columns of one shape that the other does not have.
fn differing(a: &TableShape, b: &TableShape) -> Vec<String> {
    let has = |c: &tidelog::schema::Column| b.columns.iter().any(|o| o.same_shape(c));
    let differing = a.columns.iter().filter(|c| !has(c));
    differing.map(|c| format!("{c:?}")).collect()
}

/// Splits the images of an event by a layout.
pub(crate) fn images(rows: &RowsEvent) -> Vec<Bytes> {
    let layout = tidelog::change::ImageLayout::new(&rows.shape.columns).expect("a layout");
    let mut rest = rows.event.slice(rows.images.clone());
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = layout.measure(&rest).expect("an image");
        found.push(rest.split_to(length));
    }
    found
}
