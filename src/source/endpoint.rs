//! Where a server is, who connects and how the connection is encrypted.
//!
//! Text form: `mysql://user[:password]@host:port/?ssl-mode=verify-full&ssl-ca=PATH`. A password
//! works inside the URL but is never printed: `Display` and `Debug` leave it out.

use crate::error::{Error, Result};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const HINT: &str = "write mysql://USER@HOST:PORT/?ssl-mode=MODE&ssl-ca=PATH (or ?socket=PATH) and \
                    percent-encode special characters; keys: ssl-mode, ssl-ca, ssl-cert, ssl-key, socket";

/// A secret text; neither `Debug` nor `Display` print it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The secret itself: for the wire only, never for a message.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How a TCP connection is encrypted, named as in the MySQL clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SslMode {
    /// Never encrypted.
    Disabled,
    /// Encrypted where the server offers it, not verified; plain only where it offers none.
    #[default]
    Preferred,
    /// Encrypted or nothing; the certificate is not verified.
    Required,
    /// Encrypted, and the certificate chain leads to `ssl-ca` (or to a root of the system).
    VerifyCa,
    /// As `VerifyCa`, and the certificate names this host.
    VerifyFull,
}

impl SslMode {
    /// Name as in the URL and in option files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SslMode::Disabled => "disabled",
            SslMode::Preferred => "preferred",
            SslMode::Required => "required",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for SslMode {
    type Err = Error;

    /// Reads `verify-ca` as well as `VERIFY_CA`; `verify-identity` is MySQL's name of `verify-full`.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "disabled" => SslMode::Disabled,
            "preferred" => SslMode::Preferred,
            "required" => SslMode::Required,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" | "verify-identity" => SslMode::VerifyFull,
            _ => {
                return Err(Error::config("parse ssl-mode")
                    .field("text", text)
                    .hint("write disabled, preferred, required, verify-ca or verify-full"));
            }
        })
    }
}

/// A server, the user who connects to it, and the encryption wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address (an IPv6 address without brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password; empty for none.
    pub password: Secret,
    /// Unix socket, used instead of TCP where given.
    pub socket: Option<PathBuf>,
    /// Encryption of a TCP connection; a unix socket is never encrypted.
    pub ssl_mode: SslMode,
    /// PEM file of trusted authorities; the system's roots where absent.
    pub ssl_ca: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub ssl_cert: Option<PathBuf>,
    /// PEM file of the client's private key.
    pub ssl_key: Option<PathBuf>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint {
            host: "localhost".to_owned(),
            port: 3306,
            user: String::new(),
            password: Secret::default(),
            socket: None,
            ssl_mode: SslMode::default(),
            ssl_ca: None,
            ssl_cert: None,
            ssl_key: None,
        }
    }
}

impl Endpoint {
    /// The same endpoint with another password (from the environment or a file).
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> Self {
        self.password = password;
        self
    }

    /// `host:port` or the socket's path, for error fields and logs.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.socket {
            Some(path) => path.display().to_string(),
            None if self.host.contains(':') => format!("[{}]:{}", self.host, self.port),
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// Checks that the parts fit together; called by every way an endpoint is made from text.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) without a user, with half a client
    /// certificate, or with a mode that needs encryption on a unix socket.
    pub fn validate(self) -> Result<Self> {
        let bad = |what: &'static str, hint: &'static str| {
            Err(Error::config(what)
                .field("endpoint", self.address())
                .hint(hint))
        };
        if self.user.is_empty() {
            return bad("find user of endpoint", HINT);
        }
        if self.ssl_cert.is_some() != self.ssl_key.is_some() {
            return bad(
                "find client certificate of endpoint",
                "give ssl-cert and ssl-key together",
            );
        }
        let encrypted = !matches!(self.ssl_mode, SslMode::Disabled | SslMode::Preferred);
        if self.socket.is_some() && encrypted {
            return bad(
                "encrypt unix socket",
                "a unix socket does not leave the machine: drop ssl-mode, or connect by host and port",
            );
        }
        Ok(self)
    }

    fn set_query_key(&mut self, key: &str, value: &str) -> Result<()> {
        let path = || Some(PathBuf::from(value));
        match key {
            "ssl-mode" => self.ssl_mode = value.parse()?,
            "ssl-ca" => self.ssl_ca = path(),
            "ssl-cert" => self.ssl_cert = path(),
            "ssl-key" => self.ssl_key = path(),
            "socket" => self.socket = path(),
            _ => {
                return Err(Error::config("read endpoint: unknown key")
                    .field("key", key)
                    .hint(HINT));
            }
        }
        Ok(())
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The text may hold a password, so no error repeats any of it.
        let bad = |what: &'static str| Error::config(what).hint(HINT);
        let rest = text
            .strip_prefix("mysql://")
            .or_else(|| text.strip_prefix("mariadb://"))
            .ok_or_else(|| bad("parse endpoint: it does not begin with mysql://"))?;
        let (authority, tail) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let tail = tail.strip_prefix('/').unwrap_or(tail);
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        if !path.is_empty() {
            return Err(bad("parse endpoint: it names a database"));
        }
        let mut endpoint = Endpoint::default();
        let host = match authority.rsplit_once('@') {
            None => authority,
            Some((who, host)) => {
                let (user, password) = who.split_once(':').unwrap_or((who, ""));
                endpoint.user = decode(user)?;
                endpoint.password = Secret::new(decode(password)?);
                host
            }
        };
        let (host, port) = split_port(host).ok_or_else(|| bad("parse endpoint: bad address"))?;
        if let Some(port) = port {
            endpoint.port = port;
        }
        if !host.is_empty() {
            endpoint.host = decode(host)?;
        }
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            endpoint.set_query_key(&decode(key)?, &decode(value)?)?;
        }
        endpoint.validate()
    }
}

