//! Traps of scalar values.

use super::Trap;
use tidelog::position::Flavor;

pub(super) fn shared(flavor: Flavor) -> Vec<Trap> {
    vec![
        trap_05_06_07_labels(),
        trap_08_09_10_dates_and_zones(),
        trap_14_15_negative_times(),
        trap_18_years(),
        trap_19_20_decimals(),
        trap_21_23_24_bits_of_floats(),
        trap_25_26_27_padding(),
        trap_30_collations(flavor),
        trap_31_keys_equal_by_collation(),
        trap_32_geometries(),
        trap_36_booleans(),
    ]
}

/// 300 labels of an ENUM in two bytes, of a SET all 64; a reorder gives old numbers new names.
fn trap_05_06_07_labels() -> Trap {
    let list = |n: usize| {
        let labels: Vec<String> = (1..=n).map(|i| format!("'l{i}'")).collect();
        labels.join(",")
    };
    let table = format!(
        "CREATE TABLE t (id INT PRIMARY KEY, e ENUM({}), s SET({}), r ENUM('a','b','c'))",
        list(300),
        list(64)
    );
    let before = [
        "SET sql_mode=''",
        &table,
        "INSERT INTO t VALUES (1, 127, 1, 'a'), (2, 128, 9223372036854775808, 'b'), \
         (3, 256, 18446744073709551615, 'c'), (4, 300, 0, 'a'), (5, '', '', '')",
        "ALTER TABLE t MODIFY r ENUM('c','b','a','')",
        "INSERT INTO t VALUES (6, 255, 9223372036854775809, 'a')",
    ];
    let after = [
        "UPDATE t SET e = 300 - id, s = s ^ 9223372036854775808",
        "INSERT INTO t VALUES (7, 129, 4294967296, 'c')",
    ];
    Trap::new("trap_05_06_07", &before, &after)
}

fn trap_08_09_10_dates_and_zones() -> Trap {
    let before = [
        "SET sql_mode='ALLOW_INVALID_DATES', time_zone='-11:00'",
        "CREATE TABLE t (id INT PRIMARY KEY, d DATE, dt DATETIME(4), ts TIMESTAMP(3) NULL, \
         n TIMESTAMP NOT NULL DEFAULT 0)",
        "INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00', 0, 0), \
         (2, '2024-02-31', '2024-00-15 10:00:00.1', '1970-01-01 00:00:00.5', 0), \
         (3, '0000-01-01', '9999-12-31 23:59:59.9999', '2038-01-18 16:14:07.999', '1970-01-01 12:00:01')",
    ];
    let after = [
        "SET sql_mode='ALLOW_INVALID_DATES', time_zone='+13:00'",
        "UPDATE t SET d = '2023-04-31', ts = 0 WHERE id > 1",
        "INSERT INTO t VALUES (4, '2000-00-00', '2024-10-27 02:30:00', '2024-10-27 02:30:00', 0)",
        "DELETE FROM t WHERE id = 1",
    ];
    Trap::new("trap_08_09_10", &before, &after)
}

/// Borrows from the whole part are where decoders go wrong: one hundredth below zero.
fn trap_14_15_negative_times() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a TIME, b TIME(1), c TIME(2), \
         d TIME(3), e TIME(4), f TIME(5), g TIME(6))",
        "CREATE TABLE k (a TIME(2) PRIMARY KEY)",
    ];
    let values: Vec<String> = [
        "-00:00:00.000001",
        "-00:00:00.01",
        "-00:00:00.1",
        "-00:00:01",
        "-00:59:59.99",
        "-838:59:58.999999",
        "-838:59:59",
        "838:59:59",
        "-24:00:00.5",
    ]
    .iter()
    .map(|v| format!("'{v}'"))
    .collect();
    let rows: Vec<String> = values
        .iter()
        .map(|v| format!("(NULL, {v}, {v}, {v}, {v}, {v}, {v}, {v})"))
        .collect();
    let insert = format!("INSERT INTO t VALUES {}", rows.join(","));
    let keys = "INSERT INTO k VALUES ('-00:00:00.01'), ('-00:00:00.1'), ('0'), ('-838:59:59')";
    let mut trap = Trap::new("trap_14_15", &before, &[]);
    trap.before.extend([insert.clone(), keys.to_owned()]);
    trap.after.extend([
        insert,
        "UPDATE t SET c = SUBTIME(c, '0:0:0.01') WHERE id % 2 = 0 AND c > '-838:59:59'".to_owned(),
        "UPDATE k SET a = '-00:00:00.99' WHERE a = '-00:00:00.01'".to_owned(),
    ]);
    trap
}

