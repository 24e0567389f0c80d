//! Carries a plan out: mark, schema, rows, other objects, proof, unmark.
//!
//! The mark ([`progress`]) is set before anything is touched and taken away after every table
//! was read back and found equal. Whatever ends the process in between, the target says what it
//! is, and `--resume` goes on from there (I8).

use super::absent::require_computing;
use super::data::{Writer, Written, write_all};
use super::objects::{self, Creation, Objects};
use super::plan::RestorePlan;
use super::progress::{self, Identity, Phase, TableProgress, Unfinished};
use super::recomputed::{self, RecomputedTable, require_recomputing};
use super::replay::run::Replay;
use super::server::Target;
use super::statements::Room;
use super::verify::{Expected, Reader};
use super::{RestoreOptions, RestoreReport, RestoreTarget, RestoredTable, load, target};
use crate::error::{Error, Result};
use crate::manifest::{Repository, Timeline};
use crate::position::{Flavor, GtidSet};
use crate::runtime::{Clock, Compute};
use crate::schema::TableId;
use crate::source::{Endpoint, ObjectKind, Severity, SqlClient, TargetNeeds, check_target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One restore.
pub(super) struct Restore<'a> {
    repo: &'a Repository,
    endpoint: &'a Endpoint,
    options: &'a RestoreOptions,
    notes: Vec<String>,
}

