//! Restores where the clocks of source and target change by other rules: default zones of both
//! kinds (`SYSTEM` and a name), values in the repeated hour, generated columns over TIMESTAMP, and
//! DDL that turns moments into local times.

use crate::restore::moment;
use crate::support::fingerprint::{Fingerprint, assert_same, fingerprint};
use crate::support::server::FLAVORS;
use crate::support::setup::Setup;
use crate::support::sql::{exec, exec_all, query_one};
use chrono::{Datelike, NaiveDate, Weekday};
use mysql_async::Conn;
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// Central Europe's rule as the C library takes it.
const CENTRAL_EUROPE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// The same rule, loaded under a name that no list of zones has.
const NAMED: &str = "Test/Central_Europe";

/// How source and target know their zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    /// Both hosts are in UTC.
    Utc,
    /// Both hosts are in one zone with summer time.
    System,
    /// The source's default is a name; the hosts are in UTC.
    Named,
    /// Only the source's host is in such a zone; the target knows one like it by name.
    Apart,
}

impl Zone {
    async fn setup(self, flavor: Flavor) -> Setup {
        let here = |is_there: bool| match is_there {
            true => ServerSpec::new(flavor).environment("TZ", CENTRAL_EUROPE),
            false => ServerSpec::new(flavor).environment("TZ", "UTC"),
        };
        let source = here(matches!(self, Zone::System | Zone::Apart));
        let setup = Setup::of(source, here(self == Zone::System)).await;
        for server in [&setup.source, &setup.target] {
            load_zone(&mut server.conn().await).await;
        }
        if self == Zone::Named {
            let default = format!("SET GLOBAL time_zone = '{NAMED}'");
            exec(&mut setup.source.conn().await, default).await;
        }
        setup
    }
}

/// Loads the rule into the server's own tables, unlogged, with no file of any host.
async fn load_zone(conn: &mut Conn) {
    let last_sunday = |year: i32, month: u32| {
        let days = (25..=31).filter_map(|day| NaiveDate::from_ymd_opt(year, month, day));
        let mut sundays = days.filter(|day| day.weekday() == Weekday::Sun);
        let change = sundays.next().and_then(|day| day.and_hms_opt(1, 0, 0));
        change.expect("a Sunday").and_utc().timestamp()
    };
    let changes: Vec<String> = (1970..=2037)
        .flat_map(|year| [(last_sunday(year, 3), 1), (last_sunday(year, 10), 0)])
        .map(|(at, kind)| format!("(9999, {at}, {kind})"))
        .collect();
    let changes = format!(
        "INSERT INTO mysql.time_zone_transition VALUES {}",
        changes.join(",")
    );
    let name = format!("INSERT INTO mysql.time_zone_name VALUES ('{NAMED}', 9999)");
    exec_all(
        conn,
        &[
            "SET sql_log_bin = 0",
            "INSERT INTO mysql.time_zone VALUES (9999, 'N')",
            &name,
            "INSERT INTO mysql.time_zone_transition_type VALUES (9999, 0, 3600, 0, 'CET'), \
             (9999, 1, 7200, 1, 'CEST')",
            &changes,
        ],
    )
    .await;
}

/// Seconds around both changes of 2026: half past two twice, and both sides of the gap.
const MOMENTS: [i64; 8] = [
    1_774_745_999,
    1_774_746_000,
    1_792_888_200,
    1_792_889_999,
    1_792_890_000,
    1_792_891_800,
    1_792_893_600,
    1,
];

