//! Where the server programs come from: a named binary, the cache folder, or the system.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result, Wrap};
use crate::position::Flavor;

/// What every "not found" error tells the reader to do.
const HINT: &str = "run scripts/setup-servers (make test does)";

/// The programs of one installed or unpacked server.
#[derive(Clone, Debug)]
pub(super) struct Package {
    pub(super) flavor: Flavor,
    /// As the server prints it, such as `9.7.4` or `10.11.19`.
    pub(super) version: String,
    pub(super) server: PathBuf,
    /// MariaDB's `mariadb-install-db`; MySQL's server initialises itself.
    pub(super) install_db: Option<PathBuf>,
    /// Where `mariadb-install-db` looks for its SQL files.
    pub(super) basedir: PathBuf,
    pub(super) client: PathBuf,
    pub(super) dump: PathBuf,
    pub(super) binlog_tool: PathBuf,
}

/// The cache folder of the project: `$TIDELOG_CACHE`, else `~/.cache/tidelog`.
pub(super) fn cache_dir() -> Option<PathBuf> {
    if let Some(dir) = env::var_os("TIDELOG_CACHE").filter(|d| !d.is_empty()) {
        return Some(PathBuf::from(dir));
    }
    let home = env::var_os("HOME").filter(|d| !d.is_empty())?;
    Some(PathBuf::from(home).join(".cache/tidelog"))
}

/// Finds the server of `flavor`. `name` picks one folder of the cache (`mariadb-11.8`); without
/// it `TIDELOG_TEST_MYSQLD` / `TIDELOG_TEST_MARIADBD`, the cache's default and the system's own
/// server are tried in this order.
pub(super) fn find(flavor: Flavor, name: Option<&str>) -> Result<Package> {
    let (variable, default_name) = match flavor {
        Flavor::MySql => ("TIDELOG_TEST_MYSQLD", "mysql-9.7"),
        Flavor::MariaDb => ("TIDELOG_TEST_MARIADBD", "mariadb-10.11"),
    };
    if name.is_none()
        && let Some(path) = env::var_os(variable).filter(|p| !p.is_empty())
    {
        let path = Path::new(&path);
        // A server of the cache has tools of its own, which its file names.
        let file = path.parent().and_then(Path::parent).map(|p| p.join("env"));
        let package = match file.filter(|file| file.is_file()) {
            Some(file) => from_env_file(flavor, &file),
            None => from_binary(flavor, path),
        };
        return package.map_err(|e| e.field("variable", variable));
    }
    if let Some(cache) = cache_dir() {
        let file = cache
            .join("servers")
            .join(name.unwrap_or(default_name))
            .join("env");
        if file.exists() {
            return from_env_file(flavor, &file);
        }
    }
    if let Some(name) = name {
        return Err(not_found(flavor).field("package", name));
    }
    for candidate in system_candidates(flavor) {
        if let Ok(package) = from_binary(flavor, &candidate) {
            return Ok(package);
        }
    }
    Err(not_found(flavor))
}

fn not_found(flavor: Flavor) -> Error {
    Error::config("find a database server to start")
        .field("flavor", flavor)
        .hint(HINT)
}

fn from_env_file(flavor: Flavor, file: &Path) -> Result<Package> {
    let text = std::fs::read_to_string(file).wrap(|| {
        Error::config("read server package file")
            .field("file", file.display())
            .hint(HINT)
    })?;
    let values: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let value = |key: &'static str| {
        values
            .get(key)
            .copied()
            .filter(|v| !v.is_empty())
            .ok_or_else(|| {
                Error::config("read server package file")
                    .field("file", file.display())
                    .field("missing", key)
                    .hint("run scripts/setup-servers --force")
            })
    };
    let server = PathBuf::from(value("SERVER")?);
    Ok(Package {
        flavor,
        // Asked of the binary, since a system package may have been upgraded since the set-up.
        version: version_of(flavor, &server)?,
        install_db: values.get("INSTALL_DB").map(PathBuf::from),
        basedir: values.get("BASEDIR").map(PathBuf::from).unwrap_or_default(),
        client: PathBuf::from(value("CLIENT")?),
        dump: PathBuf::from(value("DUMP")?),
        binlog_tool: PathBuf::from(value("BINLOG_TOOL")?),
        server,
    })
}

fn from_binary(flavor: Flavor, server: &Path) -> Result<Package> {
    let version = version_of(flavor, server)?;
    let basedir = server
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/usr"))
        .to_path_buf();
    let tool = |names: &[&str]| tool_beside(&basedir, names);
    let (install_db, names) = match flavor {
        Flavor::MySql => (None, [["mysql"; 2], ["mysqldump"; 2], ["mysqlbinlog"; 2]]),
        Flavor::MariaDb => (
            Some(tool(&["mariadb-install-db", "mysql_install_db"])),
            [
                ["mariadb", "mysql"],
                ["mariadb-dump", "mysqldump"],
                ["mariadb-binlog", "mysqlbinlog"],
            ],
        ),
    };
    let [client, dump, binlog_tool] = names.map(|n| tool(&n));
    let server = server.to_path_buf();
    Ok(Package {
        flavor,
        version,
        server,
        install_db,
        basedir,
        client,
        dump,
        binlog_tool,
    })
}

/// The first of `names` beside the server, else in PATH; else the first name as it is, so that
/// using it fails with that name in the message.
fn tool_beside(basedir: &Path, names: &[&str]) -> PathBuf {
    let own = ["bin", "scripts", "sbin"].map(|folder| basedir.join(folder));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = own.into_iter().chain(env::split_paths(&path)).collect();
    let found = folders.iter().find_map(|folder| {
        let mut candidates = names.iter().map(|name| folder.join(name));
        candidates.find(|path| path.is_file())
    });
    found.unwrap_or_else(|| PathBuf::from(names.first().copied().unwrap_or_default()))
}

fn system_candidates(flavor: Flavor) -> Vec<PathBuf> {
    let names: &[&str] = match flavor {
        Flavor::MySql => &["mysqld"],
        Flavor::MariaDb => &["mariadbd", "mysqld"],
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = [
        "/usr/sbin",
        "/usr/libexec",
        "/usr/local/mysql/bin",
        "/usr/local/sbin",
    ];
    let folders = env::split_paths(&path).chain(usual.map(PathBuf::from));
    let all = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    all.filter(|path| path.is_file()).collect()
}

/// Version of a server binary; an error when it does not run or is of the other flavor (`mysqld`
/// is a link to MariaDB's server on many systems).
fn version_of(flavor: Flavor, server: &Path) -> Result<String> {
    let failed = || {
        Error::config("run database server")
            .field("binary", server.display())
            .hint(HINT)
    };
    let output = Command::new(server)
        .args(["--no-defaults", "--version"])
        .output()
        .wrap(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split("Ver ").nth(1).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().to_owned()
    });
    let is_mariadb = text.contains("MariaDB");
    match version {
        Some(version) if !version.is_empty() && is_mariadb == (flavor == Flavor::MariaDb) => {
            Ok(version)
        }
        Some(_) if !text.is_empty() => {
            Err(failed().field("wanted", flavor).field("found", text.trim()))
        }
        _ => Err(failed().source(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
