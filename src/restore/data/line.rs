//! The statements of one table, put into parts.

use super::lane::{End, Part};
use super::{How, Work};
use crate::error::{Error, Result};
use crate::restore::progress::TableProgress;
use crate::restore::statements::{RowsStatement, Sent};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

/// Parts of one table that may be waited for.
const PARTS_WAITING: usize = 128;

/// A table that is being written.
pub(super) struct Line<'a> {
    work: Arc<Work>,
    how: How,
    parts: &'a mpsc::Sender<Part>,
    /// The part that is being filled.
    statements: Vec<RowsStatement>,
    bytes: usize,
    /// Parts that are not known to be committed.
    waiting: VecDeque<oneshot::Receiver<Result<()>>>,
    /// Whether there was a part before.
    has_begun: bool,
}

impl<'a> Line<'a> {
    /// A table of which nothing is sent yet.
    pub(super) fn new(work: Arc<Work>, how: How, parts: &'a mpsc::Sender<Part>) -> Line<'a> {
        Line {
            work,
            how,
            parts,
            statements: Vec::new(),
            bytes: 0,
            waiting: VecDeque::new(),
            has_begun: false,
        }
    }

    /// Adds the next statement.
    ///
    /// # Errors
    /// Those of parts that were written before.
    pub(super) async fn add(&mut self, statement: RowsStatement) -> Result<()> {
        let bytes = statement.sql.len();
        let follows = |last: &RowsStatement| {
            last.vanish == statement.vanish && last.rows.end == statement.rows.start
        };
        if !self.statements.last().is_none_or(follows) || self.bytes + bytes > self.how.part_bytes {
            self.send(None).await?;
        }
        self.bytes += bytes;
        self.statements.push(statement);
        Ok(())
    }

    /// Sends what there is: another table waits for its room, or the next statement of this one.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(super) async fn let_go(&mut self) -> Result<()> {
        self.send(None).await
    }

    /// Sends what is left and ends the table; gives its next AUTO_INCREMENT value, at least.
    ///
    /// # Errors
    /// Those of parts.
    pub(super) async fn end(&mut self, sent: &Sent) -> Result<u64> {
        let counter = self.work.counter.as_ref();
        let next_id = counter.map(|counter| counter.next.max(sent.largest_id.saturating_add(1)));
        let is_there = next_id.is_some_and(|next| self.work.counts_to(next, sent));
        let progress = TableProgress {
            finished: Some(sent.sums),
            ..self.work.progress.clone()
        };
        let end = End {
            next_id: next_id.filter(|_| !is_there),
            progress: self.how.is_last.then_some(progress),
        };
        if self.has_begun {
            // It is finished when all of its rows are there.
            self.send(None).await?;
            self.settle().await?;
        }
        self.send(Some(end)).await?;
        self.settle().await?;
        Ok(next_id.unwrap_or(0))
    }

    /// Sends the part that is being filled; `end` goes with it, even where it is empty.
    async fn send(&mut self, end: Option<End>) -> Result<()> {
        let statements = std::mem::take(&mut self.statements);
        let is_ordered = !self.work.is_divisible || statements.iter().any(|s| s.vanish);
        if statements.is_empty() && end.is_none() {
            return Ok(());
        }
        let (done, result) = oneshot::channel();
        let part = Part {
            work: Arc::clone(&self.work),
            statements,
            end,
            is_last: self.how.is_last,
            done,
        };
        self.bytes = 0;
        self.has_begun = true;
        let sent = self.parts.send(part).await;
        sent.map_err(|_| stopped())?;
        self.waiting.push_back(result);
        match is_ordered {
            true => self.settle().await,
            false => self.settle_to(PARTS_WAITING).await,
        }
    }

    /// Waits until every part is committed.
    async fn settle(&mut self) -> Result<()> {
        self.settle_to(0).await
    }

    /// Hears of the parts that are done, and waits until no more than `left` are not.
    async fn settle_to(&mut self, left: usize) -> Result<()> {
        loop {
            let may_stay = self.waiting.len() <= left;
            let Some(first) = self.waiting.front_mut() else {
                return Ok(());
            };
            let result = match first.try_recv() {
                Err(TryRecvError::Empty) if may_stay => return Ok(()),
                Err(TryRecvError::Empty) => first.await.map_err(|_| stopped()),
                done => done.map_err(|_| stopped()),
            };
            self.waiting.pop_front();
            result??;
        }
    }
}

fn stopped() -> Error {
    Error::internal("write rows: a connection has stopped")
}
