//! The fold of a table whose rows were changed by cascades: every entry of a row identity in the
//! order of the log, with the derived changes between them.

use super::log::{Held, Place};
use super::value::KeyColumn;
use super::walk::{ChildKey, Derived, Images, Walker};
use crate::base::fold::{Identity, Keys, Run, RunBatch, Step, printable};
use crate::error::{Error, Result};
use crate::position::Seq;
use crate::restore::rows::{Fold, Images as Payload, TableInput};
use crate::schema::{TableName, TableVersion};
use crate::segment::{KeyCodec, TablePlan};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A row that a cascade gave another identity: copies and image.
type Arrival = (u64, Vec<u8>);

/// Rows that cascades gave another identity, by new identity and place.
#[derive(Debug)]
pub(super) struct Arrivals {
    rows: BTreeMap<(Vec<u8>, Place), Arrival>,
    held: Held,
}

impl PartialEq for Arrivals {
    fn eq(&self, other: &Arrivals) -> bool {
        self.rows == other.rows
    }
}

impl Arrivals {
    /// None yet; memory is taken from what `held` is of.
    pub(super) fn new(held: Held) -> Arrivals {
        Arrivals {
            rows: BTreeMap::new(),
            held,
        }
    }

    fn push(&mut self, key: Vec<u8>, at: Place, (copies, image): (u64, &[u8])) -> Result<()> {
        self.held.add(128 + (key.len() + image.len()) as u64)?;
        let row = self.rows.entry((key, at));
        row.or_insert_with(|| (0, image.to_vec())).0 += copies;
        Ok(())
    }

    fn run(&self) -> Run<'_, Payload> {
        let mut rows = self.rows.iter().peekable();
        let batches = std::iter::from_fn(move || {
            rows.peek()?;
            Some(batch(rows.by_ref().take(512)))
        });
        Run::whole(batches)
    }
}

fn batch<'a>(
    rows: impl Iterator<Item = (&'a (Vec<u8>, Place), &'a Arrival)>,
) -> Result<RunBatch<Payload>> {
    let mut batch = RunBatch {
        keys: Keys::default(),
        seqs: Vec::new(),
        rows: Vec::new(),
        steps: Vec::new(),
        payload: Payload::default(),
    };
    for ((key, at), (copies, image)) in rows {
        batch.keys.push(key);
        batch.seqs.push(at.0);
        batch.rows.push(at.1);
        batch.steps.push(Step {
            need: 0,
            peak: *copies,
            delta: i64::try_from(*copies).unwrap_or(i64::MAX),
        });
        batch.payload.push_with(|out| {
            out.extend_from_slice(image);
            Ok(())
        })?;
    }
    Ok(batch)
}

/// What cascades did to the rows of one table.
#[derive(Clone, Debug)]
pub(in crate::restore) struct TableCascades {
    /// Its foreign keys with an action.
    pub(super) keys: Vec<ChildKey>,
    /// Rows that came to be by a change of what identifies them.
    pub(super) arrivals: Arc<Arrivals>,
    /// Columns that foreign keys with an action refer to.
    pub(super) referred: Vec<usize>,
}

impl TableCascades {
    /// The tables whose changes reached it.
    pub(in crate::restore) fn parents(&self) -> impl Iterator<Item = &TableName> {
        self.keys.iter().map(|key| &key.parent)
    }

    /// The same for the table as a statement has made it, which kept the foreign keys.
    ///
    /// # Errors
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible) when a column of one is another one.
    pub(in crate::restore) fn of_version(&self, version: &Arc<TableVersion>) -> Result<Self> {
        let plan = TablePlan::compile(Arc::clone(version))?;
        let mut of_version = self.clone();
        for key in &mut of_version.keys {
            let find = |(name, was): (&String, &KeyColumn)| {
                KeyColumn::find(&plan, name).filter(|is| is.is_alike(was))
            };
            let found: Option<Vec<_>> = key.names.iter().zip(&key.columns).map(find).collect();
            key.columns = found.ok_or_else(|| {
                Error::incompatible("derive cascades: a foreign key has another column now")
                    .field("parent", &key.parent)
                    .field("child", &version.name)
                    .hint("restore from a base after the statement that changed it")
            })?;
        }
        Ok(of_version)
    }

    /// Tells `each` every derived change of the table's rows, by row.
    ///
    /// # Errors
    /// As [`Fold::fold`], and those of `each`.
    pub(in crate::restore) fn changes(
        &self,
        input: &TableInput,
        each: impl FnMut(Derived<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut pass = Pass {
            cascades: self,
            strict: true,
            derived: each,
            left: |_: &[u8], _| Ok(()),
            arrivals: None,
        };
        pass.run(input)
    }

    /// Walks the table without keeping it: tells `derived` every derived change, and gives the
    /// rows that got another identity. What is not known yet (a row that arrives by a cascade
    /// still to be derived) is passed over.
    ///
    /// # Errors
    /// As [`Fold::fold`].
    pub(super) fn derive(
        &self,
        input: &TableInput,
        held: Held,
        derived: impl FnMut(Derived<'_>) -> Result<()>,
    ) -> Result<Arrivals> {
        let mut pass = Pass {
            cascades: self,
            strict: false,
            derived,
            left: |_: &[u8], _| Ok(()),
            arrivals: Some(Arrivals::new(held)),
        };
        pass.run(input)?;
        pass.arrivals
            .ok_or_else(|| Error::internal("derive cascades: no arrivals"))
    }
}

impl Fold for TableCascades {
    /// Fails with [`Gap`](crate::error::ErrorKind::Gap) where a cascade cannot be derived.
    fn fold(
        &self,
        input: &TableInput,
        each: &mut dyn FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<()> {
        let mut pass = Pass {
            cascades: self,
            strict: true,
            derived: |_: Derived<'_>| Ok(()),
            left: each,
            arrivals: None,
        };
        pass.run(input)
    }
}

/// One pass over a table.
struct Pass<'a, D, L> {
    cascades: &'a TableCascades,
    /// Whether the history must add up.
    strict: bool,
    /// Told of every derived change.
    derived: D,
    /// Told of every row that is left.
    left: L,
    /// Where rows with a new identity are noted; those of the last pass are read.
    arrivals: Option<Arrivals>,
}

/// Finds out whether a derived row still has its identity.
struct Mover<'a> {
    plan: &'a TablePlan,
    codec: KeyCodec,
    key: Vec<u8>,
    moved: Vec<u8>,
}

