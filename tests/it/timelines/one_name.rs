//! A failover behind the one name that a running capture knows.

use super::{insert, replicated, restores, seq_last, state, status, stop_replica_at};
use crate::support::server::FLAVORS;
use crate::support::sql::exec;
use crate::support::{Setup, cli};
use mysql_async::Conn;
use std::time::Duration;
use tidelog::position::Flavor;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A port that leads to another; when that changes, its connections end.
async fn name(port: &watch::Sender<u16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = listener.local_addr().expect("an address").port();
    let leads_to = port.subscribe();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut leads_to = leads_to.clone();
            let to = *leads_to.borrow_and_update();
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)).await else {
                    return;
                };
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    _ = leads_to.changed() => {}
                }
            });
        }
    });
    own
}

fn role(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => "source",
        Flavor::MariaDb => "master",
    }
}

/// Lets commits wait for tidelog.
async fn wait_for_acknowledgements(conn: &mut Conn, flavor: Flavor) {
    let role = role(flavor);
    if flavor == Flavor::MySql {
        let install = "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'";
        exec(conn, install).await;
    }
    for (name, value) in [
        ("timeout", "3600000"),
        ("wait_point", "AFTER_SYNC"),
        ("enabled", "ON"),
    ] {
        exec(
            conn,
            format!("SET GLOBAL rpl_semi_sync_{role}_{name} = {value}"),
        )
        .await;
    }
}

fn transactions(setup: &Setup) -> i64 {
    let all = status(setup)["timelines"][0]["transactions"].as_i64();
    all.expect("a number of transactions")
}

async fn wait_for(setup: &Setup, wanted: i64) {
    for _ in 0..600 {
        if transactions(setup) >= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} transactions of {wanted}", transactions(setup));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_a_running_capture_follows_a_failover_with_its_spool() {
    for flavor in FLAVORS {
        let (setup, mut primary, mut replica) = replicated(flavor).await;
        wait_for_acknowledgements(&mut primary, flavor).await;
        let leads_to = watch::Sender::new(setup.source.port());
        let port = name(&leads_to).await.to_string();
        let url = setup.source.account_url();
        let url = url.replace(&setup.source.port().to_string(), &port);
        let folder = tempfile::tempdir().expect("a folder");
        let spool = folder.path().display().to_string();
        let before = transactions(&setup);
        let args = ["capture", "--source", &url, "--repo", &setup.repo];
        let more = ["--durability", "spool", "--spool-dir", &spool];
        let seals = ["--semi-sync", "--seal-interval-ms", "500"];
        let service = cli::spawn(&[&args[..], &more[..], &seals[..]].concat());
        insert(&mut primary, 3..6).await;
        wait_for(&setup, before + 3).await;
        stop_replica_at(&mut replica, flavor, 6).await;

        // What we lack is not all in the newest file.
        insert(&mut replica, 6..8).await;
        exec(&mut replica, "FLUSH BINARY LOGS").await;
        insert(&mut replica, 8..9).await;
        wait_for_acknowledgements(&mut replica, flavor).await;
        leads_to.send_replace(setup.target.port());
        insert(&mut replica, 9..12).await;
        wait_for(&setup, before + 9).await;
        service.terminate();
        let status = status(&setup);
        let timelines = status["timelines"].as_array().expect("timelines");
        assert_eq!(timelines.len(), 1, "{status}");
        let sources = timelines[0]["sources"].as_array().expect("sources");
        assert_eq!(sources.len(), 2, "{status}");
        // The target of the restore has nobody to wait for.
        let off = format!("SET GLOBAL rpl_semi_sync_{}_enabled = OFF", role(flavor));
        exec(&mut primary, off).await;
        let (last, newest) = (seq_last(&setup), state(&setup.target).await);
        restores(&setup, &setup.source, &["--to-seq", &last], &newest).await;
    }
}
