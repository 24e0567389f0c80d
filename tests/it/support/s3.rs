//! A real S3 server on loopback (moto), which honours `If-None-Match: *`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::tool;

/// A private S3 server with one bucket; stopped when dropped, and when this process dies.
#[derive(Debug)]
pub(crate) struct S3Server {
    child: Child,
    // The server ends when this pipe closes.
    _alive: ChildStdin,
    /// `http://127.0.0.1:port`.
    pub(crate) endpoint: String,
    pub(crate) bucket: &'static str,
    pub(crate) access_key_id: &'static str,
    pub(crate) secret_access_key: &'static str,
    pub(crate) region: &'static str,
}

/// Binds port 0 itself and prints the port: nobody can take it in between.
const SCRIPT: &str = r#"
import os, sys, threading, logging
import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="tidelog",
             aws_secret_access_key="tidelog-secret").create_bucket(Bucket="tidelog-test")
print(url, flush=True)
sys.stdin.read()
os._exit(0)
"#;

/// Starts a server.
pub(crate) fn start() -> S3Server {
    let mut child = Command::new(tool("python"))
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the S3 server");
    let alive = child.stdin.take().expect("a pipe");
    let mut endpoint = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    output
        .read_line(&mut endpoint)
        .expect("read the S3 server's address");
    let endpoint = endpoint.trim().to_owned();
    assert!(
        endpoint.starts_with("http://127.0.0.1:"),
        "the S3 server did not start: run scripts/setup-tools"
    );
    S3Server {
        child,
        _alive: alive,
        endpoint,
        bucket: "tidelog-test",
        access_key_id: "tidelog",
        secret_access_key: "tidelog-secret",
        region: "us-east-1",
    }
}

impl S3Server {
    /// What the cloud's usual chain reads from the environment, for child processes.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT", self.endpoint.clone()),
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", self.access_key_id.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key.to_owned()),
            ("AWS_REGION", self.region.to_owned()),
        ]
    }

    /// Sends it a signal: `-STOP` is a store that does not answer, `-CONT` its return.
    pub(crate) fn signal(&self, name: &str) {
        super::signal(self.child.id(), name);
    }

    /// Repository URL under a prefix of the bucket.
    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.bucket)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
