//! Tables and rows of every kind a flavor has, for tests that compare two ways to see the same.

use tidelog::position::Flavor;

/// Statements that make database `zoo` and fill it; each runs in the default session of the
/// account with an empty `sql_mode`.
pub(crate) fn statements(flavor: Flavor) -> Vec<&'static str> {
    let own = match flavor {
        Flavor::MySql => MYSQL,
        Flavor::MariaDb => MARIADB,
    };
    COMMON.iter().chain(own).copied().collect()
}

const COMMON: &[&str] = &[
    "CREATE DATABASE zoo CHARACTER SET utf8mb4",
    "USE zoo",
    "SET sql_mode='ALLOW_INVALID_DATES', time_zone='+05:30'",
    "CREATE TABLE numbers (id int PRIMARY KEY AUTO_INCREMENT, a tinyint, b tinyint unsigned, \
     c smallint, c2 smallint unsigned, d mediumint, d2 mediumint unsigned, e int unsigned, \
     f bigint, f2 bigint unsigned, g decimal(10,3), h decimal(65,30) unsigned, h2 decimal(38,10), \
     h3 decimal(5,0) zerofill, i float, j double unsigned, k bit(1), l bit(7), m bit(8), \
     n bit(64), o year, p bool, q float(7,3), r int(5) zerofill, s bit(9), t double(9,2))",
    "INSERT INTO numbers VALUES (1,-128,255,-32768,65535,-8388608,16777215,4294967295,\
     -9223372036854775808,18446744073709551615,-1234567.891,\
     99999999999999999999999999999999999.999999999999999999999999999999,\
     -1234567890123456789012345678.0123456789,42,-1.5e30,1.7976931348623157e308,\
     b'1',b'1111111',b'11111111',0xffffffffffffffff,2155,1,1234.567,7,b'100000001',-0.01)",
    "INSERT INTO numbers (id) VALUES (-5), (7)",
    "INSERT INTO numbers VALUES (8,0,0,0,0,0,0,0,0,0,0,0,0,0,-0.0,0,b'0',b'0',b'0',b'0',0,0,0,0,\
     b'0',0), (9,1,1,1,1,1,1,1,1,1,0.001,0.1,-0.0000000001,99999,1.1,1e-300,b'1',b'1',b'1',b'1',\
     1901,1,0.1,99999,b'1',3.14)",
    "CREATE TABLE texts (id bigint unsigned PRIMARY KEY, a char(3), b char(255) charset latin1, \
     c char(255), d varchar(10) charset ucs2, e varchar(300) charset latin1, f binary(3), \
     g varbinary(300), h tinytext, i text, j mediumtext charset utf16, k longtext charset sjis, \
     l tinyblob, m blob, n mediumblob, o longblob, p enum('a','ä') charset latin1, \
     q set('x','y','z'), r varchar(5) collate utf8mb4_bin, s char(0), t varchar(0), \
     u national char(4), v char(64) charset binary, w varchar(20) charset gbk, \
     x char(10) charset utf32, y varchar(10) charset cp1251)",
    "INSERT INTO texts (id) VALUES (18446744073709551615)",
    "INSERT INTO texts VALUES (1,'a  ','ä','日本','日x',REPEAT('é',300),x'010000',x'00ff00','t','x',\
     'ж','ア',x'00',x'',REPEAT(x'ff',70000),'o','ä','x,z','r','','','nat ',x'61200000',\
     x'815C','u ','ж'), \
     (2,'','','','','',x'',x'','','','','','','','','',1,'','','','','','',x'','',''), \
     (3,' a',' ','  ','  ','  ',x'000000',x'0000','  ','  ','  ','  ',x'2020',x'20',x'00',x'0020',\
     0,7,' ','','','  ',x'00','  ','  ','  ')",
    "CREATE TABLE wide_labels (a enum('it''s','b\\\\c','n\\nl','q\"d','😀x','?x','e ','') , \
     b set('ä','ö','b\\\\c') charset latin1, c enum('ж','a\\0b') charset cp1251, \
     d enum('x','я') charset utf16, e enum('q','\\'') charset gbk NOT NULL)",
    "INSERT INTO wide_labels VALUES (1,3,1,2,1),(5,7,2,1,2),(6,0,NULL,NULL,0),(5,7,2,1,2)",
    "CREATE TABLE times (id int PRIMARY KEY, a date, b time, c time(3), c1 time(1), c6 time(6), \
     d datetime, d2 datetime(2), e datetime(6), f timestamp NULL, g timestamp(1) NULL, \
     h timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))",
    "INSERT INTO times VALUES (1,'0000-00-00','-838:59:59','-00:00:00.001','-00:00:00.1',\
     '-00:00:00.000001','0000-00-00','2024-00-15','2024-02-31 23:59:59.999999',0,\
     '2038-01-19 08:44:07.9','2001-01-01 00:00:00.123456')",
    "INSERT INTO times VALUES (2,'9999-12-31','838:59:59','12:34:56.789','-1:00:00.5','1:2:3.4',\
     '1000-01-01','9999-12-31 23:59:59.99','0001-01-01','1970-01-01 05:30:01','2024-03-31 01:30:00',\
     '2024-10-27 01:30:00.000001'), (3,'2024-00-00','00:00:00','-23:59:59.999','0:0:0.9','0:0:0',\
     '2024-12-00 10:00:00','0000-01-01','0000-00-00 00:00:00',NULL,NULL,0)",
    "INSERT INTO times (id) VALUES (4)",
    "CREATE TABLE shapes (id int PRIMARY KEY, a geometry, b point NOT NULL, c linestring, \
     d polygon, e multipoint, f multilinestring, g multipolygon, h geometrycollection)",
    "INSERT INTO shapes VALUES (1, POINT(1,2), POINT(-1.5,0), \
     ST_GeomFromText('LINESTRING(0 0,1 1)'), ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))'), \
     ST_GeomFromText('MULTIPOINT(0 0,1 1)'), NULL, NULL, \
     ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')), \
     (2, ST_GeomFromText('POINT(1 2)', 4326), POINT(0,0), NULL, NULL, NULL, NULL, NULL, NULL)",
    "CREATE TABLE documents (id int PRIMARY KEY, j json, v int AS (id + 1) VIRTUAL, \
     s varchar(20) AS (CONCAT('x', id)) STORED)",
    "INSERT INTO documents (id, j) VALUES (1, '{}'), (2, NULL), (3, '[1, 2.5, \"x\", null, true]'), \
     (4, '{\"b\": {\"aa\": -1, \"c\": 18446744073709551615}, \"a\": [1e100, 0.1, []]}'), \
     (5, '\"ж😀\"'), (6, '3'), (7, 'null')",
    "CREATE TABLE promoted (a int NOT NULL, b int, c varchar(10) NOT NULL, UNIQUE u1 (b), \
     UNIQUE u2 (c, a), KEY k (a))",
    "INSERT INTO promoted VALUES (1, NULL, 'x'), (2, 3, 'x')",
    "CREATE TABLE many_keys (a int NOT NULL, b int NOT NULL, c int, d int NOT NULL, KEY kz (a), \
     UNIQUE zz (b), UNIQUE aa (d), UNIQUE bb (c), UNIQUE mm (a))",
    "INSERT INTO many_keys VALUES (1, 2, 3, 4)",
    "CREATE TABLE prefix_unique (a int NOT NULL, c varchar(10) NOT NULL, UNIQUE (c(3)))",
    "INSERT INTO prefix_unique VALUES (1, 'x')",
    "CREATE TABLE prefix_key (a varchar(100), b blob, PRIMARY KEY (b(10), a(5)))",
    "INSERT INTO prefix_key VALUES ('x', 'y'), ('a', 'b')",
    "CREATE TABLE keyless (a int, b varchar(10))",
    "INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (NULL, NULL)",
    "CREATE TABLE hidden_column (a int INVISIBLE, b int, id int PRIMARY KEY)",
    "INSERT INTO hidden_column (a, b, id) VALUES (1, 2, 3)",
    "CREATE TABLE `we``ird \"ta'ble` (`c``o,l` int PRIMARY KEY, `ж \\ x` int)",
    "INSERT INTO `we``ird \"ta'ble` VALUES (1, 2)",
    "CREATE TABLE parts (id int, d int, PRIMARY KEY (id, d)) PARTITION BY RANGE (d) \
     (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "INSERT INTO parts VALUES (1, 1), (1, 11), (0, 12)",
    "CREATE TABLE engine_myisam (id int PRIMARY KEY, t text) ENGINE=MyISAM",
    "INSERT INTO engine_myisam VALUES (1, 'x')",
    "CREATE TABLE nine (c1 int, c2 int, c3 int, c4 int, c5 int, c6 int, c7 int, c8 int, c9 int)",
    "INSERT INTO nine (c9) VALUES (1)",
    "CREATE TABLE eight (c1 int, c2 int, c3 int, c4 int, c5 int, c6 int, c7 int, c8 int)",
    "INSERT INTO eight (c8) VALUES (1)",
    "CREATE TABLE empty_table (id int PRIMARY KEY, `select` int)",
];

