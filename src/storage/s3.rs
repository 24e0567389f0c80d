//! Opens s3:// with the credentials and settings that AWS tools use.

use super::object::ObjectBackend;
use super::store::StoreOptions;
use crate::error::{Error, Result, Wrap};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// One request with its body: 16 MiB in this time is 56 KiB/s, the slowest link served.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// `s3://bucket/prefix`. Settings come from the `AWS_*` variables (those of [`StoreOptions`] first), then
/// the shared credentials and configuration files (`AWS_PROFILE`), then web identity, container
/// and instance credentials.
pub(super) fn open(url: &Url, options: &StoreOptions) -> Result<ObjectBackend> {
    let bad = |what: &'static str| {
        Error::config(what)
            .field("url", url)
            .hint("write s3://bucket/prefix")
    };
    let bucket = url.host_str().filter(|b| !b.is_empty());
    let bucket = bucket.ok_or_else(|| bad("find bucket in repository url"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(Error::config("read repository url")
            .hint("s3 credentials and settings come from the AWS_* variables, not from the url"));
    }
    let prefix = url.path().trim_matches('/');
    if prefix.split('/').any(|p| matches!(p, "." | "..")) || prefix.contains("//") {
        return Err(bad("read prefix of repository url"));
    }
    let variable = |key: &str| {
        let own = options.variables.iter().find(|(name, _)| name == key);
        own.map(|(_, value)| value.clone())
            .or_else(|| std::env::var(key).ok())
    };
    let mut builder = AmazonS3Builder::from_env();
    for (name, value) in &options.variables {
        let key = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>();
        let key = key.wrap(|| bad("read store variable").field("variable", name))?;
        if key == AmazonS3ConfigKey::Endpoint {
            // The variable for S3 alone would win over the endpoint that was asked for.
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, value);
        }
        builder = builder.with_config(key, value);
    }
    let profile = Profile::load(&variable, &|path| std::fs::read_to_string(path).ok());
    builder = profile.fill(builder, &variable);
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key));
    let mut client = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT);
    if let Some(endpoint) = endpoint {
        let asked = variable("AWS_ALLOW_HTTP").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        client = client.with_allow_http(asked || is_loopback(&endpoint));
    }
    let retry = RetryConfig {
        // The store's own loop sees and logs failures; these serve parts and pages within one
        // of its attempts.
        max_retries: 2,
        retry_timeout: Duration::from_secs(30),
        backoff: BackoffConfig::default(),
    };
    let store = builder
        .with_bucket_name(bucket)
        .with_client_options(client)
        .with_retry(retry)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // Object Lock buckets demand a checksum with every put.
        .with_checksum_algorithm(Checksum::SHA256)
        .build()
        .wrap(|| bad("open s3 store"))?;
    Ok(ObjectBackend::new(Arc::new(store), prefix))
}

/// Plain HTTP is for servers on this machine, unless `AWS_ALLOW_HTTP` says otherwise.
fn is_loopback(endpoint: &str) -> bool {
    Url::parse(endpoint).is_ok_and(|url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    })
}

/// What the shared files of the AWS tools say about the chosen profile.
#[derive(Debug, Default)]
struct Profile {
    credentials: HashMap<String, String>,
    config: HashMap<String, String>,
}

impl Profile {
    fn load(
        variable: &dyn Fn(&str) -> Option<String>,
        read: &dyn Fn(PathBuf) -> Option<String>,
    ) -> Profile {
        let name = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let file = |key: &str, default: &str| {
            let home = || variable("HOME").map(|home| PathBuf::from(home).join(default));
            variable(key)
                .map(PathBuf::from)
                .or_else(home)
                .and_then(read)
        };
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
        let config = file("AWS_CONFIG_FILE", ".aws/config");
        let in_config = match name.as_str() {
            "default" => name.clone(),
            _ => format!("profile {name}"),
        };
        Profile {
            credentials: section(credentials.as_deref().unwrap_or(""), &name),
            config: section(config.as_deref().unwrap_or(""), &in_config),
        }
    }

