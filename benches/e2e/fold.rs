//! The fold alone: the change files of one table into a base file, in a process of its own, so that
//! its memory and CPU are its own. The benchmark calls itself for it.

use arrow_array::RecordBatch;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tidelog::base::fold::{Identity, Keys, Run, RunBatch, Step, fold};
use tidelog::error::{Error, Result};
use tidelog::manifest::{Document as _, FileEntry, FileOrder, FileRole, SegmentManifest};
use tidelog::schema::TableVersion;
use tidelog::segment::{
    BatchView, FileKind, FileOptions, KeyCodec, ReadOptions, RowOrder, RowPick, TableFileReader,
    TableFileWriter, TablePlan,
};

/// Where the benchmark, called by itself, finds what to fold: folder of the repository, table, folder
/// of the output.
const VARIABLES: [&str; 3] = [
    "TIDELOG_BENCH_FOLD",
    "TIDELOG_BENCH_FOLD_TABLE",
    "TIDELOG_BENCH_FOLD_INTO",
];
/// Rows of a batch of the output, and the bytes of the batches that they are picked of.
const BATCH_ROWS: usize = 8_192;
const BYTES_HELD: usize = 16 << 20;
/// How many picks wait.
const PICKS_WAITING: usize = 2;
/// Bytes of a file of the output, about.
const PART_BYTES: usize = 64 << 20;

/// This program again, to fold a table of a repository.
pub(crate) fn command(repo: &Path, table: &str, into: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let values = [repo.as_os_str(), table.as_ref(), into.as_os_str()];
    command.envs(VARIABLES.into_iter().zip(values));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Folds, where this process was started for that.
pub(crate) fn was_asked_for() -> bool {
    let [Some(repo), Some(table), Some(into)] = VARIABLES.map(std::env::var_os) else {
        return false;
    };
    let input = Input::find(Path::new(&repo), &table.to_string_lossy());
    let folded = input.fold(Path::new(&into));
    folded.unwrap_or_else(|e| panic!("{}", e.report()));
    true
}

/// The change files of a table, in log order; it began empty and was never altered.
#[derive(Debug)]
pub(crate) struct Input {
    version: Arc<TableVersion>,
    files: Vec<FileEntry>,
    root: PathBuf,
}

impl Input {
    pub(crate) fn find(root: &Path, table: &str) -> Input {
        let log = std::fs::read_dir(root.join("timelines/0001/log")).expect("manifests");
        let mut paths: Vec<PathBuf> = log.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        let (mut version, mut files) = (None, Vec::new());
        for path in paths {
            let bytes = std::fs::read(&path).expect("a manifest");
            let name = path.display().to_string();
            let manifest = SegmentManifest::decode(&name, &bytes);
            let manifest = manifest.unwrap_or_else(|e| panic!("{}", e.report()));
            let mut tables = manifest.tables.iter();
            if let Some(found) = tables.find(|found| found.name.table == table) {
                assert!(version.is_none(), "{table} has one version");
                version = Some(Arc::clone(found));
            }
            files.extend(manifest.files);
        }
        let version = version.expect("the table is in the log");
        let is_of_table = |file: &FileEntry| {
            file.role == FileRole::Changes && file.table_id.as_ref() == Some(&version.table_id)
        };
        files.retain(is_of_table);
        let is_sorted = |file: &FileEntry| file.order == FileOrder::Key && file.offset == 0;
        assert!(files.iter().all(is_sorted), "each file is one sorted run");
        let root = root.to_owned();
        Input {
            version,
            files,
            root,
        }
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let names = self.files.iter().map(|file| self.root.join(&file.object));
        names.collect()
    }

    /// Images in all files.
    pub(crate) fn images(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Base files of the rows that are left.
    fn fold(&self, into: &Path) -> Result<()> {
        let plan = Arc::new(TablePlan::compile(Arc::clone(&self.version))?);
        let mut runs = Vec::new();
        for path in self.paths() {
            let file = SharedFile(Arc::new(File::open(path).expect("a change file")));
            let reader = TableFileReader::open(file, Arc::clone(&plan), FileKind::Change)?;
            let batches = reader.read(&ReadOptions::default())?;
            let mapper = Mapper {
                keys: KeyCodec::new(Arc::clone(&plan)),
                plan: Arc::clone(&plan),
            };
            runs.push(Run::whole(batches.map(move |batch| mapper.map(batch?))));
        }
        std::fs::create_dir_all(into).expect("make a folder");
        let mut output = Output {
            plan,
            writer: None,
            folder: into.to_owned(),
            parts: 0,
        };
        // One core folds, the other one encodes.
        let (sender, receiver) = std::sync::mpsc::sync_channel::<RowPick>(PICKS_WAITING);
        let written = std::thread::spawn(move || -> Result<()> {
            for pick in receiver {
                output.push(&pick)?;
            }
            output.end_part()
        });
        let mut pick = RowPick::default();
        let send = |pick: &mut RowPick| sender.send(std::mem::take(pick)).is_ok();
        fold(Identity::Key, runs, |row| {
            pick.push(&row.payload.batch, row.payload.rows[row.index]);
            let is_full = pick.len() >= BATCH_ROWS || pick.bytes_held() >= BYTES_HELD;
            if is_full && !send(&mut pick) {
                return Err(Error::internal("write base file"));
            }
            Ok(())
        })?;
        if !pick.is_empty() {
            send(&mut pick);
        }
        drop(sender);
        written.join().expect("the writer")
    }
}

struct Output {
    plan: Arc<TablePlan>,
    writer: Option<TableFileWriter>,
    folder: PathBuf,
    parts: u32,
}

impl Output {
    fn push(&mut self, pick: &RowPick) -> Result<()> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let options = FileOptions::new(FileKind::Base, RowOrder::Sorted, true);
                TableFileWriter::new(Arc::clone(&self.plan), options)?
            }
        };
        writer.write(&pick.base_batch(&self.plan)?)?;
        let bytes = writer.bytes_estimate();
        self.writer = Some(writer);
        match bytes < PART_BYTES {
            true => Ok(()),
            false => self.end_part(),
        }
    }

    fn end_part(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let path = self.folder.join(format!("{}.parquet", self.parts));
        std::fs::write(path, writer.finish()?.bytes).expect("write a base file");
        self.parts += 1;
        Ok(())
    }
}

