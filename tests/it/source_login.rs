//! Logins on real servers: every authentication plugin, every ssl-mode, and each way to fail.

use mysql_async::Conn;
use tidelog::error::{ErrorKind, Result};
use tidelog::position::Flavor;
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ServerSpec};
use tidelog::source::{
    Endpoint, ReplicaConnection, ReplicaOptions, Secret, SqlClient, SqlSession, SslMode,
};
use uuid::Uuid;

use crate::support::server::{FLAVORS, TestServer};
use crate::support::sql::{exec, exec_all};
use crate::support::{start, start_all};

pub(crate) fn options() -> ReplicaOptions {
    ReplicaOptions::new(4_000_000_001, Uuid::from_u128(0xA11))
}

pub(crate) fn endpoint(server: &TestServer, user: &str, password: &str) -> Endpoint {
    server.url(user, password).parse().expect("an endpoint")
}

fn with_mode(server: &TestServer, mode: SslMode, ca: bool) -> Endpoint {
    Endpoint {
        ssl_mode: mode,
        ssl_ca: server.ca_file().filter(|_| ca).map(Into::into),
        ..endpoint(server, ACCOUNT, PASSWORD)
    }
}

/// Connects both as a replica and for SQL; returns the TLS cipher that each of them got.
async fn ciphers(endpoint: &Endpoint) -> (Result<String>, Result<String>) {
    const CIPHER: &str = "SHOW STATUS LIKE 'Ssl_cipher'";
    let replica = async {
        let mut replica = ReplicaConnection::connect(endpoint, &options()).await?;
        let rows = replica.query_rows(CIPHER).await?;
        let value = rows[0][1].clone().expect("a value");
        Ok(String::from_utf8_lossy(&value).into_owned())
    };
    let client = async {
        let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
        let rows = client.query_rows(CIPHER).await?;
        let value = rows[0][1].clone().expect("a value");
        client.close().await;
        Ok(String::from_utf8_lossy(&value).into_owned())
    };
    (replica.await, client.await)
}

async fn assert_encrypted(endpoint: &Endpoint, wanted: bool) {
    let (replica, client) = ciphers(endpoint).await;
    assert_eq!(!replica.expect("replica").is_empty(), wanted, "{endpoint}");
    assert_eq!(!client.expect("client").is_empty(), wanted, "{endpoint}");
}

/// Both kinds of connection fail as `Config`; the replica's message holds `text`.
async fn assert_refused(endpoint: &Endpoint, text: &str) {
    let (replica, client) = ciphers(endpoint).await;
    let replica = replica.expect_err("a refused replica");
    let client = client.expect_err("a refused client");
    for error in [&replica, &client] {
        let report = error.report();
        assert_eq!(error.kind(), ErrorKind::Config, "{report}");
        assert!(error.hint_text().is_some(), "{report}");
        let secret = endpoint.password.reveal();
        // The usual account's password is also its name.
        assert!(secret == ACCOUNT || !report.contains(secret), "{report}");
    }
    assert!(replica.report().contains(text), "{}", replica.report());
}

#[tokio::test]
async fn every_ssl_mode_means_what_it_says() {
    let servers = start_all(FLAVORS.map(|f| ServerSpec::new(f).tls())).await;
    for (server, other) in [(&servers[0], &servers[1]), (&servers[1], &servers[0])] {
        assert_encrypted(&with_mode(server, SslMode::Disabled, false), false).await;
        for mode in [SslMode::Preferred, SslMode::Required] {
            assert_encrypted(&with_mode(server, mode, false), true).await;
        }
        for mode in [SslMode::VerifyCa, SslMode::VerifyFull] {
            assert_encrypted(&with_mode(server, mode, true), true).await;
            // Without its own authority, by the machine's roots or by another authority.
            let untrusted = with_mode(server, mode, false);
            assert_refused(&untrusted, "authority is not trusted").await;
            let foreign = Endpoint {
                ssl_ca: other.ca_file().map(Into::into),
                ..untrusted.clone()
            };
            assert_refused(&foreign, "verify server certificate").await;
            let missing = Endpoint {
                ssl_ca: Some("/nonexistent/ca.pem".into()),
                ..untrusted
            };
            let error = ReplicaConnection::connect(&missing, &options()).await;
            assert_eq!(error.expect_err("no file").kind(), ErrorKind::Config);
        }
    }
}

