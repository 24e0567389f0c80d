//! Logins against a scripted server, whole, cut and changed.

use super::*;
use crate::error::ErrorKind;
use crate::source::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const NONCE: &[u8; 20] = b"abcdefghijklmnopqrst";

fn greeting_bytes(version: &str, capabilities: u32, plugin: &str) -> Vec<u8> {
    let mut out = vec![10];
    out.extend_from_slice(version.as_bytes());
    out.push(0);
    out.extend_from_slice(&77_u32.to_le_bytes());
    out.extend_from_slice(&NONCE[..8]);
    out.push(0);
    out.extend_from_slice(&(capabilities as u16).to_le_bytes());
    out.extend_from_slice(&[45, 2, 0]);
    out.extend_from_slice(&((capabilities >> 16) as u16).to_le_bytes());
    out.push(21);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(&NONCE[8..]);
    out.push(0);
    out.extend_from_slice(plugin.as_bytes());
    out.push(0);
    out
}

const FULL: u32 = NEEDED | LONG_FLAG | CONNECT_ATTRS | PLUGIN_AUTH_LENENC;

#[test]
fn greetings_of_both_flavors_are_read() {
    let bytes = greeting_bytes("5.5.5-10.11.19-MariaDB-log", FULL, "mysql_native_password");
    let greeting = Greeting::parse(&bytes).expect("a greeting");
    assert_eq!(greeting.version, "10.11.19-MariaDB-log");
    assert_eq!(greeting.flavor(), Flavor::MariaDb);
    assert_eq!((greeting.connection_id, greeting.capabilities), (77, FULL));
    assert_eq!(greeting.nonce, NONCE);
    assert_eq!(greeting.plugin, b"mysql_native_password");
    let mysql = greeting_bytes("9.7.4", FULL | SSL, "caching_sha2_password");
    let mysql = Greeting::parse(&mysql).expect("a greeting");
    assert_eq!(mysql.flavor(), Flavor::MySql);
    assert!(mysql.offers(SSL));
}

#[test]
fn no_cut_or_changed_greeting_panics() {
    let bytes = greeting_bytes("9.7.4", FULL, "caching_sha2_password");
    for cut in 0..bytes.len() {
        Greeting::parse(&bytes[..cut]);
    }
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7F, 0xFE, 0xFF] {
            let mut changed = bytes.clone();
            changed[at] = value;
            if let Some(greeting) = Greeting::parse(&changed) {
                assert!(greeting.nonce.len() <= NONCE_BYTES);
            }
        }
    }
}

#[test]
fn every_mode_meets_every_offer() {
    let greeting = |capabilities| {
        Greeting::parse(&greeting_bytes("9", capabilities, "x")).expect("a greeting")
    };
    let wants = |mode, offer| {
        let endpoint = Endpoint {
            ssl_mode: mode,
            ..Endpoint::default()
        };
        wants_tls(&endpoint, &greeting(offer)).ok()
    };
    use SslMode as M;
    assert_eq!(wants(M::Disabled, FULL | SSL), Some(false));
    assert_eq!(wants(M::Preferred, FULL | SSL), Some(true));
    assert_eq!(wants(M::Preferred, FULL), Some(false));
    for mode in [M::Required, M::VerifyCa, M::VerifyFull] {
        assert_eq!(wants(mode, FULL | SSL), Some(true));
        assert_eq!(wants(mode, FULL), None, "{mode:?}");
    }
}

async fn send(to: &mut DuplexStream, sequence: u8, payload: &[u8]) {
    let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    bytes.push(sequence);
    bytes.extend_from_slice(payload);
    to.write_all(&bytes).await.ok();
}

async fn receive(from: &mut DuplexStream) -> Vec<u8> {
    let mut head = [0; 4];
    if from.read_exact(&mut head).await.is_err() {
        return Vec::new();
    }
    let mut payload = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    from.read_exact(&mut payload).await.expect("a payload");
    payload
}

