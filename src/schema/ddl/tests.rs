//! Statements as the binlogs of both flavors hold them, and everything else.

mod hostile;

use super::*;

fn context(flavor: Flavor) -> StatementContext<'static> {
    StatementContext {
        flavor,
        default_db: b"shop",
        collation: None,
        sql_mode: 0,
    }
}

fn mysql(text: &str) -> StatementClass {
    classify(text.as_bytes(), &context(Flavor::MySql))
}

fn mariadb(text: &str) -> StatementClass {
    classify(text.as_bytes(), &context(Flavor::MariaDb))
}

fn name(db: &str, table: &str) -> TableName {
    TableName::new(db, table)
}

fn effects(class: StatementClass) -> Vec<Effect> {
    match class {
        StatementClass::Ddl { effects } => effects,
        other => panic!("no DDL: {other:?}"),
    }
}

fn one(class: StatementClass) -> Effect {
    let mut all = effects(class);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// `CREATE TABLE t` of the default database, changed by `edit`.
fn created(edit: impl FnOnce(&mut Created)) -> Effect {
    let mut created = Created {
        name: name("shop", "t"),
        or_replace: false,
        if_not_exists: false,
        like: None,
        select: false,
        rows_follow: false,
    };
    edit(&mut created);
    Effect::CreateTable {
        name: created.name,
        or_replace: created.or_replace,
        if_not_exists: created.if_not_exists,
        like: created.like,
        select: created.select,
        rows_follow: created.rows_follow,
    }
}

struct Created {
    name: TableName,
    or_replace: bool,
    if_not_exists: bool,
    like: Option<TableName>,
    select: bool,
    rows_follow: bool,
}

fn object(kind: ObjectKind, change: ObjectChange, name: TableName) -> Effect {
    Effect::SchemaObject { kind, change, name }
}

#[test]
fn transaction_control() {
    use TransactionControl::{
        Begin, Commit, ReleaseSavepoint, Rollback, RollbackTo, Savepoint, XaCommit, XaEnd,
        XaPrepare, XaRollback, XaStart,
    };
    let xid = Xid {
        gtrid: b"ab".to_vec(),
        bqual: b"c".to_vec(),
        format: 7,
    };
    let bare = Xid {
        gtrid: b"ab".to_vec(),
        bqual: Vec::new(),
        format: 1,
    };
    let cases = [
        ("BEGIN", Begin),
        ("begin work;", Begin),
        ("START TRANSACTION READ WRITE", Begin),
        ("COMMIT", Commit),
        ("/* x */ COMMIT -- y", Commit),
        ("ROLLBACK", Rollback),
        ("rollback work", Rollback),
        ("SAVEPOINT `a``b`", Savepoint("a`b".into())),
        ("ROLLBACK TO `s`", RollbackTo("s".into())),
        ("ROLLBACK WORK TO SAVEPOINT s", RollbackTo("s".into())),
        ("RELEASE SAVEPOINT s", ReleaseSavepoint("s".into())),
        ("XA START X'6162',X'63',7", XaStart(xid.clone())),
        ("XA BEGIN 'ab'", XaStart(bare.clone())),
        ("XA END X'6162',X'63',7", XaEnd(xid.clone())),
        ("XA PREPARE 0x6162,0x63,0x7", XaPrepare(xid.clone())),
        ("XA COMMIT X'6162',X'',1", XaCommit(bare.clone())),
        ("XA COMMIT 'ab' ONE PHASE", XaCommit(bare)),
        ("XA ROLLBACK X'6162',X'63',7", XaRollback(xid.clone())),
    ];
    for (text, control) in cases {
        assert_eq!(
            mysql(text),
            StatementClass::TransactionControl(control),
            "{text}"
        );
    }
    assert_eq!(xid.text(), "X'6162',X'63',7");
}

#[test]
fn create_table_in_all_forms() {
    let cases = [
        (
            "CREATE TABLE t (id INT, `select` INT) ENGINE=InnoDB",
            created(|_| {}),
        ),
        (
            "create table if not exists `my db` . `t` (id int)",
            created(|c| {
                c.name = name("my db", "t");
                c.if_not_exists = true;
            }),
        ),
        (
            "CREATE TABLE `t` (`a` int NOT NULL DEFAULT '0') START TRANSACTION",
            created(|c| c.rows_follow = true),
        ),
        (
            "CREATE OR REPLACE TABLE t LIKE other.x",
            created(|c| {
                c.or_replace = true;
                c.like = Some(name("other", "x"));
            }),
        ),
        (
            "CREATE TABLE t (LIKE u)",
            created(|c| c.like = Some(name("shop", "u"))),
        ),
    ];
    for (text, effect) in cases {
        assert_eq!(one(mariadb(text)), effect, "{text}");
    }
    for text in [
        "CREATE TABLE t SELECT 1",
        "CREATE TABLE t (SELECT 1)",
        "CREATE TABLE t ((SELECT 1))",
        "CREATE TABLE t (a int) AS SELECT 1 a",
        "CREATE TABLE t (a int) REPLACE AS WITH x AS (SELECT 1) SELECT * FROM x",
        "CREATE TABLE t TABLE other",
        "CREATE TABLE t VALUES ROW(1)",
    ] {
        assert_eq!(one(mysql(text)), created(|c| c.select = true), "{text}");
    }
    for text in [
        "CREATE TABLE t (a int) WITH SYSTEM VERSIONING",
        "CREATE TABLE t (a int) PARTITION BY LIST (a) (PARTITION p VALUES IN (1))",
        "CREATE TABLE t (a int DEFAULT (1), KEY (a)) COMMENT 'SELECT 1'",
        "CREATE TABLE t (a int GENERATED ALWAYS AS ((1)) STORED)",
    ] {
        assert_eq!(one(mariadb(text)), created(|_| {}), "{text}");
    }
}

#[test]
fn alter_table() {
    let t = name("shop", "t");
    let altered = Effect::AlterTable(t.clone());
    let moves = |with| Effect::MovesRows {
        table: name("shop", "t"),
        with,
    };
    for text in [
        "ALTER TABLE t ADD COLUMN x INT DEFAULT 5, ALGORITHM=INSTANT",
        "alter online ignore table if exists shop.t wait 5 drop column a",
        "ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX i TO j, RENAME KEY k TO l",
        "ALTER TABLE t DROP COLUMN `partition`, ADD PARTITION (PARTITION p1 VALUES LESS THAN (2))",
        "ALTER TABLE t REORGANIZE PARTITION a INTO (PARTITION b VALUES LESS THAN (9))",
        "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4",
        "ALTER TABLE t",
        "CREATE UNIQUE INDEX i USING BTREE ON t (a)",
        "CREATE INDEX IF NOT EXISTS `i` ON `shop`.`t` (a)",
        "DROP INDEX i ON t",
    ] {
        assert_eq!(one(mariadb(text)), altered, "{text}");
    }
    assert_eq!(
        effects(mysql(
            "ALTER TABLE t ADD x INT, RENAME TO other.u, ADD y INT DEFAULT (1,2)"
        )),
        [
            altered.clone(),
            Effect::RenameTable {
                from: t,
                to: name("other", "u"),
            }
        ]
    );
    let cases = [
        ("ALTER TABLE t DROP PARTITION p0, p1", None),
        ("ALTER TABLE t TRUNCATE PARTITION ALL", None),
        ("ALTER TABLE t IMPORT TABLESPACE", None),
        ("ALTER TABLE t DROP SYSTEM VERSIONING", None),
        (
            "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE `o`.`x` WITHOUT VALIDATION",
            Some(name("o", "x")),
        ),
        (
            "ALTER TABLE t CONVERT PARTITION p TO TABLE x",
            Some(name("shop", "x")),
        ),
        (
            "ALTER TABLE t CONVERT TABLE x TO PARTITION p VALUES LESS THAN (9)",
            Some(name("shop", "x")),
        ),
    ];
    for (text, with) in cases {
        let found = effects(mariadb(text));
        assert!(found.contains(&moves(with)), "{text}: {found:?}");
    }
}

#[test]
fn drop_rename_truncate() {
    let dropped = |db: &str, table: &str| Effect::DropTable(name(db, table));
    assert_eq!(
        effects(mysql(
            "DROP TABLE IF EXISTS `a`,b.c CASCADE /* generated by server */"
        )),
        [dropped("shop", "a"), dropped("b", "c")]
    );
    assert_eq!(
        effects(mariadb("RENAME TABLE a NOWAIT TO b.a, `b` TO a")),
        [
            Effect::RenameTable {
                from: name("shop", "a"),
                to: name("b", "a"),
            },
            Effect::RenameTable {
                from: name("shop", "b"),
                to: name("shop", "a"),
            }
        ]
    );
    for text in ["TRUNCATE t", "TRUNCATE TABLE shop.t;"] {
        assert_eq!(one(mysql(text)), Effect::Truncate(name("shop", "t")));
    }
    for text in [
        "TRUNCATE t x",
        "DROP TABLE a b",
        "DROP DATABASE a.b",
        "RENAME TABLE a",
    ] {
        assert_eq!(mysql(text), StatementClass::Unknown, "{text}");
    }
}

#[test]
fn databases() {
    assert_eq!(
        one(mysql(
            "CREATE DATABASE IF NOT EXISTS `x-y` CHARACTER SET utf8mb4"
        )),
        Effect::CreateDatabase("x-y".into())
    );
    assert_eq!(
        one(mysql("drop schema x")),
        Effect::DropDatabase("x".into())
    );
    for text in [
        "ALTER DATABASE shop COLLATE utf8mb4_bin",
        "ALTER SCHEMA DEFAULT CHARACTER SET latin1",
    ] {
        assert_eq!(one(mysql(text)), Effect::AlterDatabase("shop".into()));
    }
}

#[test]
fn schema_objects() {
    use ObjectChange::{Alter, Create, Drop};
    use ObjectKind::{Event, Function, Package, Procedure, Sequence, Trigger, View};
    let cases = [
        (
            "CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW `v` AS select 1",
            object(View, Create, name("shop", "v")),
        ),
        (
            "CREATE OR REPLACE VIEW d.v AS SELECT 1",
            object(View, Create, name("d", "v")),
        ),
        (
            "ALTER DEFINER=root@10.0.0.1 VIEW v AS SELECT 2",
            object(View, Alter, name("shop", "v")),
        ),
        (
            "DROP VIEW IF EXISTS v",
            object(View, Drop, name("shop", "v")),
        ),
        (
            "CREATE DEFINER=`a`@`%` TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN DELETE FROM x; END",
            object(Trigger, Create, name("shop", "tr")),
        ),
        (
            "CREATE DEFINER=CURRENT_USER() PROCEDURE p() SELECT 1",
            object(Procedure, Create, name("shop", "p")),
        ),
        (
            "CREATE AGGREGATE FUNCTION IF NOT EXISTS f(x INT) RETURNS INT RETURN 1",
            object(Function, Create, name("shop", "f")),
        ),
        (
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            object(Event, Create, name("shop", "e")),
        ),
        (
            "ALTER EVENT e DISABLE DO RENAME TABLE a TO b",
            object(Event, Alter, name("shop", "e")),
        ),
        (
            "CREATE PACKAGE BODY pk AS END",
            object(Package, Create, name("shop", "pk")),
        ),
        (
            "CREATE SEQUENCE s START WITH 5",
            object(Sequence, Create, name("shop", "s")),
        ),
        (
            "ALTER SEQUENCE IF EXISTS s RESTART 3",
            object(Sequence, Alter, name("shop", "s")),
        ),
        ("DROP SEQUENCE s", object(Sequence, Drop, name("shop", "s"))),
    ];
    for (text, effect) in cases {
        assert_eq!(one(mariadb(text)), effect, "{text}");
    }
    assert_eq!(
        effects(mysql("ALTER EVENT e RENAME TO d.e2")),
        [
            object(Event, Drop, name("shop", "e")),
            object(Event, Create, name("d", "e2")),
        ]
    );
    let duality = "CREATE OR REPLACE JSON RELATIONAL DUALITY VIEW dv AS SELECT 1";
    assert_eq!(
        one(mysql(duality)),
        object(View, Create, name("shop", "dv"))
    );
    let touched = one(mariadb("DROP SEQUENCE s"));
    assert_eq!(touched.tables(), [&name("shop", "s")]);
}

#[test]
fn statements_without_an_effect_on_rows() {
    for text in [
        "",
        " ; ",
        "# Dum",
        "-- nothing",
        "GRANT SELECT ON *.* TO a",
        "CREATE USER 'a'@'b' IDENTIFIED WITH x AS 'y'",
        "ALTER USER a ACCOUNT LOCK",
        "DROP USER a",
        "DROP ROLE a",
        "RENAME USER a TO b",
        "SET PASSWORD FOR a = 'x'",
        "FLUSH TABLES",
        "ANALYZE TABLE t",
        "OPTIMIZE TABLE t",
        "CREATE TEMPORARY TABLE t (a int)",
        "DROP TEMPORARY TABLE IF EXISTS `t` /* generated by server */",
        "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`",
        "CREATE FUNCTION f RETURNS STRING SONAME 'udf.so'",
        "CREATE TABLESPACE ts ADD DATAFILE 'x.ibd'",
        "CREATE SPATIAL REFERENCE SYSTEM 4120 NAME 'x' DEFINITION 'y'",
    ] {
        let class = mysql(text);
        assert_eq!(class, StatementClass::NoRowEffect, "{text}");
    }
}

#[test]
fn dml_as_statement() {
    for text in [
        "INSERT INTO t VALUES (1)",
        "/* c */ update t set a=1",
        "DELETE HISTORY FROM t",
        "REPLACE t VALUES (1)",
        "LOAD DATA INFILE 'x' INTO TABLE t",
        "CALL p()",
        "(SELECT 1)",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "INSERT INTO t VALUES ('open string",
    ] {
        assert_eq!(mysql(text), StatementClass::StatementDml, "{text}");
    }
    assert_eq!(
        mariadb("SET STATEMENT max_statement_time=(1) FOR INSERT INTO t VALUES (1)"),
        StatementClass::StatementDml
    );
    assert_eq!(
        one(mariadb("SET STATEMENT sql_mode='FOR' FOR DROP TABLE t")),
        Effect::DropTable(name("shop", "t"))
    );
}
