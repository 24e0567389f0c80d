//! From an endpoint to a connection that takes commands: connect, handshake, TLS, authentication.
//!
//! Formats: MySQL manual, "Connection Phase" (handshake version 10). The scrambles are
//! `mysql_common`'s; which plugins may be used at all is decided here: never one that shows the
//! password to the server or to the network.

use super::classify::server_error;
use super::packet::{self, Reader, ServerError, malformed, put_lenenc_bytes};
use super::public_key;
use super::tls;
use super::wire::{Stream, Wire};
use super::{Endpoint, SslMode};
use crate::error::{Error, Result, Wrap};
use crate::position::Flavor;
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context};
use mysql_common::packets::AuthPlugin;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
const PLUGIN_AUTH_LENENC: u32 = 1 << 21;

/// Wanted always; a server without them is older than either flavor's oldest supported one.
const NEEDED: u32 = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;
const UTF8MB4_GENERAL_CI: u8 = 45;
const NONCE_BYTES: usize = 20;
/// Challenges of one login: a switch and three steps of one plugin are the most that is legal.
const STEPS_MAX: usize = 8;

/// What a server says of itself when one connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Version as `SELECT VERSION()` has it.
    pub(super) version: String,
    pub(super) connection_id: u32,
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: Vec<u8>,
}

impl Greeting {
    /// Reads the first packet of a server, handshake version 10.
    fn parse(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader(packet);
        if reader.u8()? != 10 {
            return None;
        }
        let version = reader.until_nul()?;
        // MariaDB 10 prepends a version that old replicas could read.
        let version = version.strip_prefix(b"5.5.5-").unwrap_or(version);
        let connection_id = reader.u32()?;
        let mut nonce = reader.take(8)?.to_vec();
        reader.take(1)?;
        let low = reader.u16()?;
        reader.take(3)?;
        let high = reader.u16()?;
        let nonce_len = usize::from(reader.u8()?);
        reader.take(10)?;
        let rest = reader.take(nonce_len.saturating_sub(8).max(13))?;
        nonce.extend_from_slice(rest);
        nonce.truncate(NONCE_BYTES);
        Some(Greeting {
            version: String::from_utf8_lossy(version).into_owned(),
            connection_id,
            capabilities: u32::from(high) << 16 | u32::from(low),
            nonce,
            plugin: reader.until_nul().unwrap_or(reader.0).to_vec(),
        })
    }

    pub(super) fn flavor(&self) -> Flavor {
        match self.version.to_ascii_lowercase().contains("mariadb") {
            true => Flavor::MariaDb,
            false => Flavor::MySql,
        }
    }

    fn offers(&self, capability: u32) -> bool {
        self.capabilities & capability != 0
    }
}

/// Connects, encrypts as the endpoint asks and logs in, all within `timeout`.
///
/// # Errors
/// `Config` for a wrong password, certificate or plugin; `Unavailable` when the server does not
/// answer.
pub(super) async fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<(Wire, Greeting)> {
    let login = Box::pin(login(endpoint, timeout));
    let Ok(done) = tokio::time::timeout(timeout, login).await else {
        return Err(Error::unavailable("connect to server: no answer")
            .field("endpoint", endpoint.address())
            .field("timeout_ms", timeout.as_millis()));
    };
    done.map_err(|error| {
        error
            .field("endpoint", endpoint.address())
            .field("user", &endpoint.user)
    })
}

