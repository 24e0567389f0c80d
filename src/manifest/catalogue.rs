//! The catalogue: every live table with all its versions, and the only place that allocates
//! table ids, version numbers and field ids.
//!
//! A catalogue is a pure function of the log chain: [`Catalogue::apply`] of every manifest in
//! order gives the same one as the writer had. What a writer allocates is
//! [pending](Catalogue::take_pending) until the manifest that introduces it is committed; when
//! another writer's manifest was committed instead, the writer drops its catalogue, takes the
//! last committed one, applies that manifest and observes its open batch again.

use super::document::{DOCUMENT_BYTES_MAX, Document, invalid};
use super::segment::SegmentManifest;
use crate::error::{Error, Result, Wrap};
use crate::position::{Flavor, Seq};
use crate::schema::{Column, TableId, TableName, TableShape, TableVersion};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

/// Live tables of a timeline as of one entry.
#[derive(Clone, Debug)]
pub struct Catalogue {
    timeline: u32,
    flavor: Flavor,
    /// The catalogue includes the effects of this entry.
    seq: Seq,
    /// All versions of each live table, ascending.
    tables: BTreeMap<TableId, Vec<Arc<TableVersion>>>,
    by_name: HashMap<TableName, TableId>,
    /// Tables allocated at `allocated_at` so far.
    allocated: u32,
    allocated_at: Seq,
    introduced: Vec<Arc<TableVersion>>,
    retired: Vec<TableId>,
    /// The server keeps names in lower case, however a statement spells them.
    names_folded: bool,
    /// The server leaves generated columns out of row images.
    leaves_out: bool,
    /// Which columns are generated, where no version knows yet.
    told: Told,
    /// Shapes already matched, by address; the shape is kept alive so that the address stays
    /// its own.
    seen: HashMap<usize, (Arc<TableShape>, Arc<TableVersion>)>,
}

/// `seen` starts over at this size: the decoder makes a new shape for every table map that is
/// not byte for byte the last one of its table.
const SEEN_MAX: usize = 65_536;

/// What a writer has allocated since its last commit, for the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// New table versions, in order of allocation.
    pub tables: Vec<Arc<TableVersion>>,
    /// Tables whose incarnation ended.
    pub retired: Vec<TableId>,
    /// Which columns of tables are generated, where no version says it yet: all that is known, not
    /// what is new.
    pub computed: Vec<ComputedColumns>,
}

/// `timelines/<t4>/catalog/<seq20>.json.zst`: zstd of a framed JSON object.
#[derive(Debug, Serialize, Deserialize)]
struct CatalogDocument {
    timeline: u32,
    flavor: Flavor,
    seq: Seq,
    #[serde(with = "super::segment::arc_list")]
    tables: Vec<Arc<TableVersion>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    computed: Vec<ComputedColumns>,
    #[serde(skip)]
    requires: Vec<String>,
}

impl Document for CatalogDocument {
    const KIND: &'static str = "catalog";

    fn requires(&self) -> &[String] {
        &self.requires
    }
}

impl Catalogue {
    /// The empty catalogue before a timeline's first entry.
    #[must_use]
    pub fn empty(timeline: u32, flavor: Flavor) -> Catalogue {
        Catalogue {
            timeline,
            flavor,
            seq: Seq(0),
            tables: BTreeMap::new(),
            by_name: HashMap::new(),
            allocated: 0,
            allocated_at: Seq(0),
            introduced: Vec::new(),
            retired: Vec::new(),
            names_folded: false,
            leaves_out: false,
            told: Told::default(),
            seen: HashMap::new(),
        }
    }

    /// The empty catalogue of a timeline that branches off after an entry.
    #[must_use]
    pub fn branch(timeline: u32, flavor: Flavor, seq: Seq) -> Catalogue {
        let mut catalogue = Catalogue::empty(timeline, flavor);
        catalogue.seq = seq;
        catalogue
    }

    /// The entry up to which it is complete: the last one applied.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The flavor of the source.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// Number of live tables.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether no table is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Whether names in statements may differ from those of tables in case
    /// (`lower_case_table_names=1`).
    pub fn fold_names(&mut self, folded: bool) {
        self.names_folded = folded;
    }