fn trap_18_years() -> Trap {
    let before = [
        "CREATE TABLE t (y YEAR PRIMARY KEY, n YEAR)",
        "INSERT INTO t VALUES (0, NULL), (1901, 0), (2155, 1999)",
    ];
    let after = ["UPDATE t SET n = 0", "INSERT INTO t VALUES (1970, 2000)"];
    Trap::new("trap_18", &before, &after)
}

fn trap_19_20_decimals() -> Trap {
    let nines = "99999999999999999999999999999999999.999999999999999999999999999999";
    let values = format!(
        "(1, {nines}, -0.000000001, 1), (2, -{nines}, 0.999999999, -999999999), (3, -0.0, 0, 0)"
    );
    let insert = format!("INSERT INTO t VALUES {values}");
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, a DECIMAL(65,30), b DECIMAL(9,9), c DECIMAL(9,0))",
        "CREATE TABLE k (a DECIMAL(40,20) PRIMARY KEY)",
        &insert,
        "INSERT INTO k VALUES (-1), (0), (0.00000000000000000001)",
    ];
    let after = [
        "UPDATE t SET a = -a, b = -b, c = -c",
        "UPDATE k SET a = -a ORDER BY a DESC",
        "DELETE FROM k WHERE a = 0",
    ];
    Trap::new("trap_19_20", &before, &after)
}

fn trap_21_23_24_bits_of_floats() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, f FLOAT, d DOUBLE, fm FLOAT(7,3), dm DOUBLE(9,2))",
        "INSERT INTO t VALUES (1, 16777217, 0.1e0, 1234.5678, 1234567.891), \
         (2, -0.0e0, -0.0e0, -0.0e0, -0.0e0), (3, 1e-45, 5e-324, 0.001, 0.01), \
         (4, 3.4028234e38, 1.7976931348623157e308, 9999.999, 9999999.99), \
         (5, 8.5899346e9, 4.35, 0.1, 1.005)",
    ];
    let after = [
        "UPDATE t SET f = f / 3, d = d / 3",
        "INSERT INTO t SELECT id + 10, d, f, fm, dm FROM t WHERE id IN (1, 2, 3, 5)",
        "DELETE FROM t WHERE id = 2",
    ];
    Trap::new("trap_21_23_24", &before, &after)
}

/// Row images hold no padding; a base read in a session that pads would.
fn trap_25_26_27_padding() -> Trap {
    let before = [
        "SET GLOBAL sql_mode='PAD_CHAR_TO_FULL_LENGTH'",
        "CREATE TABLE t (c CHAR(5), b BINARY(5), v VARBINARY(5), w CHAR(255), l CHAR(70), \
         PRIMARY KEY (c, b))",
        "INSERT INTO t VALUES ('a', 'a', 'a\\0', 'w', 'l  '), ('', '', '', '', ''), \
         ('a b', X'6100620000', X'00', REPEAT('😀', 255), REPEAT('é', 70))",
    ];
    let after = [
        "UPDATE t SET b = X'00', c = 'xx' WHERE c = ''",
        "INSERT INTO t VALUES ('z', X'0000000000', X'0000', 'z', 'z')",
        "SET GLOBAL sql_mode=DEFAULT",
    ];
    Trap::new("trap_25_26_27", &before, &after)
}

