//! Traps of transactions, of their ends and of their names.

use super::Trap;

pub(super) fn shared() -> Vec<Trap> {
    vec![trap_94_forms_of_commit(), trap_97_savepoints()]
}

/// XID, COMMIT of an engine without transactions, and the commit that a statement implies.
fn trap_94_forms_of_commit() -> Trap {
    let before = [
        "CREATE TABLE i (id INT PRIMARY KEY)",
        "CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM",
        "INSERT INTO i VALUES (1)",
        "INSERT INTO m VALUES (1)",
    ];
    let after = [
        "INSERT INTO i VALUES (2)",
        "INSERT INTO m VALUES (2)",
        "BEGIN",
        "INSERT INTO i VALUES (3)",
        "ANALYZE TABLE i",
        "XA START 'one phase'",
        "INSERT INTO i VALUES (4)",
        "XA END 'one phase'",
        "XA COMMIT 'one phase' ONE PHASE",
    ];
    Trap::new("trap_94", &before, &after)
}

/// What an engine without transactions has written stays when the others are undone. MySQL refuses
/// such a mix where GTIDs are on.
pub(super) fn trap_96_rollbacks_that_leave_rows() -> Trap {
    let before = [
        "CREATE TABLE i (id INT PRIMARY KEY)",
        "CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM",
        "INSERT INTO i VALUES (1)",
        "INSERT INTO m VALUES (1)",
    ];
    let after = [
        "BEGIN",
        "INSERT INTO i VALUES (2)",
        "INSERT INTO m VALUES (2)",
        "INSERT INTO i VALUES (3)",
        "ROLLBACK",
        "INSERT INTO i VALUES (4)",
    ];
    Trap::new("trap_96", &before, &after)
}

fn trap_97_savepoints() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY)",
        "INSERT INTO t VALUES (1)",
    ];
    let after = [
        "BEGIN",
        "INSERT INTO t VALUES (2)",
        "SAVEPOINT a",
        "INSERT INTO t VALUES (3)",
        "ROLLBACK TO a",
        "INSERT INTO t VALUES (4)",
        "SAVEPOINT b",
        "INSERT INTO t VALUES (5)",
        "RELEASE SAVEPOINT b",
        "COMMIT",
    ];
    Trap::new("trap_97", &before, &after)
}

/// Tagged GTIDs, GTIDs of another server, and one that holds nothing.
pub(super) fn trap_113_114_tagged_and_empty_transactions() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY)",
        "SET gtid_next='AUTOMATIC:before_1'",
        "INSERT INTO t VALUES (1)",
    ];
    let after = [
        "SET gtid_next='AUTOMATIC:tag_1'",
        "INSERT INTO t VALUES (2)",
        "SET gtid_next='3e11fa47-71ca-11e1-9e33-c80aa9429562:77'",
        "BEGIN",
        "COMMIT",
        "SET gtid_next='3e11fa47-71ca-11e1-9e33-c80aa9429562:x:5'",
        "INSERT INTO t VALUES (3)",
        "SET gtid_next=AUTOMATIC",
        "INSERT INTO t VALUES (4)",
    ];
    Trap::new("trap_113_114", &before, &after)
}

pub(super) fn trap_106_111_domains_and_servers() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY)",
        "SET gtid_domain_id=9",
        "INSERT INTO t VALUES (1)",
    ];
    let after = [
        "SET gtid_domain_id=3, server_id=4242",
        "INSERT INTO t VALUES (2)",
        "SET gtid_domain_id=9",
        "INSERT INTO t VALUES (3)",
        "SET gtid_domain_id=0",
        "DELETE FROM t WHERE id = 1",
    ];
    Trap::new("trap_106_111", &before, &after)
}
