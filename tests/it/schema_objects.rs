//! Schema objects: read, written as `schema.sql`, run by the server's own client, read again.

use std::process::{Command, Stdio};

use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;
use tidelog::source::{ObjectKind, SchemaObject, parse_schema, read_objects, render_schema};

use crate::catalogue::client;
use crate::support::server::FLAVORS;
use crate::support::sql::exec;
use crate::support::{TestServer, start};

const OBJECTS: &[&str] = &[
    "CREATE DATABASE `sh``op` CHARACTER SET latin1",
    "CREATE DATABASE other CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "USE `sh``op`",
    "SET sql_mode=''",
    "CREATE TABLE parent (id int PRIMARY KEY, v varchar(20) CHARACTER SET utf8mb4 DEFAULT 'ä')",
    "CREATE TABLE child (id int PRIMARY KEY AUTO_INCREMENT, p int, d date DEFAULT '0000-00-00', \
     FOREIGN KEY (p) REFERENCES parent (id)) AUTO_INCREMENT=77",
    "CREATE TABLE a_first (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES child (id))",
    "CREATE TABLE gone (id int)",
    "SET sql_mode=DEFAULT",
    "CREATE FUNCTION twice(a varchar(10)) RETURNS varchar(20) DETERMINISTIC RETURN CONCAT(a, a, '😀')",
    "CREATE PROCEDURE proc(IN x int, OUT y varchar(9)) BEGIN DECLARE z int DEFAULT 1; -- ; //\n \
     SET y = CONCAT('it''s ', x, ';'); END",
    // Reads the same in both: views in an order that is not the one of names.
    "CREATE VIEW z_base AS SELECT id, v, '日本😀' AS x FROM parent",
    "CREATE VIEW a_top AS SELECT m.id, `sh``op`.twice(m.v) AS t FROM m_middle m",
    "CREATE VIEW other.cross_view AS SELECT id FROM `sh``op`.z_base",
    "CREATE VIEW broken AS SELECT id FROM gone",
    "DROP TABLE gone",
    "SET NAMES latin1",
    "CREATE VIEW in_latin1 AS SELECT 'Ã¤' AS x, _utf8mb4 x'C3A4' AS y",
    "CREATE FUNCTION of_latin1() RETURNS varchar(10) DETERMINISTIC RETURN 'é\\\\'",
    "SET NAMES utf8mb4",
    "SET sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
    "CREATE FUNCTION \"odd \"\"name\"() RETURNS varchar(10) DETERMINISTIC RETURN 'a\\' || \"x\".\"y\"",
    "CREATE PROCEDURE quoted() SELECT \"id\", '\\' FROM \"parent\"",
    "SET sql_mode=DEFAULT",
    "CREATE TRIGGER t_one BEFORE INSERT ON parent FOR EACH ROW SET NEW.v = CONCAT(NEW.v, '1')",
    "CREATE TRIGGER t_two BEFORE INSERT ON parent FOR EACH ROW PRECEDES t_one SET NEW.v = '2'",
    "CREATE TRIGGER t_mid BEFORE INSERT ON parent FOR EACH ROW FOLLOWS t_two SET NEW.v = '3'",
    "CREATE TRIGGER after_it AFTER DELETE ON parent FOR EACH ROW BEGIN SET @x = 1; SET @y = 2; END",
    "SET time_zone='+03:00'",
    "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 10:00:00' DO SET @a = '😀;'",
    "CREATE EVENT ev_off ON SCHEDULE AT '2031-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE \
     COMMENT 'it''s' DO SET @b = 1",
    "ALTER DATABASE other COLLATE utf8mb4_general_ci",
];