impl Mover<'_> {
    fn stays(&mut self, image: &[u8]) -> Result<bool> {
        let mut cells = Vec::new();
        self.plan.layout().split(image, &mut cells)?;
        self.moved.clear();
        self.codec.encode_image(image, &cells, &mut self.moved)?;
        Ok(self.moved == self.key)
    }
}

impl<D, L> Pass<'_, D, L>
where
    D: FnMut(Derived<'_>) -> Result<()>,
    L: FnMut(&[u8], u64) -> Result<()>,
{
    fn run(&mut self, input: &TableInput) -> Result<()> {
        let plan = Arc::new(TablePlan::compile(Arc::clone(input.version()))?);
        let images = Images {
            layout: plan.layout(),
            flavor: plan.version().flavor,
        };
        let (cascades, span) = (self.cascades, input.span());
        let through = span.through();
        let mut walker = Walker::new(images, (&cascades.keys, &cascades.referred), span);
        let mut mover = Mover {
            plan: &plan,
            codec: KeyCodec::new(Arc::clone(&plan)),
            key: Vec::new(),
            moved: Vec::new(),
        };
        let identity = input.identity();
        let mut open = false;
        input.entries(cascades.arrivals.run(), |entry| {
            if open && mover.key != entry.key {
                self.end(&mut walker, &mut mover, through)?;
            }
            open = true;
            mover.key.clear();
            mover.key.extend_from_slice(entry.key);
            let at = (entry.seq, entry.row);
            if entry.step.delta > 0 {
                let copies = entry.step.delta.unsigned_abs();
                let image = entry.payload.get(entry.index);
                walker.appear(at, (image, copies), |d| self.note(&mut mover, d))?;
                if identity == Identity::WholeRow || walker.copies() <= copies {
                    return Ok(());
                }
                walker.keep_one();
                return self.odd("fold rows: a row appears that is already there", &mover, at);
            }
            if walker.vanish(at, |d| self.note(&mut mover, d))? {
                return Ok(());
            }
            self.odd("fold rows: a change to a row that is not there", &mover, at)
        })?;
        match open {
            true => self.end(&mut walker, &mut mover, through),
            false => Ok(()),
        }
    }

    fn end(&mut self, walker: &mut Walker<'_>, mover: &mut Mover<'_>, through: Seq) -> Result<()> {
        let rows = walker.end(through.0, |d| self.note(mover, d))?;
        match rows.copies {
            0 => Ok(()),
            copies => (self.left)(&rows.image, copies),
        }
    }

    /// Tells of a derived change, and whether the row keeps its identity.
    fn note(&mut self, mover: &mut Mover<'_>, derived: Derived<'_>) -> Result<bool> {
        (self.derived)(derived)?;
        let Some(image) = derived.after else {
            return Ok(false);
        };
        let stays = mover.stays(image)?;
        if let Some(arrivals) = self.arrivals.as_mut().filter(|_| !stays) {
            arrivals.push(mover.moved.clone(), derived.at, (derived.copies, image))?;
        }
        Ok(stays)
    }

    fn odd(&self, what: &'static str, mover: &Mover<'_>, at: Place) -> Result<()> {
        if !self.strict {
            return Ok(());
        }
        Err(Error::corrupt(what)
            .field("key", printable(&mover.key))
            .field("seq", at.0)
            .hint("the history of this table is not complete: take a new base, and report it"))
    }
}
