//! Whether the source deletes its binlog faster than it is captured.

use super::Capture;
use crate::error::Result;
use crate::runtime::Stopwatch;
use crate::source::{Endpoint, Retention, SqlClient, SqlSession};
use std::time::Duration;

/// The source is asked only when what came last was committed longer ago than this,
const LAG_MIN_US: i64 = 2_000_000;
/// and not more often than this.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

impl Capture {
    /// Warns while capture may be too late for what the source keeps.
    pub(super) async fn watch_retention(&mut self, endpoint: &Endpoint) {
        let rows = self.batch.transactions.iter().rev();
        let Some(last) = rows.filter_map(|row| row.commit).next() else {
            return;
        };
        let lag_us = self.clock.now_us().saturating_sub(last.at_us);
        let looked = self.retention_looked.as_ref();
        if lag_us < LAG_MIN_US || looked.is_some_and(|look| look.elapsed() < LOOK_INTERVAL) {
            return;
        }
        self.retention_looked = Some(Stopwatch::start());
        match self.retention(endpoint).await {
            Ok(retention) => {
                let lag_seconds = lag_us as f64 / 1e6;
                let headroom = retention.headroom(&self.batch.position, Some(lag_seconds));
                for warning in headroom.warnings {
                    tracing::warn!(position = %self.batch.position, "binlog retention: {warning}");
                }
            }
            Err(error) => {
                tracing::warn!(error = %error.report(), "binlog retention of the source not read");
            }
        }
    }

    async fn retention(&self, endpoint: &Endpoint) -> Result<Retention> {
        let mut client = SqlClient::connect(endpoint, &SqlSession::default()).await?;
        let retention = Retention::read(&mut client).await;
        client.close().await;
        retention
    }
}
