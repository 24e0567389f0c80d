//! A binlog file of transactions that update one row.

use tidelog::binlog::event::{CHECKSUM_LEN, HEADER_LEN, checksum};

/// A format description of MySQL 9.7, without its checksum.
const DESCRIPTION: &str = "\
    71ba096b0f010000007b0000007f00000000000400392e372e342d3200000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000013000d00080000000004000400\
    00006300041a08000000000000020000000a0a0a2a2a001234000a28000001";

/// The events of a transaction as MySQL 9.7 logs it with full metadata, without their checksums: a GTID,
/// BEGIN, a table map, an update of one row, an XID.
const TRANSACTION: [&str; 5] = [
    "\
        71ba096b21010000004f000000150100000000008145b4a4ea8511f19c9602fc00000001d312000000000000\
        0200000000000000000100000000000000abcd2731456106fc8e0150620100",
    "\
        71ba096b02010000005c000000710100000800660000000000000000000032000000000000012000a0450000\
        0000060373746404ff00ff00ff00050653595354454d0901000000000000000d580e0912ff0000424547494e",
    "\
        71ba096b130100000057000000c801000000007b000000000001000562656e63680003686f7400040308110f\
        0306f000040101000203fcff0004120269640468697473047365656e046e616d650801000c01f0",
    "\
        71ba096b1f010000006d0000003502000000007b00000000001100020004ffff04b914000000000000000000\
        0013636f756e746572206e756d626572203533303500b914000001000000000000006b09ba71090e5813636f\
        756e746572206e756d6265722035333035",
    "\
        71ba096b10010000001f000000540200000000bb17000000000000",
];

/// The file with so many transactions.
pub(crate) fn file(transactions: u64) -> Vec<u8> {
    let bytes = |text: &str| hex::decode(text).expect("hexadecimal digits");
    let events: Vec<Vec<u8>> = TRANSACTION.iter().map(|text| bytes(text)).collect();
    let mut file = tidelog::binlog::MAGIC.to_vec();
    append(&bytes(DESCRIPTION), &mut file);
    for _ in 0..transactions {
        events.iter().for_each(|event| append(event, &mut file));
    }
    file
}

/// Appends an event with the position where it ends and its checksum.
fn append(event: &[u8], file: &mut Vec<u8>) {
    let mut event = event.to_vec();
    let end = u32::try_from(file.len() + event.len() + CHECKSUM_LEN).expect("a small file");
    event[HEADER_LEN - 6..HEADER_LEN - 2].copy_from_slice(&end.to_le_bytes());
    let sum = checksum(&event).to_le_bytes();
    file.extend(event.into_iter().chain(sum));
}
