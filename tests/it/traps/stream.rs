//! Traps of the event stream.

use super::Trap;

pub(super) fn shared() -> Vec<Trap> {
    vec![
        trap_66_67_statements_of_many_events(),
        trap_84_status_variables(),
    ]
}

/// Several tables in one statement, and rows events of at most 512 bytes: the end of the statement
/// is said once, on the last of them.
fn trap_66_67_statements_of_many_events() -> Trap {
    let before = [
        "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(200))",
        "CREATE TABLE b (id INT PRIMARY KEY, v VARCHAR(200))",
        "CREATE TABLE n (id INT PRIMARY KEY)",
        "INSERT INTO n VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)",
        "INSERT INTO a SELECT id, REPEAT('a', 150) FROM n",
        "INSERT INTO b SELECT id, REPEAT('b', 150) FROM n",
    ];
    let after = [
        "UPDATE a JOIN b USING (id) SET a.v = CONCAT(a.id, b.v), b.v = CONCAT(b.id, 'x')",
        "DELETE a, b FROM a JOIN b USING (id) WHERE id % 3 = 0",
        "INSERT INTO a SELECT n.id * 100 + m.id, REPEAT('c', 190) FROM n JOIN n m",
        "UPDATE a SET v = REVERSE(v), id = -id",
    ];
    Trap::new("trap_66_67", &before, &after)
}

/// Sessions log what their statements depend on: zones, modes, times of a million years ago.
fn trap_84_status_variables() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6))",
        "INSERT INTO t VALUES ()",
    ];
    let after = [
        "SET timestamp = 1000000000.123456, time_zone = '+05:45', sql_mode = 'ANSI_QUOTES', \
         auto_increment_increment = 7, auto_increment_offset = 3, lc_time_names = 'ja_JP', \
         foreign_key_checks = 0, unique_checks = 0",
        "INSERT INTO t VALUES (), ()",
        "SET timestamp = 1",
        "INSERT INTO t VALUES ()",
        "ANALYZE TABLE t",
    ];
    Trap::new("trap_84", &before, &after)
}

/// Inner events carry no position of their own: only their order tells first from last.
pub(super) fn trap_73_74_75_order_inside_payloads() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, v MEDIUMTEXT)",
        "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
    ];
    let after = [
        "SET binlog_transaction_compression=ON",
        "BEGIN",
        "INSERT INTO t VALUES (3, REPEAT('three', 10000))",
        "UPDATE t SET v = 'first' WHERE id = 1",
        "DELETE FROM t WHERE id = 1",
        "INSERT INTO t VALUES (1, 'last')",
        "UPDATE t SET id = 4 WHERE id = 2",
        "COMMIT",
        "SET binlog_transaction_compression_level_zstd=19",
        "UPDATE t SET v = REPEAT(v, 2)",
    ];
    Trap::new("trap_73_74_75", &before, &after)
}

pub(super) fn trap_75_76_compressed_events() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)",
        "INSERT INTO t VALUES (1, REPEAT('one', 100)), (2, 'two')",
    ];
    let after = [
        "SET GLOBAL log_bin_compress=ON",
        "INSERT INTO t VALUES (3, REPEAT('three', 10000))",
        "UPDATE t SET v = REPEAT('first', 200) WHERE id = 1",
        "UPDATE t SET id = 4 WHERE id = 2",
        "DELETE FROM t WHERE id = 1",
        "SET GLOBAL log_bin_compress=OFF",
        "INSERT INTO t VALUES (5, REPEAT('plain', 200))",
    ];
    Trap::new("trap_75_76", &before, &after)
}
