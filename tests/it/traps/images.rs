//! Traps of row images and of columns that only the server knows.

use super::Trap;

pub(super) fn shared() -> Vec<Trap> {
    vec![
        trap_50_generated_columns(),
        trap_57_keys_that_change(),
        trap_58_equal_rows_without_a_key(),
        trap_127_keys_that_run_into_each_other(),
    ]
}

pub(super) fn trap_50_generated_columns() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT AS (a * 2) VIRTUAL, \
         s VARCHAR(9) AS (CONCAT(a, '!')) STORED, UNIQUE (v))",
        "INSERT INTO t (id, a) VALUES (1, 1), (2, 2)",
    ];
    let after = [
        "UPDATE t SET a = a + 10",
        "INSERT INTO t (id, a) VALUES (3, NULL)",
        "DELETE FROM t WHERE id = 1",
    ];
    Trap::new("trap_50", &before, &after)
}

/// What names the row before is not what names it after.
fn trap_57_keys_that_change() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, v INT, UNIQUE (v))",
        "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
    ];
    let after = [
        "UPDATE t SET id = id + 1 ORDER BY id DESC",
        "BEGIN",
        "UPDATE t SET id = 100 WHERE id = 2",
        "UPDATE t SET id = 2 WHERE id = 3",
        "UPDATE t SET id = 3 WHERE id = 100",
        "COMMIT",
        "UPDATE t SET id = 7 WHERE id = 4",
        "INSERT INTO t VALUES (4, 9)",
    ];
    Trap::new("trap_57", &before, &after)
}

fn trap_58_equal_rows_without_a_key() -> Trap {
    let before = [
        "CREATE TABLE t (a INT, b TEXT)",
        "INSERT INTO t VALUES (1, 'x'), (1, 'x'), (1, 'x'), (NULL, NULL), (NULL, NULL)",
    ];
    let after = [
        "DELETE FROM t WHERE a = 1 LIMIT 1",
        "UPDATE t SET b = 'y' WHERE a = 1 LIMIT 1",
        "DELETE FROM t WHERE a IS NULL LIMIT 1",
        "INSERT INTO t VALUES (1, 'y'), (1, 'x')",
    ];
    Trap::new("trap_58", &before, &after)
}

/// Parts that are joined by any one sign would be the same key.
fn trap_127_keys_that_run_into_each_other() -> Trap {
    let before = [
        "CREATE TABLE t (a VARBINARY(9), b VARBINARY(9), v INT, PRIMARY KEY (a, b))",
        "INSERT INTO t VALUES ('a|b', 'c', 1), ('a', 'b|c', 2), ('', 'a', 3), ('a', '', 4), \
         ('\\0', '', 5), ('', '\\0', 6), ('\\0\\1', '\\1', 7), ('\\0', '\\1\\1', 8)",
    ];
    let after = [
        "UPDATE t SET v = v + 10 WHERE a = 'a|b'",
        "DELETE FROM t WHERE a = 'a' AND b = ''",
        "UPDATE t SET v = v + 100 WHERE a = '\\0'",
        "DELETE FROM t WHERE a = '\\0\\1'",
    ];
    Trap::new("trap_127", &before, &after)
}

/// A functional or multi-valued index is a column of the table that no catalogue lists.
pub(super) fn trap_37_51_hidden_columns_of_functional_indexes() -> Trap {
    let before = [
        "CREATE TABLE t (a INT, j JSON, INDEX ((a + 1)), \
         INDEX ((CAST(j->'$.tags' AS CHAR(9) ARRAY))), z INT)",
        "INSERT INTO t VALUES (1, '{\"tags\": [\"x\", \"y\"]}', 1), (2, NULL, 2)",
    ];
    let after = [
        "UPDATE t SET a = a + 5, j = '{\"tags\": [\"z\"]}'",
        "INSERT INTO t VALUES (3, '{}', 3)",
        "DELETE FROM t WHERE z = 2",
    ];
    Trap::new("trap_37_51", &before, &after)
}

/// `SELECT *` leaves out what is invisible; the image does not.
pub(super) fn trap_53_generated_primary_keys() -> Trap {
    let before = [
        "SET sql_generate_invisible_primary_key=ON",
        "CREATE TABLE t (a INT)",
        "CREATE TABLE i (a INT INVISIBLE, b INT)",
        "INSERT INTO t VALUES (1), (1)",
        "INSERT INTO i (a, b) VALUES (1, 2)",
    ];
    let after = [
        "DELETE FROM t LIMIT 1",
        "INSERT INTO t VALUES (2)",
        "UPDATE i SET a = 7",
    ];
    Trap::new("trap_53", &before, &after)
}

/// Rows of before an instant change of columns keep their old form on the page.
pub(super) fn trap_54_instant_columns() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, gone INT, kept INT)",
        "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)",
        "ALTER TABLE t ADD n VARCHAR(9) NOT NULL DEFAULT 'new' FIRST, ALGORITHM=INSTANT",
        "ALTER TABLE t DROP gone, ALGORITHM=INSTANT",
        "INSERT INTO t VALUES ('x', 3, 3)",
    ];
    let after = ["UPDATE t SET kept = 9", "DELETE FROM t WHERE id = 2"];
    Trap::new("trap_54", &before, &after)
}

/// A column that holds the hash of a long UNIQUE key, in the image only.
pub(super) fn trap_52_hashes_of_long_keys() -> Trap {
    let before = [
        "CREATE TABLE t (a TEXT, b BLOB NOT NULL, UNIQUE (a), UNIQUE (b))",
        "INSERT INTO t VALUES ('x', 'y'), (NULL, 'z')",
    ];
    let after = [
        "UPDATE t SET a = 'w' WHERE b = 'z'",
        "INSERT INTO t VALUES (NULL, 'q')",
        "DELETE FROM t WHERE a = 'x'",
    ];
    Trap::new("trap_52", &before, &after)
}

/// Every past state of a row is a row; a delete is an update of its end.
pub(super) fn trap_55_system_versioned_history() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
        "CREATE TABLE keyless (v INT) WITH SYSTEM VERSIONING",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
        "INSERT INTO keyless VALUES (1), (1)",
        "UPDATE t SET v = 10",
    ];
    let after = [
        "UPDATE t SET v = v + 1",
        "UPDATE t SET id = 5 WHERE id = 2",
        "DELETE FROM t WHERE id = 1",
        "INSERT INTO t VALUES (1, 100)",
        "DELETE FROM keyless LIMIT 1",
        "UPDATE keyless SET v = 3",
    ];
    Trap::new("trap_55", &before, &after)
}

pub(super) fn trap_56_sequences() -> Trap {
    let before = [
        "CREATE SEQUENCE s START 5 INCREMENT 3 MAXVALUE 20 CACHE 2 CYCLE",
        "CREATE SEQUENCE unused",
        "CREATE TABLE t (id INT PRIMARY KEY DEFAULT NEXTVAL(s))",
        "INSERT INTO t VALUES (), ()",
    ];
    let after = [
        "INSERT INTO t VALUES (), (), ()",
        "SELECT NEXTVAL(s)",
        "SELECT SETVAL(s, 14, TRUE)",
        "BEGIN",
        "SELECT NEXTVAL(unused)",
        "ROLLBACK",
    ];
    Trap::new("trap_56", &before, &after)
}
