//! Ordinary SQL on a source or target: `mysql_async` opened from the same [`Endpoint`].

use super::classify::statement_error;
use super::tls::system_roots;
use super::{ClockOffset, Endpoint, SYSTEM_ZONE_RULE, SourceIdentity, SslMode, zone_rule};
use crate::error::{Error, Result};
use crate::position::Flavor;
use bytes::Bytes;
use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, DriverError, OptsBuilder, Row, SslOpts, Value};
use std::time::Duration;

/// Character set of a session: which bytes `SELECT` returns and how statements are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionNames {
    /// `SET NAMES utf8mb4`: everything is converted to and from UTF-8.
    #[default]
    Utf8mb4,
    /// `SET NAMES binary`: the stored bytes, whatever their character set.
    Binary,
}

/// How a session begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlSession {
    /// Character set.
    pub names: SessionNames,
    /// Sets `time_zone='+00:00'`.
    pub utc: bool,
    /// Further statements, run in order.
    pub statements: Vec<String>,
    /// Bound of connecting and logging in.
    pub connect_timeout: Duration,
}

impl Default for SqlSession {
    fn default() -> Self {
        SqlSession {
            names: SessionNames::default(),
            utc: true,
            statements: Vec::new(),
            connect_timeout: Duration::from_secs(15),
        }
    }
}

/// One SQL connection.
#[derive(Debug)]
pub struct SqlClient {
    conn: Conn,
    version: String,
}

impl SqlClient {
    /// Connects and begins the session.
    ///
    /// # Errors
    /// `Config` for a wrong password, certificate or right; `Unavailable` when the server does
    /// not answer.
    pub async fn connect(endpoint: &Endpoint, session: &SqlSession) -> Result<Self> {
        let open = Box::pin(open(endpoint));
        let described = |e: Error| {
            e.field("endpoint", endpoint.address())
                .field("user", &endpoint.user)
        };
        let conn = match tokio::time::timeout(session.connect_timeout, open).await {
            Ok(conn) => conn.map_err(described)?,
            Err(_) => {
                let error = Error::unavailable("connect to server: no answer");
                return Err(described(error));
            }
        };
        let mut client = SqlClient {
            conn,
            version: String::new(),
        };
        client
            .exec(match session.names {
                SessionNames::Utf8mb4 => "SET NAMES utf8mb4",
                SessionNames::Binary => "SET NAMES binary",
            })
            .await?;
        if session.utc {
            client.exec("SET time_zone='+00:00'").await?;
        }
        for statement in &session.statements {
            client.exec(statement).await?;
        }
        client.version = client
            .query_string("SELECT VERSION()")
            .await?
            .ok_or_else(|| Error::incompatible("read version of server"))?;
        Ok(client)
    }

    /// Flavor of the server.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        match self.version.to_ascii_lowercase().contains("mariadb") {
            true => Flavor::MariaDb,
            false => Flavor::MySql,
        }
    }

    /// Version text, for example `9.7.4` or `10.11.19-MariaDB-log`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The server's number of this connection, for `KILL`.
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.conn.id()
    }

    /// The connection itself, for prepared statements and streams; map its errors by
    /// [`sql_error`].
    pub fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Runs a statement and drops its result.
    ///
    /// # Errors
    /// As [`sql_error`] sorts them.
    pub async fn exec(&mut self, sql: &str) -> Result<()> {
        let done = self.conn.query_drop(sql).await;
        done.map_err(|e| sql_error("run statement", e).field("sql", shorten(sql)))
    }

    /// The first column of the first row as text; `None` for NULL or no row.
    ///
    /// # Errors
    /// As [`sql_error`] sorts them.
    pub async fn query_string(&mut self, sql: &str) -> Result<Option<String>> {
        let rows = self.query_rows(sql).await?;
        let value = rows.into_iter().next().and_then(|r| r.into_iter().next());
        let value = value.flatten();
        Ok(value.is_some().then(|| SqlClient::text(&value)))
    }

    /// A cell of [`query_rows`](Self::query_rows) as text; NULL is empty.
    #[must_use]
    pub fn text(cell: &Option<Bytes>) -> String {
        String::from_utf8_lossy(cell.as_deref().unwrap_or_default()).into_owned()
    }

    /// All rows of a small result by text protocol, `None` for NULL.
    ///
    /// # Errors
    /// As [`sql_error`] sorts them.
    pub async fn query_rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<Bytes>>>> {
        let rows: Result<Vec<Row>, _> = self.conn.query(sql).await;
        let rows = rows.map_err(|e| sql_error("run statement", e).field("sql", shorten(sql)))?;
        Ok(rows.into_iter().map(cells).collect())
    }

    /// Who the server is, read on this connection, which is left in the time zone `+00:00`.
    ///
    /// # Errors
    /// As [`sql_error`] sorts them, and `Incompatible` for an answer that makes no sense.
    pub async fn identity(&mut self) -> Result<SourceIdentity> {
        let rows = self.query_rows(&SourceIdentity::statement()).await?;
        let mut identity = SourceIdentity::from_rows(self.flavor(), &self.version, &rows)?;
        let rule = zone_rule(self, "SYSTEM").await?;
        identity.settings.insert(SYSTEM_ZONE_RULE.to_owned(), rule);
        Ok(identity)
    }

    /// The server's clock minus ours; `now_us` is our clock.
    ///
    /// # Errors
    /// As [`sql_error`] sorts them.
    pub async fn clock_offset(&mut self, now_us: impl Fn() -> i64) -> Result<ClockOffset> {
        let mut best: Option<ClockOffset> = None;
        for _ in 0..ClockOffset::PROBES {
            let before = now_us();
            let rows = self.query_rows(ClockOffset::STATEMENT).await?;
            let probe = ClockOffset::from_probe(before, &rows, now_us())?;
            best = Some(best.map_or(probe, |b| b.tighter(probe)));
        }
        best.ok_or_else(|| Error::internal("measure clock of server"))
    }

    /// Says good-bye; errors of that are of no interest.
    pub async fn close(self) {
        self.conn.disconnect().await.ok();
    }
}