async fn login(endpoint: &Endpoint, timeout: Duration) -> Result<(Wire, Greeting)> {
    let unreachable = || Error::unavailable("connect to server");
    let stream: Box<dyn Stream> = match &endpoint.socket {
        Some(path) => Box::new(UnixStream::connect(path).await.wrap(unreachable)?),
        None => {
            let address = (endpoint.host.as_str(), endpoint.port);
            let stream = TcpStream::connect(address).await.wrap(unreachable)?;
            stream.set_nodelay(true).wrap(unreachable)?;
            Box::new(stream)
        }
    };
    let mut wire = Wire::new(stream, timeout);
    let greeting = greet(&mut wire).await?;
    let encrypted = wants_tls(endpoint, &greeting)?;
    let capabilities = client_capabilities(&greeting, encrypted);
    let mut head = capabilities.to_le_bytes().to_vec();
    head.extend_from_slice(&(1_u32 << 30).to_le_bytes());
    head.push(UTF8MB4_GENERAL_CI);
    head.extend_from_slice(&[0; 23]);
    if encrypted {
        wire.send(&head).await?;
        let (stream, sequence) = wire.into_stream()?;
        let stream = tls::encrypt(stream, endpoint).await?;
        wire = Wire::resume(stream, timeout, sequence);
    }
    let mut exchange = Exchange {
        endpoint,
        encrypted,
        nonce: Vec::new(),
        plugin: Plugin::named(&greeting.plugin).ok(),
    };
    // An unusable default plugin is no obstacle: the server then switches to the account's own.
    let (name, response) = match exchange.plugin {
        None => (&b"mysql_native_password"[..], Vec::new()),
        Some(_) => {
            let first = exchange.step(&greeting.nonce)?;
            (greeting.plugin.as_slice(), first.unwrap_or_default())
        }
    };
    let response = handshake_response(head, capabilities, endpoint, name, &response);
    wire.send(&response).await?;
    exchange.finish(&mut wire).await?;
    Ok((wire, greeting))
}

async fn greet(wire: &mut Wire) -> Result<Greeting> {
    let packet = wire.next().await?;
    if packet.first() == Some(&packet::ERR) {
        let error = ServerError::parse(&packet);
        return Err(server_error("connect to server", &error));
    }
    let greeting = Greeting::parse(&packet).ok_or_else(|| malformed("read server greeting"))?;
    if greeting.capabilities & NEEDED != NEEDED || greeting.nonce.len() != NONCE_BYTES {
        return Err(Error::incompatible("connect to server: it is too old")
            .field("version", &greeting.version)
            .hint("MySQL 5.7 or MariaDB 10.4 are the oldest that can be read"));
    }
    Ok(greeting)
}

fn wants_tls(endpoint: &Endpoint, greeting: &Greeting) -> Result<bool> {
    if endpoint.socket.is_some() {
        return Ok(false);
    }
    match (endpoint.ssl_mode, greeting.offers(SSL)) {
        (SslMode::Disabled, _) | (SslMode::Preferred, false) => Ok(false),
        (_, true) => Ok(true),
        (mode, false) => Err(
            Error::config("encrypt connection: the server offers no TLS")
                .field("ssl_mode", mode.name())
                .hint(
                    "give the server a certificate (ssl_cert, ssl_key), or use ssl-mode=preferred",
                ),
        ),
    }
}

fn client_capabilities(greeting: &Greeting, encrypted: bool) -> u32 {
    let optional = greeting.capabilities & (CONNECT_ATTRS | PLUGIN_AUTH_LENENC | LONG_FLAG);
    let ssl = if encrypted { SSL } else { 0 };
    NEEDED | LONG_PASSWORD | TRANSACTIONS | optional | ssl
}

fn handshake_response(
    head: Vec<u8>,
    capabilities: u32,
    endpoint: &Endpoint,
    plugin: &[u8],
    response: &[u8],
) -> Vec<u8> {
    let mut out = head;
    out.extend_from_slice(endpoint.user.as_bytes());
    out.push(0);
    // No plugin here answers with 251 bytes or more in its first step, so both length formats agree.
    put_lenenc_bytes(&mut out, response);
    out.extend_from_slice(plugin);
    out.push(0);
    if capabilities & CONNECT_ATTRS != 0 {
        let mut attributes = Vec::new();
        for (key, value) in [
            ("_client_name", "tidelog"),
            ("_client_version", env!("CARGO_PKG_VERSION")),
            ("program_name", "tidelog"),
        ] {
            put_lenenc_bytes(&mut attributes, key.as_bytes());
            put_lenenc_bytes(&mut attributes, value.as_bytes());
        }
        put_lenenc_bytes(&mut out, &attributes);
    }
    out
}

