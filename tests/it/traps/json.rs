//! Traps of JSON documents.

use super::Trap;

/// ALTER and IGNORE leave documents of no bytes at all, which read as null.
pub(super) fn trap_41_empty_documents() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY)",
        "INSERT INTO t VALUES (1), (2)",
        "ALTER TABLE t ADD j JSON NOT NULL",
        "INSERT IGNORE INTO t (id) VALUES (3)",
        "INSERT INTO t VALUES (4, 'null')",
        "CREATE TABLE keyless (j JSON NOT NULL)",
        "INSERT IGNORE INTO keyless VALUES (NULL), ('null'), ('[]')",
    ];
    let after = [
        "SET sql_mode=''",
        "UPDATE t SET id = id + 10",
        "INSERT IGNORE INTO t (id) VALUES (5)",
        "INSERT IGNORE INTO keyless () VALUES ()",
        "DELETE FROM keyless LIMIT 1",
    ];
    Trap::new("trap_41", &before, &after)
}

/// Updated in place, in the small and the large format, with numbers at every width.
pub(super) fn trap_42_offsets_of_both_sizes() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, j JSON)",
        "INSERT INTO t VALUES (1, JSON_OBJECT('a', REPEAT('x', 65000), 'b', 32768, 'c', -32769)), \
         (2, JSON_OBJECT('a', REPEAT('x', 66000), 'b', 65535, 'c', 2147483648)), \
         (3, JSON_ARRAY(32767, 65536, -2147483649, 4294967295, TRUE))",
    ];
    let after = [
        "UPDATE t SET j = JSON_SET(j, '$.a', REPEAT('y', 500)) WHERE id = 1",
        "UPDATE t SET j = JSON_SET(j, '$.a', REPEAT('z', 70000), '$.b', 1) WHERE id < 3",
        "UPDATE t SET j = JSON_REPLACE(j, '$[0]', 65536, '$[3]', 1) WHERE id = 3",
        "UPDATE t SET j = JSON_REMOVE(j, '$.c') WHERE id = 2",
    ];
    Trap::new("trap_42", &before, &after)
}

/// Logged as operations on paths, which are applied to the document of the before image.
pub(super) fn trap_43_44_differences_of_documents() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, n JSON, j JSON, k JSON, b BLOB)",
        "INSERT INTO t VALUES (1, NULL, '{\"a\": [1, {\"x y\": 2}, 333], \"b\": \"text\", \"c\": {}}', '[]', 'b'), \
         (2, '1', JSON_OBJECT('a', REPEAT('x', 70000), 'b', CAST(1.50 AS DECIMAL(9,2))), '[1, 2, 3]', ''), \
         (3, '{}', NULL, NULL, NULL)",
    ];
    let after = [
        "SET binlog_row_value_options=PARTIAL_JSON",
        "UPDATE t SET j = JSON_SET(j, '$.a[0]', 'first', '$.a[9]', 'last', '$.new', JSON_ARRAY(1, 2.5))",
        "UPDATE t SET j = JSON_REMOVE(j, '$.b'), k = JSON_ARRAY_INSERT(k, '$[0]', CAST(7 AS UNSIGNED))",
        "UPDATE t SET j = JSON_REPLACE(j, '$.a[1].\"x y\"', DATE'2024-02-29', '$.c', TRUE) WHERE id = 1",
        "UPDATE t SET j = JSON_SET(j, '$.a', 'short'), b = 'changed', id = 12 WHERE id = 2",
        "UPDATE t SET k = JSON_SET(k, '$[last]', 'end', '$[0]', NULL), n = JSON_SET(n, '$[1]', 2)",
        "UPDATE t SET b = 'only' WHERE id = 1",
        "SET binlog_transaction_compression=ON",
        "UPDATE t SET j = JSON_SET(j, '$.a', JSON_OBJECT('deep', JSON_ARRAY())) WHERE id = 12",
        "DELETE FROM t WHERE id = 3",
    ];
    Trap::new("trap_43_44", &before, &after)
}

/// MariaDB keeps the text as it was written.
pub(super) fn trap_45_json_is_text() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, j JSON)",
        "INSERT INTO t VALUES (1, '{\"b\":  1.0, \"a\": 1e0 , \"b\":2}'), (2, ' [ ] ')",
    ];
    let after = ["UPDATE t SET j = JSON_SET(j, '$.c', 1.50) WHERE id = 1"];
    Trap::new("trap_45", &before, &after)
}