/// A file that several readers share, as restores read what they have fetched.
#[derive(Clone)]
struct SharedFile(Arc<File>);

impl Length for SharedFile {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for SharedFile {
    type T = <File as ChunkReader>::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<bytes::Bytes> {
        self.0.get_bytes(start, length)
    }
}

struct Mapper {
    plan: Arc<TablePlan>,
    keys: KeyCodec,
}

/// A batch, and the row of it that an entry leaves.
struct Rows {
    batch: RecordBatch,
    rows: Vec<usize>,
}

impl Mapper {
    /// One entry a key, as restores do it: what the changes of the batch come to, and the row
    /// that the last of them leaves.
    fn map(&self, batch: RecordBatch) -> Result<RunBatch<Rows>> {
        let view = BatchView::new(&self.plan, &batch)?;
        let (mut keys, mut key) = (Keys::default(), Vec::new());
        let mut entries: Vec<(i64, i64, Step)> = Vec::new();
        let mut rows = Vec::new();
        for row in 0..view.rows() {
            let change = view.change(row)?;
            let step = Step::of(change.op);
            key.clear();
            self.keys.encode_batch(&view, row, &mut key)?;
            let is_same = !keys.is_empty() && keys.get(keys.len() - 1) == key;
            match entries.last_mut().zip(rows.last_mut()).filter(|_| is_same) {
                Some((last, last_row)) => {
                    *last = (change.seq.0, change.row, last.2.then(step));
                    *last_row = row;
                }
                None => {
                    keys.push(&key);
                    entries.push((change.seq.0, change.row, step));
                    rows.push(row);
                }
            }
        }
        Ok(RunBatch {
            keys,
            seqs: entries.iter().map(|entry| entry.0).collect(),
            rows: entries.iter().map(|entry| entry.1).collect(),
            steps: entries.iter().map(|entry| entry.2).collect(),
            payload: Rows { batch, rows },
        })
    }
}
