//! Data files and bases.

use super::{kind, new_repository};
use crate::error::ErrorKind;
use crate::manifest::tests::samples::{base, segment};
use crate::manifest::{FileEntry, FileRole, ObjectRef, PutFile};
use crate::position::Seq;
use crate::runtime::ids;
use crate::storage::{BaseFile, BaseId, ObjectName, SegmentFile, SegmentFolder};
use bytes::Bytes;

#[tokio::test]
async fn files_come_back_only_as_they_were_named() {
    let repository = new_repository().await;
    let folder = SegmentFolder {
        timeline: 1,
        seq_first: Seq(1),
        uuid: ids::new_uuid(),
    };
    let name = folder.file(SegmentFile::Pack(0));
    let pack = Bytes::from_static(b"onetwothree");
    let put = repository.put_file(&name, pack.clone()).await.expect("put");
    assert_eq!(put, PutFile::of(&pack));
    let member = |offset: u64, bytes: &[u8]| {
        let of = PutFile::of(bytes);
        FileEntry {
            role: FileRole::Changes,
            object: name.to_string(),
            offset,
            length: of.length,
            crc32: of.crc32,
            sha256: of.sha256,
            ..segment().files.remove(3)
        }
    };
    let members = [member(3, b"two"), member(0, b"one"), member(6, b"three")];
    let got = repository.get_files(&members).await.expect("get");
    assert_eq!(got, ["two", "one", "three"]);
    assert_eq!(
        repository.get_file(&members[2]).await.expect("get"),
        "three"
    );

    let wrong = member(1, b"one");
    assert_eq!(
        kind(repository.get_file(&wrong).await),
        Some(ErrorKind::Corrupt)
    );
    assert_eq!(
        kind(repository.get_files(&[wrong]).await),
        Some(ErrorKind::Corrupt)
    );
    let past = member(9, b"three");
    assert_eq!(
        kind(repository.get_file(&past).await),
        Some(ErrorKind::Corrupt)
    );
    let whole = ObjectRef {
        object: name.to_string(),
        length: put.length,
        crc32: put.crc32,
        sha256: put.sha256,
    };
    assert_eq!(repository.get_object(&whole).await.expect("get"), pack);
    let longer = Bytes::from_static(b"onetwothree!");
    repository
        .store()
        .put(&whole.object, longer)
        .await
        .expect("put");
    assert_eq!(
        kind(repository.get_object(&whole).await),
        Some(ErrorKind::Corrupt)
    );
    repository
        .store()
        .delete(&whole.object)
        .await
        .expect("delete");
    let gone = repository.get_file(&members[0]).await.expect_err("gone");
    assert_eq!(gone.kind(), ErrorKind::Corrupt);
    assert_eq!(gone.get("object"), Some(whole.object.as_str()));
}

#[tokio::test]
async fn the_highest_attempt_of_a_base_wins() {
    let repository = new_repository().await;
    let with = |seq: i64, attempt| {
        let mut base = base();
        let id = BaseId {
            timeline: 1,
            seq: Seq(seq),
            attempt,
        };
        (base.seq, base.attempt) = (id.seq, attempt);
        base.apply_from_seq = Seq(1);
        base.tables.clear();
        base.open_xa.clear();
        for (reference, file) in [
            (&mut base.files, BaseFile::Files),
            (&mut base.views, BaseFile::Views),
            (&mut base.schema, BaseFile::Schema),
        ] {
            reference.object = id.file(file).to_string();
        }
        let seq = Seq(1);
        base.catalog.object = ObjectName::Catalog { timeline: 1, seq }.to_string();
        base
    };
    assert_eq!(repository.latest_base(1, Seq(9)).await.expect("none"), None);
    for (seq, attempt) in [(5, 1), (5, 3), (5, 2), (12, 1)] {
        let base = with(seq, attempt);
        repository.commit_base(&base).await.expect("commit");
        // The files of a base are no bases.
        repository
            .store()
            .put(&base.files.object, Bytes::new())
            .await
            .expect("put");
    }
    let found: Vec<(i64, u32)> = repository
        .bases(1)
        .await
        .expect("bases")
        .iter()
        .map(|b| (b.seq.0, b.attempt))
        .collect();
    assert_eq!(found, [(5, 3), (12, 1)]);
    let latest = async |seq| repository.latest_base(1, Seq(seq)).await.expect("latest");
    assert_eq!(latest(4).await, None);
    assert_eq!(latest(11).await, Some(with(5, 3)));
    assert_eq!(latest(12).await, Some(with(12, 1)));
    let mut other = with(5, 3);
    other.created_us += 1;
    assert_eq!(
        kind(repository.commit_base(&other).await),
        Some(ErrorKind::Fenced)
    );
}