/// One login's questions and answers.
struct Exchange<'a> {
    endpoint: &'a Endpoint,
    encrypted: bool,
    nonce: Vec<u8>,
    plugin: Option<Plugin>,
}

struct Plugin {
    proc: AuthProc,
    nonce_bytes: usize,
}

impl Plugin {
    fn named(name: &[u8]) -> Result<Plugin> {
        let (plugin, nonce_bytes) = match name {
            b"mysql_native_password" => (AuthPlugin::MysqlNativePassword, NONCE_BYTES),
            b"caching_sha2_password" => (AuthPlugin::CachingSha2Password, NONCE_BYTES),
            b"client_ed25519" => (AuthPlugin::Ed25519, 32),
            _ => {
                let name = String::from_utf8_lossy(name);
                return Err(Error::config("log in: authentication plugin refused")
                    .field("plugin", name)
                    .hint(
                        "check the user name (MySQL answers like this for unknown ones, too), or give \
                         the account caching_sha2_password, mysql_native_password or ed25519; \
                         plugins that send the password in clear are never used",
                    ));
            }
        };
        let proc = AuthProc::init(&plugin).wrap(|| Error::internal("start login"))?;
        Ok(Plugin { proc, nonce_bytes })
    }
}

impl Context for &Exchange<'_> {
    fn pass(&self) -> &[u8] {
        self.endpoint.password.reveal().as_bytes()
    }

    fn is_ipc_transport(&self) -> bool {
        self.endpoint.socket.is_some()
    }

    fn is_tls_transport(&self) -> bool {
        self.encrypted
    }

    fn scramble(&self) -> &[u8] {
        &self.nonce
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

impl Exchange<'_> {
    /// Answers one challenge of the plugin; the first one is its nonce. `None`: nothing to send.
    fn step(&mut self, challenge: &[u8]) -> Result<Option<Vec<u8>>> {
        let bad = || malformed("log in: bad challenge");
        let mut plugin = self.plugin.take().ok_or_else(bad)?;
        let mut challenge = challenge;
        let key;
        if self.nonce.is_empty() {
            // A nonce may be followed by a NUL.
            challenge = challenge.get(..plugin.nonce_bytes).ok_or_else(bad)?;
            self.nonce = challenge.to_vec();
        } else if challenge.len() > 1 {
            let password_bytes = self.endpoint.password.reveal().len();
            key = public_key::checked(challenge, password_bytes)?;
            challenge = key.as_bytes();
        }
        let response = plugin.proc.run(&*self, challenge).wrap(bad)?;
        self.plugin = Some(plugin);
        Ok(response.data().map(<[u8]>::to_vec))
    }

    /// Goes on until the server says yes or no.
    async fn finish(&mut self, wire: &mut Wire) -> Result<()> {
        const WHAT: &str = "log in";
        let mut switched = false;
        for _ in 0..STEPS_MAX {
            let packet = wire.next().await?;
            let mut reader = Reader(&packet);
            match reader.u8() {
                Some(packet::OK) => return Ok(()),
                Some(packet::ERR) => return Err(server_error(WHAT, &ServerError::parse(&packet))),
                Some(packet::AUTH_MORE) => {
                    if let Some(response) = self.step(reader.0)? {
                        wire.send(&response).await?;
                    }
                }
                Some(packet::EOF) if !switched => {
                    switched = true;
                    let name = match reader.0.is_empty() {
                        true => b"mysql_old_password",
                        false => reader.until_nul().ok_or_else(|| malformed(WHAT))?,
                    };
                    self.plugin = Some(Plugin::named(name)?);
                    self.nonce.clear();
                    let response = self.step(reader.0)?;
                    wire.send(&response.unwrap_or_default()).await?;
                }
                _ => return Err(malformed(WHAT)),
            }
        }
        Err(malformed(WHAT))
    }
}

#[cfg(test)]
mod tests;
