//! Statements as the servers themselves write them into their binlogs, classified.

use mysql_async::Conn;
use tidelog::binlog::{Assembler, FileReader};
use tidelog::change::{LogItem, Statement, StatementKind};
use tidelog::position::{BinlogPosition, Flavor};
use tidelog::schema::ddl::{
    Effect, ObjectChange, StatementClass, StatementContext, TransactionControl, classify,
};
use tidelog::service::throwaway::{ServerSpec, ThrowawayServer};

use crate::support::server::FLAVORS;
use crate::support::sql::exec;
use crate::support::start_all;

/// Statements for both flavors, and the effects that must be read from what is logged; "" for
/// statements whose log has no effect or that are not logged at all.
const BOTH: &[(&str, &str)] = &[
    ("CREATE DATABASE `od``d`", "create database od`d"),
    (
        "CREATE DATABASE d2 CHARACTER SET latin1",
        "create database d2",
    ),
    (
        "ALTER DATABASE d2 CHARACTER SET utf8mb4",
        "alter database d2",
    ),
    ("ALTER DATABASE COLLATE utf8mb4_bin", "alter database shop"),
    (
        "CREATE TABLE t (id INT PRIMARY KEY, `select` INT, g INT AS (id + 1), KEY (`select`))",
        "create shop.t",
    ),
    (
        "CREATE TABLE `od``d`.`t``, x` LIKE shop.t",
        "create od`d.t`, x like shop.t",
    ),
    (
        "CREATE TABLE parts (id INT, PRIMARY KEY (id)) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
        "create shop.parts",
    ),
    (
        "CREATE TABLE whole (id INT, PRIMARY KEY (id))",
        "create shop.whole",
    ),
    (
        "ALTER TABLE parts EXCHANGE PARTITION p0 WITH TABLE whole",
        "alter shop.parts; moves shop.parts shop.whole",
    ),
    (
        "ALTER TABLE parts TRUNCATE PARTITION p0",
        "alter shop.parts; moves shop.parts",
    ),
    (
        "ALTER TABLE parts DROP PARTITION p0",
        "alter shop.parts; moves shop.parts",
    ),
    (
        "ALTER TABLE parts ADD PARTITION (PARTITION p2 VALUES LESS THAN (30))",
        "alter shop.parts",
    ),
    (
        "ALTER TABLE parts REORGANIZE PARTITION p1, p2 INTO (PARTITION p3 VALUES LESS THAN (30))",
        "alter shop.parts",
    ),
    (
        "ALTER TABLE t ADD COLUMN c VARCHAR(20) DEFAULT 'RENAME TO x' COMMENT ', RENAME TO y', ALGORITHM=INPLACE",
        "alter shop.t",
    ),
    ("ALTER TABLE t RENAME COLUMN c TO e", "alter shop.t"),
    ("CREATE UNIQUE INDEX u ON t (e)", "alter shop.t"),
    ("DROP INDEX u ON t", "alter shop.t"),
    (
        "ALTER TABLE t ADD x INT, RENAME TO d2.t2",
        "alter shop.t; rename shop.t d2.t2",
    ),
    (
        "RENAME TABLE d2.t2 TO shop.t3, whole TO d2.whole",
        "rename d2.t2 shop.t3; rename shop.whole d2.whole",
    ),
    ("INSERT INTO t3 (id) VALUES (1)", ""),
    ("TRUNCATE t3", "truncate shop.t3"),
    ("CREATE TEMPORARY TABLE tmp (id INT)", ""),
    ("INSERT INTO tmp VALUES (1)", ""),
    ("DROP TEMPORARY TABLE tmp", ""),
    (
        "CREATE ALGORITHM=MERGE VIEW v AS SELECT id FROM t3",
        "View Create shop.v",
    ),
    ("ALTER VIEW v AS SELECT id + 1 FROM t3", "View Alter shop.v"),
    ("CREATE OR REPLACE VIEW v AS SELECT 2", "View Create shop.v"),
    (
        "CREATE TRIGGER tr BEFORE INSERT ON t3 FOR EACH ROW SET NEW.x = 5",
        "Trigger Create shop.tr",
    ),
    (
        "CREATE PROCEDURE p() BEGIN TRUNCATE t3; COMMIT; END",
        "Procedure Create shop.p",
    ),
    ("ALTER PROCEDURE p COMMENT 'x'", "Procedure Alter shop.p"),
    (
        "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1",
        "Function Create shop.f",
    ),
    (
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM t3",
        "Event Create shop.e",
    ),
    (
        "ALTER EVENT e RENAME TO d2.e2",
        "Event Drop shop.e; Event Create d2.e2",
    ),
    ("DROP EVENT d2.e2", "Event Drop d2.e2"),
    ("DROP FUNCTION f", "Function Drop shop.f"),
    ("DROP PROCEDURE p", "Procedure Drop shop.p"),
    ("DROP TRIGGER tr", "Trigger Drop shop.tr"),
    ("DROP VIEW v", "View Drop shop.v"),
    ("CREATE USER u IDENTIFIED BY 'pass, \\'word'", ""),
    ("GRANT SELECT ON shop.* TO u", ""),
    ("CREATE ROLE r", ""),
    ("GRANT r TO u", ""),
    ("SET PASSWORD FOR u = PASSWORD_OF_FLAVOR", ""),
    ("REVOKE r FROM u", ""),
    ("RENAME USER u TO u2", ""),
    ("DROP USER u2", ""),
    ("DROP ROLE r", ""),
    ("ANALYZE TABLE t3", ""),
    ("OPTIMIZE TABLE t3", ""),
    ("FLUSH TABLES", ""),
    ("CREATE TABLE my (id INT) ENGINE=MyISAM", "create shop.my"),
    ("BEGIN", ""),
    ("SAVEPOINT `s``p`", ""),
    ("INSERT INTO t3 (id) VALUES (2)", ""),
    ("COMMIT", ""),
    ("XA START 'a', 'b', 7", ""),
    ("INSERT INTO t3 (id) VALUES (3)", ""),
    ("XA END 'a', 'b', 7", ""),
    ("XA PREPARE 'a', 'b', 7", ""),
    ("XA COMMIT 'a', 'b', 7", ""),
    (
        "DROP TABLE IF EXISTS t3, missing",
        "drop shop.t3; drop shop.missing",
    ),
    ("DROP TABLE my /* why */", "drop shop.my"),
    ("DROP DATABASE d2", "drop database d2"),
];