fn base() -> Vec<String> {
    let mut all: Vec<String> = [
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, ts TIMESTAMP(6) NULL, \
         at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), \
         dt DATETIME(6) NULL, local VARCHAR(40) AS (CAST(ts AS CHAR)) VIRTUAL, h INT AS (HOUR(ts)) STORED)",
        "CREATE TABLE keyless (ts TIMESTAMP NULL, v INT AS (HOUR(ts)) STORED)",
        "CREATE TABLE m (id INT PRIMARY KEY AUTO_INCREMENT, ts TIMESTAMP(6) NULL, dt DATETIME(6) NULL)",
        "CREATE TABLE n LIKE m",
    ]
    .map(str::to_owned)
    .into();
    let insert = |table: &str, at: i64| {
        let value = format!("FROM_UNIXTIME({at}.25)");
        format!("INSERT INTO {table} (ts, dt) VALUES ({value}, {value})")
    };
    for at in MOMENTS {
        let twice = format!("(FROM_UNIXTIME({at}))");
        all.push(format!("INSERT INTO keyless (ts) VALUES {twice}, {twice}"));
        all.push(insert("t", at));
    }
    // A local time says only one of the two hours that have its name.
    all.push("SET time_zone = '+00:00'".to_owned());
    for at in MOMENTS {
        all.extend([insert("m", at), insert("n", at)]);
    }
    all.push("SET time_zone = DEFAULT".to_owned());
    all
}

const STEPS: &[&[&str]] = &[
    &["UPDATE t SET ts = TIMESTAMPADD(MINUTE, 30, ts) WHERE id > 2"],
    // Half past two happens twice that night.
    &["INSERT INTO t (ts, dt) VALUES ('2026-10-25 02:30:00', '2026-10-25 02:30:00'), (NULL, NULL)"],
    &[
        "DELETE FROM keyless WHERE ts = FROM_UNIXTIME(1792891800) LIMIT 1",
        "UPDATE keyless SET ts = FROM_UNIXTIME(1792888200) WHERE ts = FROM_UNIXTIME(1792893600) LIMIT 1",
    ],
    &["ALTER TABLE m MODIFY ts DATETIME(6) NULL"],
    &["UPDATE m SET dt = TIMESTAMPADD(HOUR, 1, ts)"],
    &["ALTER TABLE m ADD made DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)"],
    &["ALTER TABLE n ADD day DATE AS (DATE(ts)) STORED, ADD h INT AS (HOUR(ts)) VIRTUAL"],
    &["UPDATE n SET ts = TIMESTAMPADD(HOUR, 1, ts), dt = ts WHERE id < 5"],
    &[
        "DELETE FROM m WHERE ts IS NULL OR HOUR(ts) = 2",
        "ALTER TABLE m MODIFY ts TIMESTAMP(6) NULL",
    ],
    &[
        "SET time_zone = '+05:30'",
        "ALTER TABLE m MODIFY ts DATETIME(6) NULL",
    ],
    &[
        "ALTER TABLE m MODIFY dt TIMESTAMP(6) NULL",
        "SET time_zone = DEFAULT",
    ],
    &["CREATE TABLE o SELECT id, ts, DATE(ts) AS day FROM t"],
    &["INSERT INTO m (ts, dt) VALUES ('2026-10-25 02:30:00', FROM_UNIXTIME(1792888200))"],
];

/// MariaDB 11 logs changed rows without the generated columns that look at the session's time zone.
fn logs_no_local_times(setup: &Setup) -> bool {
    setup.source.flavor() == Flavor::MariaDb && !setup.source.version().starts_with("10.")
}

/// A statement without such columns, where they are not logged.
fn of_server(statement: &str, is_newer: bool) -> String {
    let generated = [
        (", local VARCHAR(40) AS (CAST(ts AS CHAR)) VIRTUAL", ""),
        (", h INT AS (HOUR(ts)) STORED", ""),
        (", v INT AS (HOUR(ts)) STORED", ""),
        (" AS (DATE(ts)) STORED, ADD h INT AS (HOUR(ts)) VIRTUAL", ""),
    ];
    let without = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
    match is_newer {
        true => generated.iter().fold(statement.to_owned(), without),
        false => statement.to_owned(),
    }
}