const MYSQL: &[&str] = &[
    "CREATE TABLE functional (a int, b json, c int, UNIQUE INDEX ((a + 1)), \
     INDEX ((CAST(b->'$.x' AS UNSIGNED ARRAY))))",
    "INSERT INTO functional VALUES (1, '{\"x\": [1, 2]}', 3)",
    "SET sql_generate_invisible_primary_key=1",
    "CREATE TABLE generated_key (a int)",
    "SET sql_generate_invisible_primary_key=0",
    "INSERT INTO generated_key VALUES (10), (20)",
    "CREATE TABLE vectors (a vector(3), b vector, c varchar(5) charset latin1, d varchar(5), \
     e varchar(6), f varchar(7))",
    "INSERT INTO vectors VALUES (STRING_TO_VECTOR('[1,2,-3.5]'), STRING_TO_VECTOR('[1]'), 'x', \
     'y', 'z', ''), (NULL, NULL, NULL, NULL, NULL, NULL)",
    "CREATE TABLE srids (p point SRID 4326 NOT NULL, SPATIAL INDEX (p))",
    "INSERT INTO srids VALUES (ST_GeomFromText('POINT(10 20)', 4326))",
    "CREATE TABLE stored_key (a int AS (b + 1) STORED NOT NULL, b int NOT NULL, UNIQUE (a), \
     UNIQUE (b))",
    "INSERT INTO stored_key (b) VALUES (2)",
    "CREATE TABLE virtual_key (a int AS (b) VIRTUAL NOT NULL, b int NOT NULL, UNIQUE (a))",
    "INSERT INTO virtual_key (b) VALUES (2)",
    "CREATE TABLE expression_default (id int PRIMARY KEY, a int DEFAULT (1 + 1), \
     b binary(16) DEFAULT (UUID_TO_BIN(UUID())), c varchar(10) DEFAULT '😀')",
    "INSERT INTO expression_default (id) VALUES (1)",
    "CREATE TABLE opaque (id int PRIMARY KEY, j json)",
    "INSERT INTO opaque VALUES (1, JSON_OBJECT('d', CAST('2020-01-02 03:04:05.6' AS DATETIME(6)), \
     't', CAST('-12:34:56' AS TIME(2)), 'x', CAST(1.50 AS DECIMAL(10,2)), 'u', CAST(5 AS UNSIGNED), \
     'b', x'00ff', 'y', CAST('2020-01-02' AS DATE))), (2, CAST(CAST(7 AS UNSIGNED) AS JSON)), \
     (3, JSON_ARRAY(CAST(1 AS DECIMAL(5,2)), 1.0, 1, '1', b'101'))",
    "INSERT INTO opaque SELECT 4, JSON_ARRAYAGG(j) FROM documents",
];

