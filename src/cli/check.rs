//! `tidelog check`

use super::args::{RepositoryArgs, SourceArgs, StoreArgs, TargetArgs, clock};
use super::{Outcome, output};
use crate::error::{Error, ErrorKind, Result};
use crate::log::DurabilityPolicy;
use crate::manifest::Repository;
use crate::source::{
    CheckLine, Endpoint, Report, Severity, SourceNeeds, SqlClient, SqlSession, TargetNeeds,
    check_source, check_target,
};
use clap::Args;
use serde::Serialize;

/// Arguments of `check`.
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Repository to probe: file:///path or s3://bucket/prefix
    #[arg(long, env = "TIDELOG_REPOSITORY_URL", value_name = "URL")]
    repo: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// Requires that the source can let commits wait for tidelog.
    #[arg(long, env = "TIDELOG_CAPTURE_SEMI_SYNC")]
    semi_sync: bool,
    /// Says what this policy of `capture` means: none, spool, store or both.
    #[arg(
        long,
        env = "TIDELOG_CAPTURE_DURABILITY",
        value_name = "POLICY",
        default_value = DurabilityPolicy::None.name()
    )]
    durability: DurabilityPolicy,
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    source: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<Vec<CheckLine>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Report>,
}

impl Check {
    pub(super) async fn execute(self, json: bool) -> Result<Outcome> {
        let endpoint = self.source.endpoint()?;
        let mut source = source(&endpoint, self.semi_sync).await?;
        source.lines.push(self.policy());
        let target = match self.target.endpoint()? {
            Some(target) => Some(check_restore_target(&target, &source).await?),
            None => None,
        };
        let repository = match &self.repo {
            Some(url) => {
                let args = RepositoryArgs {
                    repo: url.clone(),
                    store: self.store.clone(),
                };
                Some(vec![repository(&args).await?])
            }
            None => None,
        };
        let blocked = source.blockers().next().is_some()
            || target
                .as_ref()
                .is_some_and(|t| t.blockers().next().is_some())
            || repository
                .iter()
                .flatten()
                .any(|line| line.severity == Severity::Blocker);
        let answer = Answer {
            ok: !blocked,
            source,
            repository,
            target,
        };
        if json {
            output::json(&answer)?;
        } else {
            print(&answer)?;
        }
        Ok(if blocked { Outcome::No } else { Outcome::Done })
    }
}

impl Check {
    fn policy(&self) -> CheckLine {
        let policy = self.durability;
        let is_lossy = self.semi_sync && policy == DurabilityPolicy::None;
        CheckLine {
            name: "durability".into(),
            found: format!("{}: a transaction is {}", policy.name(), policy.meaning()),
            wanted: "spool, store or both where commits wait (--semi-sync)".into(),
            fix: is_lossy
                .then(|| "--durability spool --spool-dir DIR, or --durability store".into()),
            severity: match is_lossy {
                true => Severity::Warn,
                false => Severity::Ok,
            },
        }
    }
}

async fn source(endpoint: &Endpoint, semi_sync: bool) -> Result<Report> {
    let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
    let needs = SourceNeeds {
        snapshot: true,
        semi_sync,
    };
    let report = check_source(&mut client, &endpoint.address(), needs, || clock().now_us()).await?;
    client.close().await;
    Ok(report)
}

async fn check_restore_target(endpoint: &Endpoint, source: &Report) -> Result<Report> {
    let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
    let needs = TargetNeeds {
        flavor: source.flavor,
        version: Some(source.version.clone()),
        lower_case_table_names: None,
        row_bytes_max: None,
        databases: Vec::new(),
    };
    let report = check_target(&mut client, &endpoint.address(), &needs).await?;
    client.close().await;
    Ok(report)
}

/// The repository as a line: a store that lies is a blocker, one that is away an error.
async fn repository(args: &RepositoryArgs) -> Result<CheckLine> {
    let line = |found: String, fix: Option<String>, severity| CheckLine {
        name: "repository".into(),
        found,
        wanted: "a store with put-if-absent, empty or a tidelog repository".into(),
        fix,
        severity,
    };
    let opened: Result<String> = async {
        let store = args.store()?;
        store.probe().await?;
        match Repository::open(store.clone()).await {
            Ok(repository) => Ok(format!("repository {}", repository.header().repository_id)),
            Err(_) if store.is_empty().await? => Ok("empty prefix".to_owned()),
            Err(error) => Err(error),
        }
    }
    .await;
    match opened {
        Ok(found) if found == "empty prefix" => {
            let fix = format!("tidelog init --repo {}", args.repo);
            Ok(line(found, Some(fix), Severity::Info))
        }
        Ok(found) => Ok(line(found, None, Severity::Ok)),
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
        Err(error) => {
            let fix = error.hint_text().map(str::to_owned);
            Ok(line(
                Error::report(&error).replace('\n', " "),
                fix,
                Severity::Blocker,
            ))
        }
    }
}

fn print(answer: &Answer) -> Result<()> {
    report("source", &answer.source)?;
    if let Some(lines) = &answer.repository {
        output::line("\nrepository")?;
        print_lines(lines)?;
    }
    if let Some(target) = &answer.target {
        output::line("")?;
        report("target", target)?;
    }
    output::line(if answer.ok {
        "\nready"
    } else {
        "\nnot ready: see the blockers above"
    })
}

fn report(what: &str, report: &Report) -> Result<()> {
    output::line(&format!(
        "{what} {} ({} {})",
        report.address, report.flavor, report.version
    ))?;
    print_lines(&report.lines)
}

fn print_lines(lines: &[CheckLine]) -> Result<()> {
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let mark = match line.severity {
                Severity::Ok => "ok",
                Severity::Info => "info",
                Severity::Warn => "WARN",
                Severity::Blocker => "BLOCKER",
            };
            vec![
                mark.into(),
                line.name.clone(),
                line.found.clone(),
                line.wanted.clone(),
            ]
        })
        .collect();
    output::table(&["", "check", "found", "wanted"], &rows)?;
    for line in lines {
        if let Some(fix) = &line.fix {
            output::line(&format!("  {}: {fix}", line.name))?;
        }
    }
    Ok(())
}