const MYSQL: &[(&str, &str)] = &[
    ("CREATE TABLE src (id INT PRIMARY KEY)", "create shop.src"),
    // MariaDB logs nothing when the table is there already.
    (
        "CREATE TABLE IF NOT EXISTS src (id INT)",
        "create? shop.src",
    ),
    ("INSERT INTO src VALUES (1)", ""),
    (
        "CREATE TABLE copy AS SELECT * FROM src",
        "create shop.copy rows",
    ),
    (
        "CREATE TABLE hidden (a INT, b INT INVISIBLE, INDEX ((a + b)))",
        "create shop.hidden",
    ),
    ("ALTER TABLE hidden ADD v VECTOR(3)", "alter shop.hidden"),
    (
        "CREATE SPATIAL REFERENCE SYSTEM 990001 NAME 'x' DEFINITION 'GEOGCS[\"x\",DATUM[\"x\",SPHEROID[\"x\",6378137,298.257223563]],PRIMEM[\"Greenwich\",0],UNIT[\"degree\",0.017453292519943278],AXIS[\"Lat\",NORTH],AXIS[\"Lon\",EAST]]'",
        "",
    ),
    ("SET sql_mode = 'ANSI_QUOTES'", ""),
    (
        "CREATE TABLE \"q\"\"q\" (\"a\" INT COMMENT '\"')",
        "create shop.q\"q",
    ),
    ("SET sql_mode = 'NO_BACKSLASH_ESCAPES'", ""),
    ("CREATE TABLE nb (a INT COMMENT '\\')", "create shop.nb"),
    ("SET sql_mode = DEFAULT", ""),
];

