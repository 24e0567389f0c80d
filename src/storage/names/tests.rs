//! Round trips, sorting and hostile names.

use super::*;
use proptest::prelude::*;

const UUID: Uuid = Uuid::from_u128(0x0102_0304_0506_4708_890a_0b0c_0d0e_0f10);

fn samples(timeline: u32, number: i64, small: u32) -> Vec<ObjectName> {
    let folder = SegmentFolder {
        timeline,
        seq_first: Seq(number),
        uuid: UUID,
    };
    let table_id = TableId::allocate(timeline.min(9999), Seq(number), small);
    let base = BaseId {
        timeline,
        seq: Seq(number),
        attempt: small,
    };
    let mut names = vec![
        ObjectName::Repo,
        ObjectName::Timeline { timeline },
        ObjectName::Writer {
            timeline,
            epoch: number.unsigned_abs(),
        },
        ObjectName::Manifest {
            timeline,
            seq_first: Seq(number),
        },
        ObjectName::Tail {
            timeline,
            number: number.unsigned_abs(),
        },
        ObjectName::Catalog {
            timeline,
            seq: Seq(number),
        },
        ObjectName::Base(base),
        ObjectName::TableData {
            table_id: table_id.clone(),
            version: small,
            uuid: UUID,
        },
    ];
    names.extend([BaseFile::Files, BaseFile::Views, BaseFile::Schema].map(|f| base.file(f)));
    let files = [
        SegmentFile::Transactions,
        SegmentFile::Statements(0),
        SegmentFile::Statements(small),
        SegmentFile::Changes {
            table_id,
            version: small,
            part: small,
        },
        SegmentFile::Pack(small),
        SegmentFile::Raw,
    ];
    names.extend(files.map(|f| folder.file(f)));
    names
}

#[test]
fn names_are_those_of_the_format_document() {
    let texts: Vec<String> = samples(1, 42, 7).iter().map(ToString::to_string).collect();
    let seq = "00000000000000000042";
    let table = format!("0001-{seq}-7");
    let segment = format!("timelines/0001/segments/{seq}-01020304-0506-4708-890a-0b0c0d0e0f10");
    assert_eq!(
        texts,
        [
            "repo.json".to_owned(),
            "timelines/0001/timeline.json".to_owned(),
            "timelines/0001/writers/0000000042.json".to_owned(),
            format!("timelines/0001/log/{seq}.json"),
            format!("timelines/0001/tail/{seq}.binlog"),
            format!("timelines/0001/catalog/{seq}.json.zst"),
            format!("timelines/0001/base/{seq}-0007.json"),
            format!("tables/{table}/v7/01020304-0506-4708-890a-0b0c0d0e0f10.parquet"),
            format!("timelines/0001/base/{seq}-0007/files.parquet"),
            format!("timelines/0001/base/{seq}-0007/views.sql"),
            format!("timelines/0001/base/{seq}-0007/schema.sql.zst"),
            format!("{segment}/transactions.parquet"),
            format!("{segment}/statements.parquet"),
            format!("{segment}/statements-7.parquet"),
            format!("{segment}/{table}.v7.7.parquet"),
            format!("{segment}/pack-7.bin"),
            format!("{segment}/raw.binlog"),
        ]
    );
}

#[test]
fn hostile_names_are_refused() {
    let good = "timelines/0001/log/00000000000000000042.json";
    assert!(ObjectName::parse(good).is_ok());
    let log = |rest: &str| format!("timelines/0001/log/{rest}");
    let seq = "00000000000000000042";
    for bad in [
        String::new(),
        "/repo.json".into(),
        "../repo.json".into(),
        "repo.json/".into(),
        log("../timeline.json"),
        log("42.json"),
        log("+0000000000000000042.json"),
        log("99999999999999999999.json"),
        log("000000000000000000042.json"),
        log(&format!("{seq}.json\0")),
        log(&format!("{seq}.JSON")),
        format!("timelines/001/log/{seq}.json"),
        format!("timelines/0001/segments/{seq}-01020304-0506-4708-890A-0B0C0D0E0F10/pack-1.bin"),
        format!("timelines/0001/segments/{seq}-{UUID}/pack-01.bin"),
        format!("timelines/0001/segments/{seq}-{UUID}/../x"),
        format!("timelines/0001/segments/{seq}-{UUID}/0001-{seq}-1.v1.0.0.parquet"),
        format!("tables/../v1/{UUID}.parquet"),
    ] {
        assert!(ObjectName::parse(&bad).is_err(), "{bad}");
    }
}

#[test]
fn manifests_sort_by_number() {
    let name = |n| {
        ObjectName::Manifest {
            timeline: 1,
            seq_first: Seq(n),
        }
        .to_string()
    };
    assert!(name(9) < name(10) && name(10) < name(i64::MAX));
}

proptest! {
    #[test]
    fn every_name_reads_back(timeline in 0_u32..12_000, number in 0_i64.., small: u32) {
        for name in samples(timeline, number, small) {
            let text = name.to_string();
            prop_assert_eq!(ObjectName::parse(&text).ok(), Some(name), "{}", text);
        }
    }

    #[test]
    fn anything_that_parses_is_its_own_text(text in "[a-z0-9./-]{0,80}|timelines/0001/[a-z]{3,8}/[0-9]{20}[.a-z-]{0,12}") {
        if let Ok(name) = ObjectName::parse(&text) {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
