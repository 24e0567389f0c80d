//! The main job over S3: init, service with first base, restore, verify, on a real S3 server.

use crate::support::fingerprint::{assert_same, fingerprint};
use crate::support::sql::{exec_all, query};
use crate::support::{cli, s3, start_all};
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_on_s3_restores_the_source() {
    let server = s3::start();
    let environment = server.environment();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let spec = || ServerSpec::new(Flavor::MariaDb);
    let [source, target] = start_all([spec(), spec()]).await;
    let mut conn = source.conn().await;
    exec_all(
        &mut conn,
        &[
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY, body TEXT)",
            "INSERT INTO d.t SELECT seq, REPEAT('größe ', seq MOD 50) FROM d.seq_1_to_5000",
        ],
    )
    .await;
    let (repo, url) = (server.url("db1"), source.account_url());
    let run = |args: &[&str]| cli::run_with(args, &environment);
    run(&["init", "--repo", &repo]).success();
    let service = cli::spawn_with(
        &[
            "run",
            "--source",
            &url,
            "--repo",
            &repo,
            "--seal-interval-ms",
            "300",
        ],
        &environment,
    );
    let mut based = false;
    for _ in 0..300 {
        let status = run(&["status", "--json", "--repo", &repo]);
        based = status.ok() && !status.json()["restorable_from"].is_null();
        if based {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(based, "no base after half a minute");
    exec_all(
        &mut conn,
        &[
            "UPDATE d.t SET body = 'x' WHERE id < 100",
            "DELETE FROM d.t WHERE id > 4900",
        ],
    )
    .await;
    service.terminate();
    run(&["capture", "--once", "--source", &url, "--repo", &repo]).success();
    run(&["verify", "--full", "--repo", &repo]).success();
    run(&[
        "restore",
        "--latest",
        "--repo",
        &repo,
        "--target",
        &target.account_url(),
    ])
    .success();
    let expected = fingerprint(&mut conn, &["d"]).await;
    let found = fingerprint(&mut target.conn().await, &["d"]).await;
    assert_same(&expected, &found, "restored from S3");
    let rows: Vec<i64> = query(&mut conn, "SELECT COUNT(*) FROM d.t").await;
    assert_eq!(rows, [4900]);
}