const MARIADB: &[(&str, &str)] = &[
    ("CREATE TABLE my (id INT) ENGINE=MyISAM", "create shop.my"),
    ("CREATE TABLE src (id INT PRIMARY KEY)", "create shop.src"),
    ("BEGIN", ""),
    ("INSERT INTO my VALUES (1)", ""),
    ("SAVEPOINT back", ""),
    ("INSERT INTO src VALUES (1)", ""),
    ("INSERT INTO my VALUES (2)", ""),
    ("ROLLBACK TO back", ""),
    ("COMMIT", ""),
    ("CREATE TABLE copy AS SELECT * FROM src", "create shop.copy"),
    (
        "CREATE OR REPLACE TABLE copy (id INT) WITH SYSTEM VERSIONING",
        "replace shop.copy",
    ),
    (
        "ALTER TABLE copy DROP SYSTEM VERSIONING",
        "alter shop.copy; moves shop.copy",
    ),
    ("CREATE SEQUENCE s START WITH 5", "Sequence Create shop.s"),
    ("SELECT NEXT VALUE FOR s", ""),
    ("ALTER SEQUENCE s RESTART 9", "Sequence Alter shop.s"),
    ("DROP SEQUENCE s", "Sequence Drop shop.s"),
    (
        "SET STATEMENT max_statement_time=1000 FOR ALTER TABLE copy ADD z INT",
        "alter shop.copy",
    ),
    (
        "ALTER ONLINE TABLE IF EXISTS copy WAIT 5 ADD y INT",
        "alter shop.copy",
    ),
    (
        "RENAME TABLE IF EXISTS copy NOWAIT TO copy2",
        "rename shop.copy shop.copy2",
    ),
    ("TRUNCATE TABLE copy2 WAIT 3", "truncate shop.copy2"),
    (
        "CREATE TABLE cp (id INT) PARTITION BY LIST (id) (PARTITION p VALUES IN (1), PARTITION q VALUES IN (2))",
        "create shop.cp",
    ),
    (
        "ALTER TABLE cp CONVERT PARTITION q TO TABLE cq",
        "alter shop.cp; create shop.cq; moves shop.cp shop.cq",
    ),
    (
        "DROP TABLE cq /*M!100100 , cp */",
        "drop shop.cq; drop shop.cp",
    ),
    ("SET sql_mode = 'ORACLE'", ""),
    (
        "CREATE PACKAGE pk AS FUNCTION f RETURN INT; END",
        "Package Create shop.pk",
    ),
    (
        "CREATE PACKAGE BODY pk AS FUNCTION f RETURN INT AS BEGIN RETURN 1; END; END",
        "Package Create shop.pk",
    ),
    ("DROP PACKAGE pk", "Package Drop shop.pk"),
    ("SET sql_mode = DEFAULT", ""),
];

fn shown(effect: &Effect) -> String {
    match effect {
        Effect::CreateTable {
            name,
            or_replace,
            if_not_exists,
            like,
            rows_follow,
            ..
        } => {
            let verb = match (or_replace, if_not_exists) {
                (true, _) => "replace",
                (_, true) => "create?",
                _ => "create",
            };
            let like = like
                .as_ref()
                .map(|other| format!(" like {other}"))
                .unwrap_or_default();
            format!(
                "{verb} {name}{like}{}",
                if *rows_follow { " rows" } else { "" }
            )
        }
        Effect::AlterTable(name) => format!("alter {name}"),
        Effect::DropTable(name) => format!("drop {name}"),
        Effect::Truncate(name) => format!("truncate {name}"),
        Effect::RenameTable { from, to } => format!("rename {from} {to}"),
        Effect::MovesRows { table, with } => {
            let with = with
                .as_ref()
                .map(|other| format!(" {other}"))
                .unwrap_or_default();
            format!("moves {table}{with}")
        }
        Effect::CreateDatabase(name) => format!("create database {name}"),
        Effect::AlterDatabase(name) => format!("alter database {name}"),
        Effect::DropDatabase(name) => format!("drop database {name}"),
        Effect::SchemaObject { kind, change, name } => {
            let change: &ObjectChange = change;
            format!("{kind:?} {change:?} {name}")
        }
    }
}