fn cells(row: Row) -> Vec<Option<Bytes>> {
    let cell = |value| match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(Bytes::from(bytes)),
        other => Some(Bytes::from(other.as_sql(true))),
    };
    row.unwrap_raw()
        .into_iter()
        .map(|value| cell(value.unwrap_or(Value::NULL)))
        .collect()
}

/// Statements may be long and hold data: the beginning is enough to find them.
fn shorten(sql: &str) -> String {
    const CHARS: usize = 200;
    match sql.char_indices().nth(CHARS) {
        None => sql.to_owned(),
        Some((at, _)) => format!("{}...", sql.get(..at).unwrap_or_default()),
    }
}

async fn open(endpoint: &Endpoint) -> Result<Conn> {
    // One provider for the process: rustls refuses to choose when several are compiled in.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    match Conn::new(options(endpoint, true)).await {
        Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
            if endpoint.ssl_mode == SslMode::Preferred =>
        {
            let plain = Conn::new(options(endpoint, false)).await;
            plain.map_err(|e| sql_error("connect to server", e))
        }
        done => done.map_err(|e| sql_error("connect to server", e)),
    }
}

fn options(endpoint: &Endpoint, encrypted: bool) -> OptsBuilder {
    let tls = match (&endpoint.socket, encrypted) {
        (None, true) => ssl_options(endpoint),
        _ => None,
    };
    let password = endpoint.password.reveal();
    let socket = endpoint.socket.as_ref();
    OptsBuilder::default()
        .ip_or_hostname(endpoint.host.as_str())
        .tcp_port(endpoint.port)
        .socket(socket.map(|p| p.to_string_lossy().into_owned()))
        .prefer_socket(false)
        .user(Some(endpoint.user.as_str()))
        .pass((!password.is_empty()).then_some(password))
        .ssl_opts(tls)
        .stmt_cache_size(64)
        .tcp_nodelay(true)
        // Given, so that the driver does not ask the server for them by statements of its own.
        .max_allowed_packet(Some(1 << 30))
        .wait_timeout(Some(28_800))
}

fn ssl_options(endpoint: &Endpoint) -> Option<SslOpts> {
    let mut tls = SslOpts::default();
    if let (Some(cert), Some(key)) = (&endpoint.ssl_cert, &endpoint.ssl_key) {
        let identity = ClientIdentity::new(cert.clone().into(), key.clone().into());
        tls = tls.with_client_identity(Some(identity));
    }
    let roots = |tls: SslOpts| {
        let tls = tls.with_disable_built_in_roots(true);
        match &endpoint.ssl_ca {
            Some(path) => tls.with_root_certs(vec![path.clone().into()]),
            None => tls.with_root_certs(system_roots().map(|c| c.to_vec().into()).collect()),
        }
    };
    match endpoint.ssl_mode {
        SslMode::Disabled => None,
        SslMode::Preferred | SslMode::Required => Some(tls.with_danger_accept_invalid_certs(true)),
        SslMode::VerifyFull => Some(roots(tls)),
        // The driver means to let a wrong name pass when asked to, but looks for this word in a
        // text of rustls that no longer has it, except as the name that was expected. The chain is
        // checked first in either case, so should this change again, the connection is refused.
        SslMode::VerifyCa => Some(
            roots(tls)
                .with_danger_skip_domain_validation(true)
                .with_danger_tls_hostname_override(Some("NotValidForName")),
        ),
    }
}

/// Sorts an error of the driver; `what` is "verb object".
#[must_use]
pub fn sql_error(what: &'static str, error: mysql_async::Error) -> Error {
    use mysql_async::Error as E;
    match error {
        E::Server(error) => statement_error(what, error.code, &error.message),
        E::Io(mysql_async::IoError::Tls(error)) => Error::config(what).source(error).hint(
            "the server's certificate is not accepted: check ssl-ca and the host name, or choose \
             another ssl-mode",
        ),
        E::Io(mysql_async::IoError::Io(error)) => match tls_cause(&error) {
            Some(true) => Error::config(what).source(error).hint(
                "the server's certificate is not accepted: check ssl-ca and the host name, or \
                 choose another ssl-mode",
            ),
            _ => Error::unavailable(what).source(error),
        },
        E::Driver(error) => {
            let made = match error {
                DriverError::ConnectionClosed => Error::unavailable(what),
                DriverError::PacketTooLarge => {
                    Error::config(what).hint("raise max_allowed_packet of the server")
                }
                DriverError::NoClientSslFlagFromServer => Error::config(what).hint(
                    "the server offers no TLS: give it a certificate, or use ssl-mode=preferred",
                ),
                DriverError::UnknownAuthPlugin { .. }
                | DriverError::MysqlOldPasswordDisabled
                | DriverError::CleartextPluginDisabled => Error::config(what).hint(
                    "check the user name (MySQL answers like this for unknown ones, too), or give \
                     the account caching_sha2_password, mysql_native_password or ed25519",
                ),
                DriverError::NoKeyFound => Error::config(what).hint("give a PEM file by ssl-key"),
                _ => Error::internal(what),
            };
            made.source(error)
        }
        E::Url(error) => Error::config(what).source(error),
        E::Other(error) => Error::internal(what).source(error),
    }
}

fn tls_cause(error: &std::io::Error) -> Option<bool> {
    let inner = error.get_ref()?;
    Some(inner.downcast_ref::<rustls::Error>().is_some())
}