/// Host and port; brackets around an IPv6 address are taken off. `None` when malformed.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let port = match port {
                "" => None,
                _ => Some(port.strip_prefix(':')?),
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    match port {
        None => Some((host, None)),
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => None,
            Ok(port) => Some((host, Some(port))),
        },
    }
}

fn decode(text: &str) -> Result<String> {
    let bad = || Error::config("parse endpoint: bad percent-encoding").hint(HINT);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let byte = rest.next()?;
            char::from(byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
        bytes.push(high << 4 | low);
    }
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    match text.contains('\0') {
        true => Err(bad()),
        false => Ok(text),
    }
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl fmt::Display for Endpoint {
    /// The URL without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = encode(&self.user).replace('/', "%2F");
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        write!(f, "mysql://{user}@{host}:{}/", self.port)?;
        let path = |p: &Option<PathBuf>| p.as_ref().map(|p| encode(&p.to_string_lossy()));
        let pairs = [
            ("ssl-mode", Some(self.ssl_mode.name().to_owned())),
            ("ssl-ca", path(&self.ssl_ca)),
            ("ssl-cert", path(&self.ssl_cert)),
            ("ssl-key", path(&self.ssl_key)),
            ("socket", path(&self.socket)),
        ];
        let given = pairs.into_iter().filter_map(|(k, v)| Some((k, v?)));
        for (index, (key, value)) in given.enumerate() {
            let sign = if index == 0 { '?' } else { '&' };
            write!(f, "{sign}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_full_url_is_read_and_printed_without_its_password() {
        let text = "mysql://a%40b:p%3Aw%2f%F0%9F%90%9F@db.example:3307/?ssl-mode=verify-full\
                    &ssl-ca=/etc/ca%20x.pem";
        let endpoint: Endpoint = text.parse().expect("an endpoint");
        assert_eq!(endpoint.user, "a@b");
        assert_eq!(endpoint.password.reveal(), "p:w/🐟");
        assert_eq!(
            (endpoint.host.as_str(), endpoint.port),
            ("db.example", 3307)
        );
        assert_eq!(endpoint.ssl_mode, SslMode::VerifyFull);
        assert_eq!(endpoint.ssl_ca, Some(PathBuf::from("/etc/ca x.pem")));
        let printed = endpoint.to_string();
        assert_eq!(
            printed,
            "mysql://a%40b@db.example:3307/?ssl-mode=verify-full&ssl-ca=/etc/ca%20x.pem"
        );
        let debug = format!("{endpoint:?} {}", endpoint.password);
        assert!(!debug.contains("p:w"), "{debug}");
        let again: Endpoint = printed.parse().expect("its own output");
        assert_eq!(again.with_password(Secret::new("p:w/🐟")), endpoint);
    }

    #[test]
    fn defaults_and_addresses() {
        let plain: Endpoint = "mysql://root@[::1]".parse().expect("an endpoint");
        assert_eq!((plain.host.as_str(), plain.port), ("::1", 3306));
        assert_eq!(plain.ssl_mode, SslMode::Preferred);
        assert_eq!(plain.address(), "[::1]:3306");
        assert!(plain.to_string().parse::<Endpoint>().is_ok());
        let socket: Endpoint = "mysql://root@?socket=/run/m.sock"
            .parse()
            .expect("a socket");
        assert_eq!(socket.address(), "/run/m.sock");
    }

    #[test]
    fn malformed_urls_are_refused_without_repeating_the_password() {
        for text in [
            "http://u:secret@h/",
            "mysql://u:secret@h:x/",
            "mysql://u:secret@h:0/",
            "mysql://u:secret@h:99999/",
            "mysql://u:secret@h/db",
            "mysql://u:secret@h/?ssl_mode=required",
            "mysql://u:secret@h/?ssl-mode=sometimes",
            "mysql://u:secret%4@h/",
            "mysql://u:secret%zz@h/",
            "mysql://u:secret%00@h/",
            "mysql://:secret@h/",
            "mysql://h/",
            "mysql://u:secret@[::1/",
            "mysql://u:secret@h/?ssl-cert=/x",
            "mysql://u:secret@h/?socket=/x&ssl-mode=required",
        ] {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