impl<'a> Restore<'a> {
    /// Of the repository to a server.
    pub(super) fn new(
        repo: &'a Repository,
        endpoint: &'a Endpoint,
        options: &'a RestoreOptions,
    ) -> Restore<'a> {
        Restore {
            repo,
            endpoint,
            options,
            notes: Vec::new(),
        }
    }

    /// Restores and verifies.
    ///
    /// # Errors
    /// As [`super::run`].
    pub(super) async fn run(mut self) -> Result<RestoreReport> {
        let timeline = load::timeline(self.repo, self.options.timeline).await?;
        let opened = Target::open(self.endpoint, timeline.flavor, &mut self.notes).await;
        let (mut target, mut client) = opened?;
        let done = Box::pin(self.restore(&timeline, &mut target, &mut client)).await;
        let left = target.leave(&mut client).await;
        client.close().await;
        let report = done?;
        left?;
        Ok(report)
    }

    async fn restore(
        mut self,
        timeline: &Timeline,
        target: &mut Target,
        client: &mut SqlClient,
    ) -> Result<RestoreReport> {
        let unfinished = self.unfinished(client, timeline).await?;
        let plan = self.plan(timeline, unfinished.as_ref()).await?;
        let zones = target.take_time_zones(client, &plan.source, &mut self.notes);
        zones.await?;
        let objects = Objects::choose(&plan, &self.options.filter);
        refuse_undefined(&plan, &objects)?;
        let state = match unfinished {
            Some(state) => state,
            None => self.begin(client, timeline, &plan, &objects).await?,
        };
        let compute = Compute::per_core();
        let writer = Writer {
            repo: self.repo.clone(),
            target: target.clone(),
            clock: Clock::system(),
            compute: Compute::new(self.options.jobs.max(1)),
            turns: Arc::default(),
            room: Room::new(),
        };
        let mut replay = Replay {
            plan: &plan,
            writer: &writer,
            reader: Reader {
                target: self.endpoint,
                flavor: plan.flavor,
                jobs: self.options.jobs,
                compute: &compute,
            },
            jobs: self.options.jobs.max(1),
            holdings: BTreeMap::new(),
            next_ids: BTreeMap::new(),
        };
        require_computing(client, target, (&plan, &writer.clock)).await?;
        self.schema(client, &mut replay, &objects, &state).await?;
        let written = self.rows(client, &mut replay, &state).await?;
        if plan.statements.is_empty() {
            self.objects(target, &objects, &state).await?;
        }
        let expected = replay.expected(&written);
        let compared = replay.reader.verify(&expected).await?;
        if let Some(first) = compared
            .computed
            .iter()
            .find_map(|index| expected.get(*index))
        {
            let target = (&*target, &writer.clock);
            require_recomputing(client, target, &first.name).await?;
        }
        let recomputed = recomputed::list(&expected, &compared, &replay.recomputed());
        self.drop_helpers(client, &plan).await?;
        self.gtids(client, target, &plan, state.pristine).await?;
        progress::end(client).await?;
        Ok(self.report(plan, &expected, recomputed))
    }

    /// The restore that the target holds, where it may be gone on with.
    async fn unfinished(
        &mut self,
        client: &mut SqlClient,
        timeline: &Timeline,
    ) -> Result<Option<Unfinished>> {
        let Some(state) = progress::read(client).await? else {
            if self.options.resume {
                self.notes
                    .push("there was nothing to resume: restored from the start".to_owned());
            }
            return Ok(None);
        };
        let refused = |what: &'static str| {
            Error::incompatible(what)
                .field("database", progress::DATABASE)
                .field("cut", state.identity.seq)
        };
        if !self.options.resume {
            return Err(
                refused("restore: the target holds an unfinished restore").hint(
                    "go on with --resume, or drop the restored databases and tidelog_restore there",
                ),
            );
        }
        let same = state.identity.repository_id == self.repo.header().repository_id
            && state.identity.timeline == timeline.timeline
            && state.identity.filter == self.options.filter.describe();
        if !same {
            return Err(
                refused("resume restore: the target holds another one").hint(
                    "resume with the repository, timeline and tables of the restore that was begun",
                ),
            );
        }
        Ok(Some(state))
    }

    async fn plan(
        &mut self,
        timeline: &Timeline,
        unfinished: Option<&Unfinished>,
    ) -> Result<RestorePlan> {
        let target = match unfinished {
            // What the moment meant was decided when the restore was begun.
            Some(state) => RestoreTarget::at(target::Moment::Seq(state.identity.seq)),
            None => self.options.target.clone(),
        };
        let plan = load::plan(self.repo, timeline, &target, &self.options.filter).await?;
        match unfinished.is_none_or(|state| state.identity.reached == reached(&plan)) {
            true => Ok(plan),
            false => Err(Error::incompatible(
                "resume restore: the entry of its cut is another transaction now",
            )
            .field("cut", plan.cut.seq)
            .hint(
                "what was only in the tail is in segments since: drop the restored databases and \
                 tidelog_restore on the target, and restore from the start",
            )),
        }
    }

    async fn begin(
        &mut self,
        client: &mut SqlClient,
        timeline: &Timeline,
        plan: &RestorePlan,
        objects: &Objects,
    ) -> Result<Unfinished> {
        objects::refuse_existing(client, &databases(plan, objects)).await?;
        self.check(client, plan, objects).await?;
        let identity = Identity {
            repository_id: self.repo.header().repository_id,
            timeline: timeline.timeline,
            seq: plan.cut.seq,
            reached: reached(plan),
            filter: self.options.filter.describe(),
        };
        let pristine = is_pristine(client).await?;
        progress::begin(client, &identity, pristine).await?;
        Ok(Unfinished {
            identity,
            phase: Phase::Schema,
            pristine,
            tables: BTreeMap::new(),
        })
    }

    /// Every requirement at once, before anything is touched.
    async fn check(
        &mut self,
        client: &mut SqlClient,
        plan: &RestorePlan,
        objects: &Objects,
    ) -> Result<()> {
        let source = &plan.source;
        let cases = source.pointer("/settings/lower_case_table_names");
        let needs = TargetNeeds {
            flavor: plan.flavor,
            version: source
                .get("version")
                .and_then(|v| v.as_str())
                .map(str::to_owned),
            lower_case_table_names: cases.and_then(|v| v.as_str()).and_then(|v| v.parse().ok()),
            row_bytes_max: None,
            databases: objects.databases().map(str::to_owned).collect(),
        };
        let report = check_target(client, &self.endpoint.address(), &needs).await?;
        report.require_no_blocker()?;
        let warnings = report.lines.iter().filter(|l| l.severity == Severity::Warn);
        self.notes.extend(warnings.map(|line| {
            format!(
                "target: {} is {}, wanted {}",
                line.name, line.found, line.wanted
            )
        }));
        Ok(())
    }

    /// Everything up to the last rows. It is repeated whole when it was not finished: what a
    /// statement that was interrupted has done, nobody knows.
    async fn schema(
        &mut self,
        client: &mut SqlClient,
        replay: &mut Replay<'_>,
        objects: &Objects,
        state: &Unfinished,
    ) -> Result<()> {
        if state.phase > Phase::Schema {
            return Ok(());
        }
        let (plan, target) = (replay.plan, &replay.writer.target);
        // They are ours: before the mark was set, the target did not have them.
        objects::drop_databases(client, &databases(plan, objects)).await?;
        let how = Creation {
            target,
            jobs: replay.jobs,
            again: false,
            counters: &plan.counters(),
        };
        objects::create(how, &objects.before, &mut self.notes).await?;
        if !plan.statements.is_empty() {
            // Statements may change them. Rows that are written do not fire triggers.
            objects::create(how, &objects.after, &mut self.notes).await?;
        }
        Box::pin(replay.run(&mut self.notes)).await?;
        for (place, holding) in &replay.holdings {
            if let Some(table) = plan.tables.get(*place) {
                let sql = progress::statement(&table.table_id, &holding.progress());
                client.exec(&sql).await?;
            }
        }
        progress::enter(client, Phase::Rows).await
    }

    /// Writes the rows that are left to write; gives what every table then holds.
    async fn rows(
        &mut self,
        client: &mut SqlClient,
        replay: &mut Replay<'_>,
        state: &Unfinished,
    ) -> Result<BTreeMap<TableId, Written>> {
        let done: &BTreeMap<TableId, TableProgress> = &state.tables;
        if state.phase > Phase::Schema {
            replay.remember(done).await?;
        }
        let mut works = replay.last(done).await?;
        let mut all = BTreeMap::new();
        works.retain(|work| match work.progress.finished {
            Some(sums) => {
                let written = Written { sums, next_id: 0 };
                all.insert(work.table.table_id.clone(), written);
                false
            }
            None => true,
        });
        let jobs = self.options.jobs.max(1);
        let written = Box::pin(write_all(replay.writer, works, jobs, true)).await?;
        all.extend(written);
        replay.count(client).await?;
        if state.phase < Phase::Objects {
            progress::enter(client, Phase::Objects).await?;
        }
        Ok(all)
    }

    /// Tables that were needed on the way and not asked for.
    async fn drop_helpers(&mut self, client: &mut SqlClient, plan: &RestorePlan) -> Result<()> {
        for table in &plan.tables {
            if !table.is_wanted && table.died.is_none() {
                let name = table.name.quoted();
                client.exec(&format!("DROP TABLE IF EXISTS {name}")).await?;
            }
        }
        Ok(())
    }

    async fn objects(
        &mut self,
        target: &Target,
        objects: &Objects,
        state: &Unfinished,
    ) -> Result<()> {
        let how = Creation {
            target,
            jobs: self.options.jobs.max(1),
            again: state.phase == Phase::Objects,
            counters: &BTreeMap::new(),
        };
        objects::create(how, &objects.after, &mut self.notes).await
    }

    /// Lets a target that has no history of its own join the source's replication, or says how.
    async fn gtids(
        &mut self,
        client: &mut SqlClient,
        target: &Target,
        plan: &RestorePlan,
        pristine: bool,
    ) -> Result<()> {
        let gtids = &plan.cut.gtids;
        if gtids.is_empty() || !self.options.filter.is_everything() {
            return Ok(());
        }
        if !plan.open_xa.is_empty() {
            self.notes.push(
                "an XA transaction is undecided at the cut, and the target does not have it \
                 prepared: it cannot replicate from the source from there on"
                    .to_owned(),
            );
            return Ok(());
        }
        let statement = match gtids {
            GtidSet::MySql(set) => format!("SET GLOBAL gtid_purged = '{set}'"),
            GtidSet::MariaDb(set) => format!("SET GLOBAL gtid_slave_pos = '{set}'"),
        };
        if pristine && target.quiet && client.exec(&statement).await.is_ok() {
            self.notes.push(format!(
                "the target can replicate from the cut on: {statement}"
            ));
            return Ok(());
        }
        self.notes.push(format!(
            "the target has transactions of its own and cannot replicate from the source as it \
             is; the cut is: {statement}"
        ));
        Ok(())
    }

    fn report(
        self,
        plan: RestorePlan,
        tables: &[Expected],
        recomputed: Vec<RecomputedTable>,
    ) -> RestoreReport {
        let restored = |table: &Expected| {
            let (db, name) = (&table.name.db, &table.name.table);
            let is_listed = recomputed.iter().any(|t| (&t.db, &t.table) == (db, name));
            let proven = match is_listed {
                true => table.sums.given_alone(),
                false => table.sums,
            };
            RestoredTable {
                db: db.clone(),
                table: name.clone(),
                rows: proven.all.rows,
                fingerprint: proven.all,
            }
        };
        let mut tables: Vec<RestoredTable> = tables.iter().map(restored).collect();
        tables.sort_by(|a, b| (&a.db, &a.table).cmp(&(&b.db, &b.table)));
        RestoreReport {
            rows: tables.iter().map(|t| t.rows).sum(),
            tables,
            plan,
            recomputed,
            notes: self.notes,
        }
    }
}