async fn run(flavor: Flavor, zone: Zone) {
    let setup = zone.setup(flavor).await;
    let mut conn = setup.source.conn().await;
    exec_all(
        &mut conn,
        &["SET sql_mode = ''", "CREATE DATABASE d", "USE d"],
    )
    .await;
    let is_newer = logs_no_local_times(&setup);
    for statement in base() {
        exec(&mut conn, of_server(&statement, is_newer)).await;
    }
    setup.base().await;
    let mut checkpoints: Vec<(String, Fingerprint, &str)> = Vec::new();
    for step in STEPS {
        for statement in *step {
            exec(&mut conn, of_server(statement, is_newer)).await;
        }
        let mut other = setup.source.conn().await;
        let gtids = moment(&mut other, flavor).await.1;
        let rows = fingerprint(&mut other, &["d"]).await;
        checkpoints.push((gtids, rows, step[0]));
    }
    setup.capture();
    for (gtids, rows, after) in checkpoints.iter().rev() {
        let what = format!("{flavor} {zone:?}: after {after}");
        println!("{what}");
        setup.restore(&["--to-gtid", gtids]).success();
        let found = fingerprint(&mut setup.target.conn().await, &["d"]).await;
        assert_same(rows, &found, &what);
        setup.drop_on_target(&["d"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_in_utc() {
    for flavor in FLAVORS {
        run(flavor, Zone::Utc).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_in_one_zone_with_summer_time() {
    for flavor in FLAVORS {
        run(flavor, Zone::System).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_zone_with_a_name() {
    for flavor in FLAVORS {
        run(flavor, Zone::Named).await;
    }
}

/// `SYSTEM` means another zone on the target: nothing is computed in a zone that is only like it.
#[tokio::test(flavor = "multi_thread")]
async fn the_zone_of_the_sources_host_is_never_guessed() {
    for flavor in FLAVORS {
        let setup = Zone::Apart.setup(flavor).await;
        let mut conn = setup.source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.m (id INT PRIMARY KEY, ts TIMESTAMP NULL)",
                "INSERT INTO d.m VALUES (1, FROM_UNIXTIME(1792888200)), (2, NULL)",
            ],
        )
        .await;
        setup.base().await;
        exec(&mut conn, "DELETE FROM d.m WHERE id = 2").await;
        let before = moment(&mut conn, flavor).await.1;
        exec(&mut conn, "ALTER TABLE d.m MODIFY ts DATETIME NULL").await;
        setup.capture();
        let refused = setup.restore(&["--latest"]);
        refused.refused(1, &["time zone of the source's host", "TZ", "seq="]);
        let mut target = setup.target.conn().await;
        exec_all(
            &mut target,
            &["DROP DATABASE d", "DROP DATABASE tidelog_restore"],
        )
        .await;
        setup.restore(&["--to-gtid", &before]).success();
    }
}

/// Where a row is found by its whole image, a virtual column that differs by session cannot be
/// followed: that is said, with the column and the way out.
#[tokio::test(flavor = "multi_thread")]
async fn local_times_in_rows_without_a_key_are_refused() {
    for flavor in FLAVORS {
        let setup = Zone::Utc.setup(flavor).await;
        let mut conn = setup.source.conn().await;
        exec_all(
            &mut conn,
            &[
                "CREATE DATABASE d",
                "CREATE TABLE d.k (ts TIMESTAMP NULL, local INT AS (HOUR(ts)) VIRTUAL)",
                "INSERT INTO d.k (ts) VALUES (FROM_UNIXTIME(1792888200))",
            ],
        )
        .await;
        setup.base().await;
        exec_all(&mut conn, &["SET time_zone = '+05:30'", "DELETE FROM d.k"]).await;
        setup.capture();
        let restored = setup.restore(&["--latest"]);
        if logs_no_local_times(&setup) {
            // The row is found by the cells that are logged.
            restored.success();
            let mut target = setup.target.conn().await;
            let count: i64 = query_one(&mut target, "SELECT COUNT(*) FROM d.k").await;
            assert_eq!(count, 0, "the row is gone");
        } else {
            restored.refused(1, &["virtual_columns=local", "d.k", "primary key"]);
        }
    }
}