/// MySQL's generated certificates name no host.
#[tokio::test]
async fn a_certificate_for_another_host_fails_only_verify_full() {
    let server = start(ServerSpec::new(Flavor::MySql)).await;
    assert_encrypted(&with_mode(&server, SslMode::Preferred, false), true).await;
    assert_encrypted(&with_mode(&server, SslMode::Required, false), true).await;
    assert_encrypted(&with_mode(&server, SslMode::VerifyCa, true), true).await;
    let full = with_mode(&server, SslMode::VerifyFull, true);
    assert_refused(&full, "it is not for this host").await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_wanted() {
    // MariaDB 11.8 has TLS without being asked.
    let server = start(ServerSpec::new(Flavor::MariaDb).option("--skip-ssl")).await;
    assert_encrypted(&with_mode(&server, SslMode::Preferred, false), false).await;
    assert_encrypted(&with_mode(&server, SslMode::Disabled, false), false).await;
    for mode in [SslMode::Required, SslMode::VerifyCa, SslMode::VerifyFull] {
        let wanted = with_mode(&server, mode, false);
        assert_refused(&wanted, "the server offers no TLS").await;
    }
}

async fn create_user(conn: &mut Conn, name: &str, how: &str) {
    exec_all(
        conn,
        &[
            &format!("CREATE USER {name}@'%' {how}"),
            &format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {name}@'%'"),
        ],
    )
    .await;
}

#[tokio::test]
async fn caching_sha2_works_by_each_of_its_ways() {
    let server = start(ServerSpec::new(Flavor::MySql)).await;
    let mut conn = server.conn().await;
    let password = "pä:ss/w%rd #1";
    for (user, mode, socket) in [
        ("over_tls", SslMode::Required, false),
        ("by_rsa", SslMode::Disabled, false),
        ("by_socket", SslMode::Preferred, true),
    ] {
        let how = format!("IDENTIFIED WITH caching_sha2_password BY '{password}'");
        create_user(&mut conn, user, &how).await;
        let endpoint = Endpoint {
            ssl_mode: mode,
            socket: socket.then(|| server.socket()),
            ..endpoint(&server, user, password)
        };
        // The first login is a full one, the second is answered from the server's cache.
        for _ in 0..2 {
            let connected = ReplicaConnection::connect(&endpoint, &options()).await;
            assert_eq!(connected.expect(user).flavor(), Flavor::MySql);
        }
        exec(&mut conn, "FLUSH PRIVILEGES").await;
        for _ in 0..2 {
            let client = SqlClient::connect(&endpoint, &SqlSession::default()).await;
            client.expect(user).close().await;
        }
        let wrong = endpoint.with_password(Secret::new("wr0ng"));
        assert_refused(&wrong, "Access denied").await;
    }
    create_user(&mut conn, "nopass", "IDENTIFIED BY ''").await;
    let empty = endpoint(&server, "nopass", "");
    ReplicaConnection::connect(&empty, &options())
        .await
        .expect("an empty password");
    // MySQL hides whether an account exists and may ask for any of its plugins.
    for name in ["nobody", "nemo", "outis"] {
        assert_refused(&endpoint(&server, name, "x-y-z"), "user").await;
    }
}

#[tokio::test]
async fn mariadb_plugins_log_in() {
    for spec in [
        ServerSpec::new(Flavor::MariaDb),
        ServerSpec::new(Flavor::MariaDb).tls(),
    ] {
        let server = start(spec).await;
        let mut conn = server.conn().await;
        exec(&mut conn, "INSTALL SONAME 'auth_ed25519'").await;
        for (user, plugin) in [("native", "mysql_native_password"), ("ed", "ed25519")] {
            let how = format!("IDENTIFIED VIA {plugin} USING PASSWORD('s3cret pass')");
            create_user(&mut conn, user, &how).await;
            for socket in [None, Some(server.socket())] {
                let endpoint = Endpoint {
                    socket,
                    ..endpoint(&server, user, "s3cret pass")
                };
                let connected = ReplicaConnection::connect(&endpoint, &options()).await;
                assert_eq!(connected.expect(user).flavor(), Flavor::MariaDb);
                let client = SqlClient::connect(&endpoint, &SqlSession::default()).await;
                client.expect(user).close().await;
                let wrong = endpoint.with_password(Secret::new("wr0ng"));
                assert_refused(&wrong, "Access denied").await;
            }
        }
        exec(&mut conn, "INSTALL SONAME 'auth_pam'").await;
        exec(&mut conn, "CREATE USER pam@'%' IDENTIFIED VIA pam").await;
        let pam = endpoint(&server, "pam", "s3cret");
        let error = ReplicaConnection::connect(&pam, &options()).await;
        let error = error.expect_err("a password in clear");
        assert_eq!(error.kind(), ErrorKind::Config, "{}", error.report());
        assert!(error.get("plugin").is_some(), "{}", error.report());
    }
}

#[tokio::test]
async fn what_is_no_server_is_told_apart() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let url = |port: u16| format!("mysql://u:hidden@127.0.0.1:{port}");
    let endpoint: Endpoint = url(port).parse().expect("an endpoint");
    let (replica, client) = ciphers(&endpoint).await;
    for error in [replica.expect_err("closed"), client.expect_err("closed")] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
        assert!(!error.report().contains("hidden"));
    }

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let endpoint: Endpoint = url(port).parse().expect("an endpoint");
    let short = ReplicaOptions {
        connect_timeout: std::time::Duration::from_millis(100),
        ..options()
    };
    let error = ReplicaConnection::connect(&endpoint, &short).await;
    assert_eq!(error.expect_err("silent").kind(), ErrorKind::Unavailable);
    let session = SqlSession {
        connect_timeout: short.connect_timeout,
        ..SqlSession::default()
    };
    let error = SqlClient::connect(&endpoint, &session).await;
    assert_eq!(error.expect_err("silent").kind(), ErrorKind::Unavailable);
}