/// All databases that a restore makes.
fn databases(plan: &RestorePlan, objects: &Objects) -> Vec<String> {
    let mut all: Vec<String> = objects.databases().map(str::to_owned).collect();
    all.extend(plan.created_databases().map(str::to_owned));
    all.sort();
    all.dedup();
    all
}

/// Whether the server has no transaction of its own yet.
async fn is_pristine(client: &mut SqlClient) -> Result<bool> {
    let names: &[&str] = match client.flavor() {
        Flavor::MySql => &["gtid_executed"],
        Flavor::MariaDb => &["gtid_binlog_pos", "gtid_slave_pos"],
    };
    for name in names {
        let set = client
            .query_string(&format!("SELECT @@global.{name}"))
            .await?;
        if set.is_some_and(|set| !set.trim().is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every table of the plan must have a definition to be created from.
fn refuse_undefined(plan: &RestorePlan, objects: &Objects) -> Result<()> {
    let defined = objects.before.iter();
    let defined = defined.filter(|object| object.kind != ObjectKind::Database);
    let defined: BTreeSet<(&str, &str)> = defined
        .map(|object| (object.db.as_str(), object.name.as_str()))
        .collect();
    for name in plan.tables.iter().filter_map(|t| t.base_name.as_ref()) {
        if !defined.contains(&(name.db.as_str(), name.table.as_str())) {
            return Err(
                Error::corrupt("restore: the base has no definition of a table")
                    .field("table", name)
                    .field("object", &plan.base.object),
            );
        }
    }
    Ok(())
}

/// All transactions that are in at the cut of a plan; without GTIDs, where the last one ends.
fn reached(plan: &RestorePlan) -> String {
    let last = plan
        .cut
        .last
        .as_ref()
        .and_then(|last| last.position.as_ref());
    match plan.cut.gtids.is_empty() {
        true => last.map(ToString::to_string).unwrap_or_default(),
        false => plan.cut.gtids.to_string(),
    }
}