    /// Fills what the environment left open.
    fn fill(
        &self,
        mut builder: AmazonS3Builder,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> AmazonS3Builder {
        use AmazonS3ConfigKey as Key;
        let open = |builder: &AmazonS3Builder, key: &Key| builder.get_config_value(key).is_none();
        let get = |key: &str| self.credentials.get(key).or_else(|| self.config.get(key));
        // Never half of one identity and half of another. A role given by the platform wins,
        // as it does for the AWS tools only when there are no keys: it comes with variables.
        let platform = [
            Key::WebIdentityTokenFile,
            Key::ContainerCredentialsRelativeUri,
            Key::ContainerCredentialsFullUri,
        ];
        if open(&builder, &Key::AccessKeyId)
            && platform.iter().all(|key| open(&builder, key))
            && let (Some(id), Some(secret)) =
                (get("aws_access_key_id"), get("aws_secret_access_key"))
        {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret);
            if let Some(token) = get("aws_session_token") {
                builder = builder.with_token(token);
            }
        }
        // The builder reports its own default region, so the variables are asked directly.
        let region_set = ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .iter()
            .any(|key| variable(key).is_some());
        if !region_set && let Some(region) = get("region") {
            builder = builder.with_region(region);
        }
        if open(&builder, &Key::Endpoint)
            && open(&builder, &Key::S3Endpoint)
            && let Some(endpoint) = get("endpoint_url")
        {
            builder = builder.with_endpoint(endpoint);
        }
        builder
    }
}

/// The keys of one `[section]` of an AWS file.
fn section(text: &str, wanted: &str) -> HashMap<String, String> {
    let mut inside = false;
    let mut keys = HashMap::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            inside = name == wanted;
            continue;
        }
        // Indented lines are nested settings of the line before.
        let nested = line.starts_with([' ', '\t']);
        if !inside || nested || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some((key, value)) = trimmed.split_once('=') {
            keys.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_this_machine() {
        for near in [
            "http://127.0.0.1:9000",
            "http://localhost:1",
            "http://[::1]:5",
        ] {
            assert!(is_loopback(near), "{near}");
        }
        for far in [
            "http://10.0.0.1:9000",
            "http://minio",
            "https://x",
            "nonsense",
        ] {
            assert!(!is_loopback(far), "{far}");
        }
    }

    #[test]
    fn the_profile_of_the_environment_is_read() {
        let files = |path: PathBuf| {
            let credentials = "[default]\naws_access_key_id = A\naws_secret_access_key=B=\n\
                               # note\n[ other ]\naws_access_key_id=C\n";
            let config =
                "[default]\nregion=eu-1\ns3 =\n  region = no\n[profile other]\nregion = eu-2\n";
            match path.to_str() {
                Some("/home/me/.aws/credentials") => Some(credentials.to_owned()),
                Some("/etc/aws-config") => Some(config.to_owned()),
                _ => None,
            }
        };
        let environment = |profile: Option<&'static str>| {
            move |key: &str| match key {
                "HOME" => Some("/home/me".to_owned()),
                "AWS_CONFIG_FILE" => Some("/etc/aws-config".to_owned()),
                "AWS_PROFILE" => profile.map(str::to_owned),
                _ => None,
            }
        };
        let profile = Profile::load(&environment(None), &files);
        assert_eq!(profile.credentials["aws_access_key_id"], "A");
        assert_eq!(profile.credentials["aws_secret_access_key"], "B=");
        assert_eq!(profile.config["region"], "eu-1");
        let other = Profile::load(&environment(Some("other")), &files);
        assert_eq!(other.credentials["aws_access_key_id"], "C");
        assert_eq!(other.config["region"], "eu-2");
        let none = Profile::load(&environment(Some("missing")), &files);
        assert!(none.credentials.is_empty() && none.config.is_empty());
    }

    #[test]
    fn urls_with_secrets_or_without_a_bucket_are_refused() {
        for bad in [
            "s3:///prefix",
            "s3://key:secret@bucket/x",
            "s3://bucket/a//b",
        ] {
            let url = Url::parse(bad).expect("url");
            let error = open(&url, &StoreOptions::default()).expect_err(bad);
            assert_eq!(error.kind(), crate::error::ErrorKind::Config);
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
