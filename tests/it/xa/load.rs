//! XA transactions under load: bases are taken and moments noted while many are prepared, at
//! any step of others.

use super::*;
use crate::end_to_end::seed;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::RwLock;

const CLIENTS: u64 = 4;
const MOMENTS: u64 = 8;

/// What the clients share.
#[derive(Clone, Default)]
struct Load {
    /// Held while a statement runs; whoever writes it sees a source at rest.
    gate: Arc<RwLock<()>>,
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn bases_and_moments_amid_xa_transactions_are_exact() {
    for flavor in FLAVORS {
        let seed = seed();
        println!("{flavor}: TIDELOG_TEST_SEED={seed}");
        let setup = Setup::new(flavor, &[]).await;
        exec_all(&mut setup.source.conn().await, &TABLES).await;
        // The log begins before the first XA PREPARE.
        setup.capture();
        let load = Load::default();
        let clients = (0..CLIENTS).map(|client| {
            let opts = setup.source.opts(ACCOUNT, PASSWORD);
            tokio::spawn(work(load.clone(), opts, client, seed))
        });
        let clients: Vec<_> = clients.collect();
        let url = setup.source.account_url();
        let service = cli::spawn(&[
            "run",
            "--source",
            &url,
            "--repo",
            &setup.repo,
            "--seal-interval-ms",
            "300",
        ]);
        setup.wait_for_base().await;
        let mut moments = Vec::new();
        for number in 0..MOMENTS {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let rest = load.gate.write().await;
            moments.push(now(&setup, &format!("moment {number}")).await);
            drop(rest);
            if number % 2 == 1 {
                tokio::task::block_in_place(|| snapshot(&setup));
            }
        }
        load.stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.expect("client");
        }
        moments.push(now(&setup, "the end").await);
        service.terminate();
        setup.capture();
        let committed = load.committed.load(Ordering::Relaxed);
        println!("{flavor}: {committed} XA transactions committed");
        assert!(committed > 100, "hardly any load");
        let open = setup.open_xa_of_bases();
        println!("{flavor}: prepared while each base was taken: {open:?}");
        assert!(open.iter().sum::<usize>() > 0, "no base amid a transaction");
        compare_all(&setup, &moments, "under load").await;
        cli::run(&["verify", "--full", "--repo", &setup.repo]).success();
    }
}

/// One client: prepares, waits a little, decides; a lock that is not got ends a transaction.
async fn work(load: Load, opts: mysql_async::Opts, client: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ client.wrapping_mul(0x9e37_79b9));
    let mut conn = mysql_async::Conn::new(opts).await.expect("connect");
    for statement in [
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET SESSION innodb_lock_wait_timeout = 1",
    ] {
        exec(&mut conn, statement).await;
    }
    for number in 0.. {
        if load.stop.load(Ordering::Relaxed) {
            return;
        }
        let xid = format!("'{client}-{number}'");
        if !changes(&load, &mut conn, &mut random, &xid).await {
            step(&load, &mut conn, &format!("XA END {xid}")).await;
            step(&load, &mut conn, &format!("XA ROLLBACK {xid}")).await;
            continue;
        }
        let pause = random.random_range(0..40);
        if random.random_bool(0.1) {
            step(&load, &mut conn, &format!("XA COMMIT {xid} ONE PHASE")).await;
            continue;
        }
        step(&load, &mut conn, &format!("XA PREPARE {xid}")).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let verb = if random.random_bool(0.75) {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        let decided = step(&load, &mut conn, &format!("XA {verb} {xid}")).await;
        if decided && verb == "COMMIT" {
            load.committed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Some changes of few rows that all clients share, up to XA END.
async fn changes(
    load: &Load,
    conn: &mut mysql_async::Conn,
    random: &mut StdRng,
    xid: &str,
) -> bool {
    let mut all = step(load, conn, &format!("XA START {xid}")).await;
    for _ in 0..random.random_range(1..5) {
        let (id, v) = (random.random_range(0..60), random.random_range(0..1_000));
        let sql = match random.random_range(0..6) {
            0 | 1 => format!("REPLACE INTO d.k VALUES ({id}, {v})"),
            2 => format!("UPDATE d.k SET v = v + 1 WHERE id = {id}"),
            3 => format!("DELETE FROM d.k WHERE id = {id}"),
            4 => format!("INSERT INTO d.h VALUES ({}, 0)", id % 5),
            _ => format!("DELETE FROM d.h WHERE n = {} LIMIT 1", id % 5),
        };
        all = all && step(load, conn, &sql).await;
    }
    all && step(load, conn, &format!("XA END {xid}")).await
}

/// Runs a statement while nobody wants the source at rest; `false` when it failed.
async fn step(load: &Load, conn: &mut mysql_async::Conn, sql: &str) -> bool {
    let _running = load.gate.read().await;
    match conn.query_drop(sql).await {
        Ok(()) => true,
        // Deadlock, lock wait, what XA makes of both, and statements in the state after them.
        Err(mysql_async::Error::Server(e))
            if matches!(e.code, 1205 | 1213 | 1397 | 1399 | 1402 | 1613 | 1614) =>
        {
            false
        }
        Err(error) => panic!("{error}\n  in: {sql}"),
    }
}