const MARIADB: &[&str] = &[
    "CREATE TABLE compressed (id int PRIMARY KEY, a varchar(10) COMPRESSED, b blob COMPRESSED, \
     c text COMPRESSED, d tinytext COMPRESSED, e longblob COMPRESSED, f mediumtext COMPRESSED, \
     g varbinary(300) COMPRESSED, h tinyblob COMPRESSED, i varchar(300) COMPRESSED charset latin1, \
     j varchar(255) COMPRESSED charset latin1, k varchar(63) COMPRESSED, l varchar(64) COMPRESSED)",
    "INSERT INTO compressed VALUES (1, 'a', 'b', REPEAT('c', 1000), 'd', REPEAT('e', 100000), \
     REPEAT('f', 70000), REPEAT('g', 300), '', REPEAT('i', 300), REPEAT('j', 255), '', NULL)",
    "CREATE TABLE network (id int PRIMARY KEY, a uuid, b inet4, c inet6, \
     d inet6 NOT NULL DEFAULT '::', j json)",
    "INSERT INTO network VALUES (1, '123e4567-e89b-12d3-a456-426614174000', '10.0.0.0', \
     '::ffff:1.2.3.4', '::', '{\"a\":  1}'), (2, '00000000-0000-0000-0000-000000000000', '0.0.0.0', \
     '2001:db8::', '::1', NULL), (3, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '255.255.255.255', \
     'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '1::', NULL), \
     (4, '018f4e2a-7c3b-7abc-9def-0123456789ab', NULL, NULL, '::', NULL)",
    "CREATE TABLE long_unique (a text, b int, c text NOT NULL, UNIQUE (a), UNIQUE (c))",
    "INSERT INTO long_unique VALUES ('x', 1, 'y'), (NULL, 2, 'z')",
    "CREATE TABLE long_unique_2 (a text NOT NULL, b text, c int NOT NULL, UNIQUE k3 (b), \
     UNIQUE k1 (a), UNIQUE k2 (c))",
    "INSERT INTO long_unique_2 VALUES ('a', 'b', 1)",
    "CREATE TABLE long_unique_3 (a text NOT NULL, b text, c int NOT NULL, UNIQUE k3 (a, b), \
     UNIQUE k1 (c, a), UNIQUE k4 (a(100)))",
    "INSERT INTO long_unique_3 VALUES ('a', 'b', 1)",
    "CREATE TABLE versioned (a int PRIMARY KEY, b int) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned VALUES (1, 2)",
    "UPDATE versioned SET b = 3",
    "CREATE TABLE versioned_keyless (a int, b int) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned_keyless VALUES (1, 2)",
    "CREATE TABLE versioned_unique (a int NOT NULL, c int, UNIQUE (c), UNIQUE (a)) \
     WITH SYSTEM VERSIONING",
    "INSERT INTO versioned_unique VALUES (1, 1)",
    "CREATE TABLE versioned_own (a int PRIMARY KEY, b int, \
     s timestamp(6) GENERATED ALWAYS AS ROW START, \
     e timestamp(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (s, e), \
     c int WITHOUT SYSTEM VERSIONING) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned_own (a, b, c) VALUES (1, 2, 3)",
    "CREATE TABLE versioned_parts (a int PRIMARY KEY, c int) WITH SYSTEM VERSIONING \
     PARTITION BY SYSTEM_TIME INTERVAL 1 MONTH PARTITIONS 3",
    "INSERT INTO versioned_parts VALUES (1, 1)",
    "CREATE TABLE versioned_hash (a text, c int, UNIQUE (a)) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned_hash VALUES ('a', 1)",
    "CREATE TABLE period (id int, s date, e date, PERIOD FOR app (s, e), \
     PRIMARY KEY (id, app WITHOUT OVERLAPS))",
    "INSERT INTO period VALUES (1, '2020-01-01', '2020-02-01')",
    "CREATE SEQUENCE seq START 5 CACHE 10",
    "SELECT NEXTVAL(seq)",
    "CREATE TABLE defaults (id int PRIMARY KEY, a varchar(10) DEFAULT '😀\\'?', \
     b varbinary(9) DEFAULT x'00ff27', c varchar(9) DEFAULT '?')",
    "INSERT INTO defaults (id) VALUES (1)",
    "CREATE TABLE uca (a varchar(10) COLLATE utf8mb4_uca1400_ai_ci)",
    "INSERT INTO uca VALUES ('x')",
    "SET GLOBAL mysql56_temporal_format=OFF",
    "CREATE TABLE old_times (a time, b datetime, c timestamp NULL)",
    "INSERT INTO old_times VALUES ('-1:2:3', '2020-01-02 03:04:05', '2020-01-02 03:04:05'), \
     ('838:59:59', '0000-00-00', 0)",
    "SET GLOBAL mysql56_temporal_format=ON",
];