/// Runs the exchange after the greeting: the plugin of the greeting, then the server's packets in
/// turn with our answers, which are returned.
async fn exchange(plugin: &str, server: &[&[u8]]) -> (Result<()>, Vec<Vec<u8>>) {
    let endpoint = Endpoint::default().with_password(Secret::new("secret"));
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let mut wire = Wire::new(Box::new(ours), Duration::from_secs(5));
    let login = async {
        let mut exchange = Exchange {
            endpoint: &endpoint,
            encrypted: false,
            nonce: Vec::new(),
            plugin: Plugin::named(plugin.as_bytes()).ok(),
        };
        let first = exchange.step(NONCE).expect("a first answer");
        wire.command(&first.unwrap_or_default())
            .await
            .expect("sent");
        let done = exchange.finish(&mut wire).await;
        drop(wire);
        done
    };
    let script = async {
        let mut answers = vec![receive(&mut theirs).await];
        let mut sequence = 1;
        for packet in server {
            send(&mut theirs, sequence, packet).await;
            sequence = sequence.wrapping_add(1);
            // After OK, ERR and the plugin's own success nothing comes back.
            if !matches!(packet, [0 | 0xFF, ..] | [1, 3]) {
                answers.push(receive(&mut theirs).await);
                sequence = sequence.wrapping_add(1);
            }
        }
        answers
    };
    tokio::join!(login, script)
}

#[tokio::test]
async fn native_and_sha2_log_in_and_switch() {
    let (done, answers) = exchange("mysql_native_password", &[b"\0\0\0\x02\0\0\0"]).await;
    done.expect("logged in");
    assert_eq!(answers[0].len(), 20);
    let (done, answers) = exchange("caching_sha2_password", &[b"\x01\x03", b"\0"]).await;
    done.expect("logged in by the cache");
    assert_eq!(answers[0].len(), 32);
    let switch = [b"\xfecaching_sha2_password\0", &NONCE[..], b"\0"].concat();
    let (done, answers) = exchange("mysql_native_password", &[&switch, b"\x01\x03", b"\0"]).await;
    done.expect("logged in after a switch");
    assert_eq!(answers[1].len(), 32);
    let switch = [b"\xfeclient_ed25519\0", &[7; 32][..]].concat();
    let (done, answers) = exchange("mysql_native_password", &[&switch, b"\0"]).await;
    done.expect("logged in by ed25519");
    assert_eq!(answers[1].len(), 64);
}

#[tokio::test]
async fn the_password_never_goes_out_in_clear() {
    // A full login without TLS asks for the key first; a bad key ends it.
    let (done, answers) = exchange("caching_sha2_password", &[b"\x01\x04", b"\x01not a key"]).await;
    assert_eq!(done.expect_err("a bad key").kind(), ErrorKind::Config);
    assert_eq!(answers[1], [2]);
    let clear: &[u8] = b"\xfemysql_clear_password\0";
    for (packet, plugin) in [
        (clear, "mysql_clear_password"),
        (b"\xfe", "mysql_old_password"),
        (
            b"\xfesha256_password\0abcdefghijklmnopqrst\0",
            "sha256_password",
        ),
        (b"\xfedialog\0Password:", "dialog"),
    ] {
        let (done, answers) = exchange("caching_sha2_password", &[packet]).await;
        let error = done.expect_err(plugin);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.get("plugin"), Some(plugin));
        let sent = answers.concat();
        assert!(!sent.windows(6).any(|w| w == b"secret"), "{plugin}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_retried() {
    let (done, _) = exchange(
        "mysql_native_password",
        &[b"\xff\x15\x04#28000Access denied for user 'u'@'h' (using password: YES)"],
    )
    .await;
    let error = done.expect_err("denied");
    assert_eq!(
        (error.kind(), error.get("code")),
        (ErrorKind::Config, Some("1045"))
    );
    assert!(!error.kind().is_retryable());
}

#[tokio::test]
async fn no_strange_exchange_panics_or_lasts() {
    let switch = [b"\xfecaching_sha2_password\0", &NONCE[..], b"\0"].concat();
    for packet in [
        &switch[..],
        b"\x01\x04",
        b"\x01",
        b"\x01\x05",
        b"\x02",
        b"\xfb",
        b"",
    ] {
        for cut in 0..=packet.len() {
            let script = [&packet[..cut], &packet[..cut], &packet[..cut]];
            let (done, _) = exchange("caching_sha2_password", &script).await;
            assert!(cut == 0 || done.is_err(), "{packet:?}");
        }
    }
    let more: [&[u8]; STEPS_MAX + 1] = [b"\x01\x03"; STEPS_MAX + 1];
    assert!(exchange("caching_sha2_password", &more).await.0.is_err());
}