fn logged(server: &ThrowawayServer) -> Vec<Statement> {
    let mut files: Vec<_> = std::fs::read_dir(server.data_dir())
        .expect("data directory")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let number = name.rsplit('.').next().unwrap_or_default();
            name.contains("bin") && number.len() == 6 && number.parse::<u32>().is_ok()
        })
        .collect();
    files.sort();
    let mut items = Vec::new();
    for file in files {
        let mut reader = FileReader::new();
        reader.feed(&std::fs::read(&file).expect("binlog file"));
        let start = BinlogPosition {
            file: "binlog".to_owned(),
            offset: 4,
        };
        let mut assembler = Assembler::new(server.flavor(), Some(start));
        while let Some(event) = reader.next_event().expect("event") {
            assembler.push(event, &mut items).expect("assemble");
            while assembler.more(&mut items).expect("inflate") {}
        }
    }
    let statement = |item| match item {
        LogItem::Statement(statement) if statement.kind == StatementKind::Query => Some(statement),
        _ => None,
    };
    items.into_iter().filter_map(statement).collect()
}

async fn run(conn: &mut Conn, flavor: Flavor, statements: &[(&str, &str)]) {
    let password = match flavor {
        Flavor::MySql => "'other'",
        Flavor::MariaDb => "PASSWORD('other')",
    };
    for (sql, _) in statements {
        exec(conn, sql.replace("PASSWORD_OF_FLAVOR", password)).await;
    }
}

#[tokio::test]
async fn logged_statements_are_understood() {
    let servers = start_all(FLAVORS.map(ServerSpec::new)).await;
    for server in &servers {
        let flavor = server.flavor();
        let own = match flavor {
            Flavor::MySql => MYSQL,
            Flavor::MariaDb => MARIADB,
        };
        let mut conn = server.conn().await;
        exec(&mut conn, "CREATE DATABASE shop").await;
        exec(&mut conn, "USE shop").await;
        run(&mut conn, flavor, BOTH).await;
        run(&mut conn, flavor, own).await;

        let mut found = Vec::new();
        let mut controls = Vec::new();
        for statement in logged(server) {
            let context = StatementContext {
                flavor,
                default_db: &statement.default_db,
                collation: statement.charset,
                sql_mode: statement.sql_mode.unwrap_or(0),
            };
            let text = String::from_utf8_lossy(&statement.text).into_owned();
            match classify(&statement.text, &context) {
                StatementClass::Ddl { effects } => {
                    let all: Vec<String> = effects.iter().map(shown).collect();
                    found.push(all.join("; "));
                }
                StatementClass::TransactionControl(control) => controls.push(control),
                StatementClass::NoRowEffect => {}
                class => panic!("{flavor}: {class:?}: {text}"),
            }
        }
        let wanted = BOTH.iter().chain(own).map(|(_, effects)| *effects);
        let mut wanted: Vec<&str> = wanted.filter(|effects| !effects.is_empty()).collect();
        wanted.insert(0, "create database shop");
        assert_eq!(found, wanted, "{flavor}");
        // Only MariaDB lets one transaction change tables that cannot be rolled back, too.
        for control in [
            TransactionControl::Savepoint("back".into()),
            TransactionControl::RollbackTo("back".into()),
        ] {
            let is_logged = controls.contains(&control);
            assert_eq!(
                is_logged,
                flavor == Flavor::MariaDb,
                "{flavor}: {controls:?}"
            );
        }
    }
}