pub(crate) fn statements(flavor: Flavor) -> Vec<String> {
    let mut all: Vec<String> = OBJECTS.iter().map(|s| (*s).to_owned()).collect();
    // `a_top` needs what sorts after it.
    let at = all
        .iter()
        .position(|s| s.contains("VIEW a_top"))
        .expect("a_top");
    all.insert(
        at,
        "CREATE VIEW m_middle AS SELECT id, v FROM z_base".to_owned(),
    );
    let at = all
        .iter()
        .position(|s| s.contains("ALTER DATABASE"))
        .expect("alter");
    all.insert(
        at,
        "CREATE FUNCTION other.of_then() RETURNS varchar(10) DETERMINISTIC RETURN 'x'".to_owned(),
    );
    if flavor == Flavor::MariaDb {
        all.push("CREATE SEQUENCE `sh``op`.seq START 5 INCREMENT 3 CACHE 10 CYCLE".to_owned());
        all.push(
            "CREATE TABLE `sh``op`.uses_seq (id int DEFAULT (NEXTVAL(`sh``op`.seq)))".to_owned(),
        );
        all.push("SET sql_mode=ORACLE".to_owned());
        all.push("USE other".to_owned());
        all.push("CREATE PACKAGE pack AS FUNCTION f RETURN INT; END".to_owned());
        all.push(
            "CREATE PACKAGE BODY pack AS FUNCTION f RETURN INT AS BEGIN RETURN 1; END; END"
                .to_owned(),
        );
        all.push("SET sql_mode=DEFAULT".to_owned());
    }
    all
}

/// Runs a file with the server's own client; broken views fail as they should.
fn run_file(server: &TestServer, file: &[u8]) -> String {
    let mut child = Command::new(server.client())
        .arg("--no-defaults")
        // MariaDB's client takes comments out of routines without it.
        .args(["-uroot", "--force", "--comments"])
        .arg(format!("--socket={}", server.socket().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start client");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, file).expect("send schema");
    drop(stdin);
    let output = child.wait_with_output().expect("run client");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(objects: &[SchemaObject], kind: ObjectKind) -> Vec<&str> {
    let of_kind = objects.iter().filter(|o| o.kind == kind);
    of_kind.map(|o| o.name.as_str()).collect()
}

#[tokio::test]
async fn schema_sql_makes_the_same_objects_again() {
    for flavor in FLAVORS {
        let server = start(ServerSpec::new(flavor)).await;
        let mut conn = server.conn().await;
        exec(&mut conn, "SET NAMES utf8mb4").await;
        for sql in statements(flavor) {
            exec(&mut conn, sql).await;
        }
        let objects = read_objects(&mut client(&server).await).await;
        let objects = objects.unwrap_or_else(|e| panic!("{}", e.report()));
        let file = render_schema(flavor, &objects).expect("a file");
        assert_eq!(parse_schema(&file).expect("its own file"), objects);

        let views = names(&objects, ObjectKind::View);
        let place = |name: &str| views.iter().position(|v| *v == name).expect("a view");
        assert!(place("z_base") < place("m_middle") && place("m_middle") < place("a_top"));
        assert!(place("z_base") < place("cross_view"));
        let mut triggers = names(&objects, ObjectKind::Trigger);
        triggers.retain(|name| *name != "after_it");
        assert_eq!(triggers, ["t_two", "t_mid", "t_one"], "as they fire");
        let broken: Vec<&str> = objects
            .iter()
            .filter(|o| o.broken)
            .map(|o| o.name.as_str())
            .collect();
        assert_eq!(broken, ["broken"]);
        let of_then = objects
            .iter()
            .find(|o| o.name == "of_then")
            .expect("of_then");
        let collation = of_then.database_collation.as_ref().expect("two collations");
        assert_eq!(collation.created, "utf8mb4_bin");
        assert_eq!(collation.current, "utf8mb4_general_ci");

        for sql in ["DROP DATABASE `sh``op`", "DROP DATABASE other"] {
            exec(&mut conn, sql).await;
        }
        let complaints = run_file(&server, &file);
        let lines: Vec<&str> = complaints.lines().filter(|l| l.contains("ERROR")).collect();
        assert_eq!(lines.len(), 1, "{flavor}: {complaints}");
        assert!(lines[0].contains("gone"), "{complaints}");
        let again = read_objects(&mut client(&server).await)
            .await
            .expect("objects");
        let kept = objects.into_iter().filter(|o| !o.broken);
        for (before, after) in kept.zip(&again) {
            assert_eq!(
                String::from_utf8_lossy(&before.statement),
                String::from_utf8_lossy(&after.statement),
                "{flavor} {} {}",
                before.db,
                before.name
            );
            // Definers are those who ran the statements.
            assert_eq!(&before, after, "{flavor}");
        }
    }
}
