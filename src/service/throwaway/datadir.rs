//! Data directories of throwaway servers: initialised once per version, then copied.
//!
//! Initialising takes seconds, copying a template a tenth of one. The template holds no binary
//! logs and no server uuid, so every copy is a server of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::packages::{Package, cache_dir};
use crate::error::{Error, Result, Wrap};
use crate::position::Flavor;

/// Counts up when the options of initialisation change, so that older templates are not used.
const TEMPLATE_VERSION: u32 = 1;

/// Makes `datadir` (which must not exist). `init_options` differ from server to server, so a
/// template serves only when there are none.
pub(super) fn create(package: &Package, datadir: &Path, init_options: &[String]) -> Result<()> {
    if !init_options.is_empty() {
        return initialise(package, datadir, init_options);
    }
    match template(package)? {
        Some(template) => copy_dir(&template, datadir).wrap(|| {
            Error::unavailable("copy data directory template").field("template", template.display())
        }),
        None => initialise(package, datadir, &[]),
    }
}

/// The template of this version, made when missing; `None` when the cache cannot be written.
fn template(package: &Package) -> Result<Option<PathBuf>> {
    let Some(folder) = cache_dir().map(|c| c.join("templates")) else {
        return Ok(None);
    };
    let name = format!("{}-{}-{TEMPLATE_VERSION}", package.flavor, package.version);
    let finished = folder.join(&name);
    if finished.is_dir() {
        return Ok(Some(finished));
    }
    if fs::create_dir_all(&folder).is_err() {
        return Ok(None);
    }
    // Others may be making the same template: each makes its own, the first rename wins.
    let Ok(scratch) = tempfile::Builder::new()
        .prefix(&format!("{name}."))
        .tempdir_in(&folder)
    else {
        return Ok(None);
    };
    let datadir = scratch.path().join("data");
    initialise(package, &datadir, &[])?;
    match fs::rename(&datadir, &finished) {
        Ok(()) => Ok(Some(finished)),
        Err(_) if finished.is_dir() => Ok(Some(finished)),
        Err(e) => Err(Error::unavailable("store data directory template")
            .field("template", finished.display())
            .source(e)),
    }
}

fn initialise(package: &Package, datadir: &Path, options: &[String]) -> Result<()> {
    let mut command = match package.flavor {
        Flavor::MySql => {
            let mut command = Command::new(&package.server);
            command.args([
                "--no-defaults",
                "--initialize-insecure",
                "--secure-file-priv=",
            ]);
            command.args(["--innodb-redo-log-capacity=32M", "--skip-log-bin"]);
            command
        }
        Flavor::MariaDb => {
            let program = package
                .install_db
                .as_deref()
                .unwrap_or(Path::new("mariadb-install-db"));
            let mut command = Command::new(program);
            command
                .env("MYSQLD_BOOTSTRAP", &package.server)
                .arg("--no-defaults");
            command.arg(format!("--basedir={}", package.basedir.display()));
            command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
            command.args(["--skip-name-resolve", "--innodb-log-file-size=48M"]);
            command
        }
    };
    // Any MariaDB server that starts removes temporary tables from its folder for them.
    let tmpdir = tempfile::tempdir().wrap(|| Error::unavailable("make a temporary folder"))?;
    command
        .arg(format!("--datadir={}", datadir.display()))
        .arg(format!("--tmpdir={}", tmpdir.path().display()))
        .args(options);
    if super::is_root(datadir.parent().unwrap_or(datadir)) {
        command.arg("--user=root");
    }
    run(&mut command, "initialise data directory")?;
    for name in ["auto.cnf", "ib_buffer_pool"] {
        let _ = fs::remove_file(datadir.join(name));
    }
    Ok(())
}

/// Runs a program to its end; its last lines are the source of the error when it fails.
fn run(command: &mut Command, doing: &'static str) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = || Error::config(doing).field("program", &program);
    let output = command.output().wrap(failed)?;
    if output.status.success() {
        return Ok(output);
    }
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    Err(failed()
        .field("status", output.status)
        .source(tail(&String::from_utf8_lossy(&text))))
}

/// The last 25 lines of a log.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(25);
    lines.get(skipped..).unwrap_or_default().join("\n")
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Makes a CA and a certificate of it for `localhost` and 127.0.0.1 in `folder`, by the `openssl`
/// program; the servers' own generated certificates name no host, so that nothing could verify
/// one. Returns the path of the CA's certificate.
pub(super) fn make_certificates(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)
        .and_then(|()| {
            let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
            fs::write(folder.join("names.cnf"), names)
        })
        .wrap(|| {
            Error::unavailable("write certificate folder").field("folder", folder.display())
        })?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout";
    for line in [
        format!("req -x509 {key} ca-key.pem -out ca.pem -days 3650 -subj /CN=tidelog-throwaway-ca"),
        format!("req {key} server-key.pem -out server.csr -subj /CN=localhost"),
        "x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 3650 \
         -out server-cert.pem -extfile names.cnf"
            .to_owned(),
    ] {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(folder);
        run(&mut command, "make certificates").map_err(|e| e.hint("apt-get install openssl"))?;
    }
    Ok(folder.join("ca.pem"))
}
