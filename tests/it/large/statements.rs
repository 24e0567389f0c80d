//! The text of statements: MariaDB logs it with rows, MySQL where it is told to, and it may be many
//! times the size of the rows.

use super::{LIMITS, MIB, PEAK_MAX, peak};
use crate::support::Setup;
use crate::support::cli;
use crate::support::server::FLAVORS;
use crate::support::sql::exec;
use mysql_async::Conn;
use tidelog::position::Flavor;
use tidelog::service::throwaway::ServerSpec;

/// Text that does not compress to less than half of it.
struct Noise(u64);

impl Noise {
    fn hex(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.push_str(&format!("{:08x}", self.0 >> 32));
        }
        text
    }
}

/// A source that logs the text, and one that does not care.
pub(super) async fn servers(flavor: Flavor) -> (Setup, Conn) {
    let spec = || ServerSpec::new(flavor).option("--max-allowed-packet=64M");
    let source = match flavor {
        Flavor::MySql => spec().option("--binlog-rows-query-log-events=ON"),
        Flavor::MariaDb => spec(),
    };
    let setup = Setup::of(source, spec()).await;
    let mut conn = setup.source.conn().await;
    exec(&mut conn, "CREATE DATABASE d").await;
    exec(&mut conn, "CREATE TABLE d.t (id INT PRIMARY KEY, v INT)").await;
    setup.base().await;
    (setup, conn)
}

/// One transaction of so many statements, each with so much text and one row.
pub(super) async fn write(conn: &mut Conn, statements: usize, bytes: usize) {
    let mut noise = Noise(bytes as u64);
    exec(conn, "BEGIN").await;
    for id in 0..statements {
        let text = noise.hex(bytes);
        exec(
            conn,
            format!("INSERT INTO d.t VALUES ({id}, 1) /* {text} */"),
        )
        .await;
    }
    exec(conn, "COMMIT").await;
}

/// Many times the text that memory may hold, received, sealed and restored; and rebuilt by
/// `verify --full`, which compares nothing that it has not read.
#[tokio::test(flavor = "multi_thread")]
async fn statements_larger_than_memory_are_sealed_in_parts() {
    for flavor in FLAVORS {
        let (setup, mut conn) = servers(flavor).await;
        write(&mut conn, 480, 200 << 10).await;
        exec(&mut conn, "INSERT INTO d.t VALUES (-1, 1)").await;
        let url = setup.source.account_url();
        let mut args = vec!["capture", "--once", "--source", &url, "--repo", &setup.repo];
        args.extend(LIMITS);
        let captured = peak(cli::spawn(&args)).await;
        assert!(captured.status.success(), "{flavor}: {}", captured.status);
        println!("{flavor}: statements in {} MiB", captured.peak / MIB);
        assert!(captured.peak < PEAK_MAX, "{flavor}: {}", captured.peak);
        let verified = cli::run(&["verify", "--full", "--json", "--repo", &setup.repo]);
        let events = verified.success().json()["events"].as_u64();
        assert!(
            events > Some(480 * 3),
            "{flavor}: {events:?} events rebuilt"
        );
        let texts = parts(&setup);
        assert!(texts > 8, "{flavor}: text in {texts} files");
        setup.restore(&["--latest"]).success();
        setup.compare(&["d"], &format!("{flavor}: much text")).await;
    }
}

/// Files of statements in the repository.
fn parts(setup: &Setup) -> usize {
    let segments = setup.scratch("repo/timelines/0001/segments");
    let folders = std::fs::read_dir(segments).expect("segments");
    let files = folders.flat_map(|folder| {
        let folder = folder.expect("a folder").path();
        std::fs::read_dir(folder).expect("a segment")
    });
    let names = files.map(|file| file.expect("a file").file_name());
    let texts = names.filter(|name| name.to_string_lossy().starts_with("statements"));
    texts.count()
}
