//! The traps of docs/TRAPS.md that want a server: each has its number in its name.
//!
//! Most are a [`Trap`]: statements before the base and statements after it, in a database of their
//! own. Each flavor gets all of its traps on one source; everything is restored from the base, and
//! again from the base and what came after it, and every cell is compared.

use crate::support::Setup;
use crate::support::sql::exec;
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

mod images;
mod json;
mod partial;
mod releases;
mod stream;
mod synthesized;
mod transactions;
mod values;

/// One trap as a script.
struct Trap {
    /// Its database.
    database: &'static str,
    /// Makes tables and rows, before the base.
    before: Vec<String>,
    /// Changes rows, after the base.
    after: Vec<String>,
}

impl Trap {
    fn new(database: &'static str, before: &[&str], after: &[&str]) -> Trap {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        Trap {
            database,
            before: owned(before),
            after: owned(after),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traps_of_both_flavors_on_mysql() {
    let mut traps = shared(Flavor::MySql);
    traps.extend([
        json::trap_41_empty_documents(),
        json::trap_42_offsets_of_both_sizes(),
        json::trap_43_44_differences_of_documents(),
        images::trap_37_51_hidden_columns_of_functional_indexes(),
        images::trap_53_generated_primary_keys(),
        images::trap_54_instant_columns(),
        stream::trap_73_74_75_order_inside_payloads(),
        transactions::trap_113_114_tagged_and_empty_transactions(),
    ]);
    let source = ServerSpec::new(Flavor::MySql).option("--binlog-row-event-max-size=512");
    round_trip(source, ServerSpec::new(Flavor::MySql), &traps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traps_of_both_flavors_on_mariadb() {
    let mut traps = shared(Flavor::MariaDb);
    traps.extend([
        values::trap_16_old_temporal_types(),
        json::trap_45_json_is_text(),
        images::trap_52_hashes_of_long_keys(),
        images::trap_55_system_versioned_history(),
        images::trap_56_sequences(),
        stream::trap_75_76_compressed_events(),
        transactions::trap_96_rollbacks_that_leave_rows(),
        transactions::trap_106_111_domains_and_servers(),
    ]);
    let source = ServerSpec::new(Flavor::MariaDb).option("--binlog-row-event-max-size=512");
    round_trip(source, ServerSpec::new(Flavor::MariaDb), &traps).await;
}

fn shared(flavor: Flavor) -> Vec<Trap> {
    let mut traps = values::shared(flavor);
    traps.extend(images::shared());
    traps.extend(stream::shared());
    traps.extend(transactions::shared());
    traps
}

/// Plays the traps on a source and compares what a restore gives with it, from the base alone and
/// with what came after it.
async fn round_trip(source: ServerSpec, target: ServerSpec, traps: &[Trap]) {
    let setup = Setup::of(source, target).await;
    for trap in traps {
        let mut conn = setup.source.conn().await;
        exec(&mut conn, format!("CREATE DATABASE {}", trap.database)).await;
        play(&mut conn, trap, &trap.before).await;
    }
    setup.base().await;
    setup.restore(&["--latest"]).success();
    for trap in traps {
        let what = format!("{} from the base", trap.database);
        setup.compare(&[trap.database], &what).await;
        setup.drop_on_target(&[trap.database]).await;
    }
    for trap in traps {
        play(&mut setup.source.conn().await, trap, &trap.after).await;
    }
    setup.capture();
    setup.restore(&["--latest"]).success();
    for trap in traps {
        let what = format!("{} from the changes", trap.database);
        setup.compare(&[trap.database], &what).await;
    }
}

async fn play(conn: &mut mysql_async::Conn, trap: &Trap, statements: &[String]) {
    exec(conn, format!("USE {}", trap.database)).await;
    for statement in statements {
        exec(conn, statement).await;
    }
}