fn trap_30_collations(flavor: Flavor) -> Trap {
    let columns = match flavor {
        Flavor::MySql => {
            "a VARCHAR(9) COLLATE utf8mb4_0900_ai_ci, b VARCHAR(9) COLLATE utf8mb4_ja_0900_as_cs, \
             c VARCHAR(9) COLLATE utf8mb3_general_ci, d ENUM('é','ß') COLLATE utf8mb4_zh_0900_as_cs"
        }
        Flavor::MariaDb => {
            "a VARCHAR(9) COLLATE utf8mb4_uca1400_ai_ci, b VARCHAR(9) COLLATE utf8mb3_uca1400_swedish_as_cs, \
             c VARCHAR(9) COLLATE utf16_uca1400_nopad_ai_ci, d ENUM('é','ß') COLLATE utf8mb4_uca1400_ai_ci"
        }
    };
    let table = format!("CREATE TABLE t (id INT PRIMARY KEY, {columns})");
    let before = [&table, "INSERT INTO t VALUES (1, 'é😀', 'がぎ', 'ж', 'ß')"];
    let after = [
        "INSERT INTO t VALUES (2, 'ſ', 'é', 'é', 'é')",
        "UPDATE t SET b = CONCAT(b, 'x')",
    ];
    Trap::new("trap_30", &before, &after)
}

/// The server takes `a`, `A` and `á` for one key; a fold by bytes must follow each step.
fn trap_31_keys_equal_by_collation() -> Trap {
    let before = [
        "CREATE TABLE t (k VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v INT)",
        "INSERT INTO t VALUES ('a', 1), ('b', 2), ('ß', 3)",
    ];
    let after = [
        "UPDATE t SET k = 'A' WHERE k = 'a'",
        "UPDATE t SET k = 'á  ' WHERE k = 'a'",
        "DELETE FROM t WHERE k = 'B'",
        "INSERT INTO t VALUES ('B', 4)",
        "REPLACE INTO t VALUES ('b', 5)",
        "INSERT INTO t VALUES ('S', 6) ON DUPLICATE KEY UPDATE k = VALUES(k), v = 7",
    ];
    Trap::new("trap_31", &before, &after)
}

fn trap_32_geometries() -> Trap {
    let before = [
        "CREATE TABLE t (id INT PRIMARY KEY, g GEOMETRY, p POINT NOT NULL, SPATIAL INDEX (p))",
        "INSERT INTO t VALUES (1, ST_GeomFromText('LINESTRING(1 2,3 4)', 4326), POINT(5, 6)), \
         (2, NULL, POINT(-0.0, 1e300))",
    ];
    let after = [
        "UPDATE t SET g = ST_GeomFromText('POINT(10 20)', 4326), p = POINT(1, 2) WHERE id = 1",
        "DELETE FROM t WHERE id = 2",
    ];
    Trap::new("trap_32", &before, &after)
}

fn trap_36_booleans() -> Trap {
    let before = [
        "CREATE TABLE t (b TINYINT(1) PRIMARY KEY, c BOOL, u TINYINT(1) UNSIGNED)",
        "INSERT INTO t VALUES (0, 2, 255), (1, -128, 128), (2, 127, 2), (-128, NULL, NULL)",
    ];
    let after = ["UPDATE t SET c = b, b = b + 1 ORDER BY b DESC"];
    Trap::new("trap_36", &before, &after)
}

/// MariaDB still makes the types of before 5.6 when told to: sign and digits stand elsewhere.
pub(super) fn trap_16_old_temporal_types() -> Trap {
    let before = [
        "SET GLOBAL mysql56_temporal_format=OFF",
        "CREATE TABLE t (id INT PRIMARY KEY, a TIME, b DATETIME, c TIMESTAMP NULL)",
        "SET GLOBAL mysql56_temporal_format=ON",
        "SET sql_mode=''",
        "INSERT INTO t VALUES (1, '-838:59:59', '0000-00-00', 0), (2, '-00:00:01', \
         '9999-12-31 23:59:59', '2038-01-19 03:14:07'), (3, '838:59:59', '2024-00-15', NULL)",
    ];
    let after = [
        "UPDATE t SET a = SUBTIME(a, '00:00:01') WHERE id = 2",
        "INSERT INTO t VALUES (4, '-00:01:00', '1000-01-01 00:00:01', '1970-01-02 00:00:01')",
    ];
    Trap::new("trap_16", &before, &after)
}
