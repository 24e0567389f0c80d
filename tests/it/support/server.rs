//! Private servers with a bound on how many run at once.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use tidelog::position::Flavor;
use tidelog::service::throwaway::{ACCOUNT, PASSWORD, ServerSpec, ThrowawayServer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Both flavors, for tests that run the same on each.
pub(crate) const FLAVORS: [Flavor; 2] = [Flavor::MySql, Flavor::MariaDb];

/// Servers of this test process that run at the same time.
const SERVERS_MAX: usize = 4;

static SLOTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(SERVERS_MAX)));

/// A private server that counts against the bound until it is dropped.
#[derive(Debug)]
pub(crate) struct TestServer {
    server: ThrowawayServer,
    _slot: OwnedSemaphorePermit,
}

/// Starts one server. A test that needs several asks for all of them in one [`start_all`]:
/// one by one, tests could wait for each other forever.
pub(crate) async fn start(spec: ServerSpec) -> TestServer {
    let [server] = start_all([spec]).await;
    server
}

/// Starts servers, at most four, side by side.
pub(crate) async fn start_all<const N: usize>(specs: [ServerSpec; N]) -> [TestServer; N] {
    assert!(N <= SERVERS_MAX, "at most {SERVERS_MAX} servers at a time");
    let slots = SLOTS
        .clone()
        .acquire_many_owned(u32::try_from(N).expect("small"));
    let mut slots = slots.await.expect("the semaphore is never closed");
    let starting = specs.map(|spec| {
        let slot = slots.split(1).expect("one slot a server");
        tokio::task::spawn_blocking(move || match ThrowawayServer::start(spec) {
            Ok(server) => TestServer {
                server,
                _slot: slot,
            },
            Err(error) => panic!("{}", error.report()),
        })
    });
    let started = futures::future::join_all(starting).await;
    let started: Vec<TestServer> = started
        .into_iter()
        .map(|s| s.expect("server starts"))
        .collect();
    started.try_into().expect("as many as asked for")
}

impl TestServer {
    /// A connection of the account with every right.
    pub(crate) async fn conn(&self) -> Conn {
        self.conn_as(ACCOUNT, PASSWORD).await
    }

    /// A connection of some account, over TCP.
    pub(crate) async fn conn_as(&self, user: &str, password: &str) -> Conn {
        Conn::new(self.opts(user, password))
            .await
            .expect("connect to the test server")
    }

    /// Connection options of some account, over TCP; TLS where the server has it.
    pub(crate) fn opts(&self, user: &str, password: &str) -> Opts {
        let tls = SslOpts::default()
            .with_danger_accept_invalid_certs(true)
            .with_danger_skip_domain_validation(true);
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port())
            .prefer_socket(false)
            .user(Some(user))
            .pass(Some(password))
            .ssl_opts(self.ca_file().is_some().then_some(tls))
            .into()
    }
}

impl Deref for TestServer {
    type Target = ThrowawayServer;

    fn deref(&self) -> &ThrowawayServer {
        &self.server
    }
}

impl DerefMut for TestServer {
    fn deref_mut(&mut self) -> &mut ThrowawayServer {
        &mut self.server
    }
}
