//! What server is wanted, and the options that every one gets.

use crate::position::Flavor;

/// Name of the account with every right, from any host. `root` has no password and is reachable
/// through the socket only.
pub const ACCOUNT: &str = "tidelog";

/// Password of [`ACCOUNT`].
pub const PASSWORD: &str = "tidelog";

/// What server is wanted.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// MySQL or MariaDB.
    pub flavor: Flavor,
    /// A folder of the cache, such as `mariadb-11.8`, instead of the flavor's usual server.
    pub package: Option<String>,
    /// Server options (`--name=value`), given after the defaults, so that they win.
    pub options: Vec<String>,
    /// Options that count at initialisation, too (`--lower-case-table-names=1`,
    /// `--innodb-page-size=..`). Starting is slower with them: no template can be copied.
    pub init_options: Vec<String>,
    /// Environment of the server process, `TZ` for example.
    pub environment: Vec<(String, String)>,
    /// Certificates that name 127.0.0.1 and localhost, under a CA of their own. Without it MySQL
    /// and MariaDB 11.8 serve TLS with generated certificates that name no host, MariaDB 10.11 no TLS.
    pub tls: bool,
}

impl ServerSpec {
    /// The usual server of a flavor with the default options.
    #[must_use]
    pub fn new(flavor: Flavor) -> Self {
        ServerSpec {
            flavor,
            package: None,
            options: Vec::new(),
            init_options: Vec::new(),
            environment: Vec::new(),
            tls: false,
        }
    }

    /// Adds a server option.
    #[must_use]
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Adds an option that counts at initialisation, too.
    #[must_use]
    pub fn init_option(mut self, option: impl Into<String>) -> Self {
        self.init_options.push(option.into());
        self
    }

    /// Sets a variable of the server's environment.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Takes the server from another folder of the cache.
    #[must_use]
    pub fn package(mut self, name: impl Into<String>) -> Self {
        self.package = Some(name.into());
        self
    }

    /// Asks for certificates that can be verified.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }
}

pub(super) const COMMON_OPTIONS: &[&str] = &[
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
    "--binlog-checksum=CRC32",
    "--max-connections=200",
    "--table-open-cache=400",
    "--table-definition-cache=400",
    "--innodb-buffer-pool-size=64M",
    // A killed process loses nothing that it has written; only a crash of the machine would.
    "--sync-binlog=0",
    "--innodb-flush-log-at-trx-commit=2",
    "--character-set-server=utf8mb4",
    "--secure-file-priv=",
];

pub(super) const MYSQL_OPTIONS: &[&str] = &[
    "--mysqlx=OFF",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--innodb-redo-log-capacity=128M",
];

pub(super) const MARIADB_OPTIONS: &[&str] =
    &["--gtid-strict-mode=ON", "--innodb-log-file-size=48M"];

/// Runs at the first start, unlogged, so that the binary log begins empty.
pub(super) fn accounts_sql(flavor: Flavor) -> String {
    // A local anonymous account would be preferred to '%' for socket connections.
    let cleanup = match flavor {
        Flavor::MySql => "",
        Flavor::MariaDb => "DELETE FROM mysql.global_priv WHERE User='';\nFLUSH PRIVILEGES;\n",
    };
    format!(
        "SET SESSION sql_log_bin=0;\n{cleanup}CREATE USER '{ACCOUNT}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO '{ACCOUNT}'@'%' WITH GRANT OPTION;\n"
    )
}