    /// A name of a statement as the server spells it.
    #[must_use]
    pub fn spelled(&self, name: &TableName) -> TableName {
        match self.names_folded {
            true => name.lower(),
            false => name.clone(),
        }
    }

    /// The current version of the table of a name.
    #[must_use]
    pub fn by_name(&self, name: &TableName) -> Option<&Arc<TableVersion>> {
        self.current(self.by_name.get(&self.spelled(name))?)
    }

    /// The current version of a live table.
    #[must_use]
    pub fn current(&self, id: &TableId) -> Option<&Arc<TableVersion>> {
        self.tables.get(id)?.last()
    }

    /// A version of a live table.
    #[must_use]
    pub fn version(&self, id: &TableId, version: u32) -> Option<&Arc<TableVersion>> {
        let versions = self.tables.get(id)?;
        versions.iter().find(|v| v.version == version)
    }

    /// The current version of every live table, by table id.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableVersion>> {
        self.tables.values().filter_map(|v| v.last())
    }

    /// All versions of every live table, by table id and version.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<TableVersion>> {
        self.tables.values().flatten()
    }

    /// The version that rows with this shape at this entry belong to; allocates a table at
    /// first sight of a name and a version when the shape is new. A shape that was matched
    /// before (the same allocation) is found by its address.
    ///
    /// Only what a table map says makes a new version, and the declared type of a column whose
    /// cells were of unknown length. When raw table map or definition text
    /// alone differ, the version stays as it was introduced.
    pub fn observe(&mut self, shape: &Arc<TableShape>, seq: Seq) -> Arc<TableVersion> {
        let address = Arc::as_ptr(shape) as usize;
        if let Some((_, version)) = self.seen.get(&address) {
            return Arc::clone(version);
        }
        let version = match self.by_name(&shape.name).cloned() {
            Some(current)
                if current.has_shape(shape)
                    && !self.learns(&current, shape)
                    && !learns_lengths(&current, shape) =>
            {
                current
            }
            Some(current) if current.has_shape(shape) && !learns_lengths(&current, shape) => {
                // All else stays, above all what keys are made of.
                let next = current.next(seq, shape_of(&current));
                self.introduce_told(next, (shape, Some(&current)))
            }
            Some(current) => {
                let next = current.next(seq, TableShape::clone(shape));
                self.introduce_told(next, (shape, Some(&current)))
            }
            None => {
                let id = self.allocate(seq);
                let flavor = self.flavor;
                let first = TableVersion::first(id, seq, flavor, TableShape::clone(shape));
                self.introduce_told(first, (shape, None))
            }
        };
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        self.seen
            .insert(address, (Arc::clone(shape), Arc::clone(&version)));
        version
    }

    /// A statement may have changed what table maps do not show of this table: the fractions of
    /// MariaDB's old temporal types. Until they are read again, its cells are of unknown length.
    pub fn doubt_table(&mut self, name: &TableName, seq: Seq) {
        let doubted = self.by_name(name).and_then(|current| current.in_doubt(seq));
        if let Some(next) = doubted {
            self.introduce(next);
        }
    }

    /// DROP TABLE: the incarnation ends. `false` when the name is not known (nothing to end).
    pub fn drop_table(&mut self, name: &TableName) -> bool {
        self.told.forget(&self.spelled(name));
        let id = self.by_name.get(&self.spelled(name)).cloned();
        id.inspect(|id| self.retire(id)).is_some()
    }

    /// DROP DATABASE: ends every incarnation in it and says how many there were.
    pub fn drop_database(&mut self, db: &str) -> usize {
        let db = self.spelled(&TableName::new(db, "")).db;
        self.told.forget_database(&db);
        let names = self.by_name.iter().filter(|(name, _)| name.db == db);
        let mut ids: Vec<TableId> = names.map(|(_, id)| id.clone()).collect();
        // The order goes into the manifest, so it must not depend on hashing.
        ids.sort();
        ids.iter().for_each(|id| self.retire(id));
        ids.len()
    }

    /// RENAME TABLE (one pair; several are applied in order): the table keeps its id and gets a
    /// version with the new name. `None` when the old name is not known. A table that we still
    /// believe to have the new name has ended, for the server would have refused otherwise.
    pub fn rename_table(
        &mut self,
        from: &TableName,
        to: &TableName,
        seq: Seq,
    ) -> Option<Arc<TableVersion>> {
        let (from, to) = (&self.spelled(from), &self.spelled(to));
        let told = self.told.of_table(from).cloned();
        let current = self.by_name(from).cloned();
        if from == to {
            return current;
        }
        if current.is_some() || told.is_some() {
            self.drop_table(to);
        }
        self.told.rename(from, to);
        let current = current?;
        self.by_name.remove(from);
        let mut shape = shape_of(&current);
        shape.name = to.clone();
        // The logged map and the text carry the old name.
        shape.raw_table_map = Vec::new();
        let mut next = current.next(seq, shape);
        next.definition = None;
        Some(self.introduce(next))
    }

    /// TRUNCATE TABLE: the incarnation ends and another of the same shape begins. `None` when
    /// the name is not known.
    pub fn truncate_table(&mut self, name: &TableName, seq: Seq) -> Option<Arc<TableVersion>> {
        let current = self.by_name(name)?.clone();
        let told = self.told.clone();
        self.drop_table(name);
        self.told = told;
        let id = self.allocate(seq);
        let mut first = TableVersion::first(id, seq, self.flavor, shape_of(&current));
        first.given_rows = current.given_rows;
        Some(self.introduce(first))
    }

    /// Whether something was allocated since the last [`take_pending`](Self::take_pending).
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.introduced.is_empty() || !self.retired.is_empty()
    }

    /// Takes what was allocated since the last call: the `tables` and `retired` of the next
    /// manifest, which the caller commits or never writes at all. `through` is that manifest's
    /// last entry.
    pub fn take_pending(&mut self, through: Seq) -> Pending {
        self.seq = self.seq.max(through);
        Pending {
            tables: std::mem::take(&mut self.introduced),
            retired: std::mem::take(&mut self.retired),
            computed: self.told.list(),
        }
    }

    /// Applies a committed manifest.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when it does not follow, or introduces a
    /// version that does not follow the last one of its table, or retires an unknown table.
    pub fn apply(&mut self, manifest: &SegmentManifest) -> Result<()> {
        if manifest.timeline != self.timeline || manifest.seq_first != self.seq.next() {
            return Err(invalid("apply manifest to catalogue")
                .field("seq", self.seq)
                .field("seq_first", manifest.seq_first));
        }
        if !self.introduced.is_empty() || !self.retired.is_empty() {
            return Err(Error::internal("apply manifest over pending allocations"));
        }
        self.seq = manifest.seq_last;
        self.told = Told::of(&manifest.computed);
        if manifest.tables.is_empty() && manifest.retired.is_empty() {
            return Ok(());
        }
        self.seen.clear();
        // A table may be introduced and retired within one segment, and names may be swapped:
        // names follow those that are alive at its end.
        for version in &manifest.tables {
            self.add_version(Arc::clone(version))?;
        }
        for id in &manifest.retired {
            self.tables
                .remove(id)
                .ok_or_else(|| invalid("retire unknown table").field("table_id", id))?;
        }
        self.index_names()
    }

    /// The stored bytes of `catalog/<seq>.json.zst`.
    ///
    /// # Errors
    /// [`Internal`](crate::error::ErrorKind::Internal) when it is too large.
    pub fn encode(&self) -> Result<Bytes> {
        let document = CatalogDocument {
            timeline: self.timeline,
            flavor: self.flavor,
            seq: self.seq,
            tables: self.versions().cloned().collect(),
            computed: self.told.list(),
            requires: self.requires(),
        };
        let bytes = document.encode()?;
        let packed = zstd::bulk::compress(&bytes, 3).wrap(|| Error::internal("pack catalogue"))?;
        Ok(packed.into())
    }

    /// Reads stored bytes; `object` is the name for error messages.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) or
    /// [`Incompatible`](crate::error::ErrorKind::Incompatible), as [`Document::decode`].
    pub fn decode(object: &str, bytes: &[u8]) -> Result<Catalogue> {
        let unpack = || Error::corrupt("unpack catalogue").field("object", object);
        let mut plain = Vec::new();
        zstd::Decoder::new(bytes)
            .wrap(unpack)?
            .take(DOCUMENT_BYTES_MAX as u64 + 1)
            .read_to_end(&mut plain)
            .wrap(unpack)?;
        let document = CatalogDocument::decode(object, &plain)?;
        let mut catalogue = Catalogue::empty(document.timeline, document.flavor);
        catalogue.seq = document.seq;
        catalogue.told = Told::of(&document.computed);
        let filled = document
            .tables
            .into_iter()
            .try_for_each(|version| catalogue.add_version(version))
            .and_then(|()| catalogue.index_names());
        filled.wrap(|| Error::corrupt("read catalogue").field("object", object))?;
        Ok(catalogue)
    }

    fn allocate(&mut self, seq: Seq) -> TableId {
        if self.allocated_at != seq {
            (self.allocated_at, self.allocated) = (seq, 0);
        }
        let id = TableId::allocate(self.timeline, seq, self.allocated);
        self.allocated += 1;
        id
    }

    fn introduce(&mut self, version: TableVersion) -> Arc<TableVersion> {
        let version = Arc::new(version);
        if version.version > 1 {
            // A shape of an older version may come again, and is another version then.
            self.seen.clear();
        }
        self.by_name
            .insert(version.name.clone(), version.table_id.clone());
        self.tables
            .entry(version.table_id.clone())
            .or_default()
            .push(Arc::clone(&version));
        self.introduced.push(Arc::clone(&version));
        version
    }

    fn retire(&mut self, id: &TableId) {
        self.seen.clear();
        let last = self.tables.remove(id).and_then(|mut v| v.pop());
        if let Some(last) = last
            && self.by_name.get(&last.name) == Some(id)
        {
            self.by_name.remove(&last.name);
        }
        self.retired.push(id.clone());
    }

    fn add_version(&mut self, version: Arc<TableVersion>) -> Result<()> {
        let bad = |what| {
            invalid(what)
                .field("table_id", &version.table_id)
                .field("version", version.version)
        };
        if version.flavor != self.flavor {
            return Err(bad("read table version of another flavor"));
        }
        let versions = self.tables.entry(version.table_id.clone()).or_default();
        let expected = versions.last().map_or(1, |last| last.version + 1);
        if version.version != expected {
            return Err(bad("read table version out of order").field("expected", expected));
        }
        versions.push(Arc::clone(&version));
        Ok(())
    }

    /// Two live tables never share a name.
    fn index_names(&mut self) -> Result<()> {
        self.by_name.clear();
        for versions in self.tables.values() {
            let Some(current) = versions.last() else {
                continue;
            };
            let former = self
                .by_name
                .insert(current.name.clone(), current.table_id.clone());
            if let Some(former) = former {
                return Err(invalid("read two tables of one name")
                    .field("table", &current.name)
                    .field("table_id", &current.table_id)
                    .field("other", former));
            }
        }
        Ok(())
    }
}

/// Whether a shape says how long the cells of a column are that were of unknown length.
fn learns_lengths(current: &TableVersion, shape: &TableShape) -> bool {
    let unknown = |c: &Column| c.is_of_unknown_length(current.flavor);
    let mut pairs = current.columns.iter().zip(&shape.columns);
    pairs.any(|(was, is)| unknown(was) && !unknown(is))
}

/// The shape of a version, ids and storage apart.
fn shape_of(version: &TableVersion) -> TableShape {
    TableShape {
        name: version.name.clone(),
        columns: version.columns.clone(),
        key: version.key.clone(),
        raw_table_map: version.raw_table_map.clone(),
        definition: version.definition.clone(),
    }
}

mod computed;
#[cfg(test)]
mod tests;

pub use computed::ComputedColumns;
use computed::Told;
