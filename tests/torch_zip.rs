//! The strict zip reader: what another reader could see differently is refused, what honest writers do is not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod torch_maker;

use std::io::Cursor;

use expert_build::format::torch::{self, FaultKind, TorchFault, TorchFile};
use expert_build::format::zip::Kind;
use torch_maker::{Member, member, members, pickle, tensor, zip};

const DATA: [u8; 128] = [7; 128];

fn read(bytes: &[u8]) -> Result<TorchFile, TorchFault> {
    torch::read(&mut Cursor::new(bytes), bytes.len() as u64)
}

fn good() -> Vec<Member> {
    members(&pickle(&tensor("0")), &[("0", &DATA)])
}

/// The file with one member changed.
fn changed(index: usize, change: impl FnOnce(&mut Member)) -> Vec<u8> {
    let mut all = good();
    change(&mut all[index]);
    zip(&all)
}

fn refused(bytes: &[u8], kind: FaultKind) {
    match read(bytes) {
        Ok(file) => panic!("accepted: {file:?}"),
        Err(fault) => assert_eq!(fault.kind, kind, "{fault}"),
    }
}

#[test]
fn honest_archives_are_read() {
    assert_eq!(read(&zip(&good())).unwrap().tensors[0].shape, [4, 8]);
    for len in [12, 16, 20, 24] {
        let all: Vec<Member> = good().into_iter().map(|m| Member { descriptor: Some(len), ..m }).collect();
        assert_eq!(read(&zip(&all)).unwrap().tensors.len(), 1, "descriptors of {len} bytes");
    }
    let all: Vec<Member> = good().into_iter().map(|m| Member { deflate: true, flags: 2, ..m }).collect();
    assert_eq!(read(&zip(&all)).unwrap().tensors.len(), 1);
    // `zip -r` adds the folder itself.
    let mut all = good();
    all.insert(0, Member { attributes: 0o040_755 << 16 | 0x10, ..member("a/", b"") });
    assert!(read(&zip(&all)).unwrap().oddities.is_empty());
    // Regular files may say so.
    assert!(read(&changed(2, |m| m.attributes = 0o100_644 << 16)).is_ok());
}

#[test]
fn bytes_that_belong_to_no_entry_are_refused() {
    let zip_layout = FaultKind::Zip(Kind::Layout);
    refused(&changed(1, |m| m.gap = b"PK\x03\x04 hidden".to_vec()), zip_layout);
    refused(&changed(3, |m| m.gap = vec![0]), zip_layout);
    refused(&[zip(&good()).as_slice(), b"behind"].concat(), zip_layout);
    refused(&[b"PK\x03\x04".as_slice(), &zip(&good())].concat(), zip_layout);
    // A comment that is declared, and one that is not there.
    let mut commented = zip(&good());
    let at = commented.len() - 2;
    commented[at] = 3;
    refused(&commented, zip_layout);
    commented.extend(b"abc");
    refused(&commented, zip_layout);
    // Behind a deflate stream, inside the entry.
    let hidden = changed(0, |m| {
        m.deflate = true;
        m.behind = b"hidden".to_vec();
    });
    refused(&hidden, FaultKind::Zip(Kind::Size));
}

#[test]
fn one_entry_is_one_thing() {
    refused(&changed(0, |m| m.local_name = Some("a/evil.pkl".into())), FaultKind::Zip(Kind::Mismatch));
    refused(&changed(2, |m| m.attributes = 0o120_777 << 16), FaultKind::Zip(Kind::Link));
    refused(&changed(2, |m| m.attributes = 0o010_644 << 16), FaultKind::Zip(Kind::Link));
    for name in ["a/../b", "/a/b", "a//b", "a/./b", "a\\b", "c:/x", "..", "a/\u{1b}[2J"] {
        let mut all = good();
        all.push(member(name, b"x"));
        refused(&zip(&all), FaultKind::Zip(Kind::Path));
    }
    let mut all = good();
    all.push(member("a/data/0", &DATA));
    refused(&zip(&all), FaultKind::Zip(Kind::Duplicate));
    // The flag in one header alone.
    let mut bytes = zip(&good());
    bytes[6] ^= 0b10;
    refused(&bytes, FaultKind::Zip(Kind::Mismatch));
    let mut bytes = zip(&good());
    bytes[14] ^= 1;
    refused(&bytes, FaultKind::Zip(Kind::Mismatch));
}

#[test]
fn packing_that_torch_does_not_know_is_refused() {
    refused(&changed(0, |m| m.method = Some(12)), FaultKind::Zip(Kind::Flags));
    refused(&changed(0, |m| m.flags = 1), FaultKind::Zip(Kind::Flags));
    refused(&changed(0, |m| m.flags = 1 << 13), FaultKind::Zip(Kind::Flags));
    refused(&changed(2, |m| m.unpacked = Some(127)), FaultKind::Zip(Kind::Size));
    // Deflated data that is longer or shorter than it says.
    for size in [100, 129] {
        let lie = changed(0, |m| {
            m.deflate = true;
            m.unpacked = Some(size);
        });
        assert!(read(&lie).is_err(), "{size}");
    }
    // Entries that share their bytes: the directory of one archive names one header twice.
    let mut shared = zip(&good());
    let directory = shared.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let second = directory + 46 + "a/data.pkl".len();
    shared.copy_within(directory + 42..directory + 46, second + 42);
    refused(&shared, FaultKind::Zip(Kind::Mismatch));
}

#[test]
fn a_bomb_is_not_unpacked() {
    let bomb = changed(2, |m| {
        m.data = vec![0; 2 << 20];
        m.deflate = true;
    });
    // Its size is wrong to begin with.
    refused(&bomb, FaultKind::Storage);
    let mut all = good();
    all.push(Member { deflate: true, ..member("a/data/1", &vec![0; 2 << 20]) });
    refused(&zip(&all), FaultKind::Zip(Kind::Bomb));
    let mut all = good();
    all[0] = Member { deflate: true, ..member("a/data.pkl", &[b'N'; 2 << 20]) };
    refused(&zip(&all), FaultKind::Zip(Kind::Bomb));
    // Each of them small enough by itself.
    let mut all = good();
    all.extend((1..20).map(|i| Member { deflate: true, ..member(&format!("a/data/{i}"), &[0; 1 << 20]) }));
    refused(&zip(&all), FaultKind::Zip(Kind::Bomb));
    // A pickle that is long, but not by deflate's art alone.
    let mut seed = 1_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    };
    let noise: Vec<u8> = (0..1 << 20).map(|_| random()).collect();
    let mut all = good();
    all[0] = Member { deflate: true, unpacked: Some(33 << 20), ..member("a/data.pkl", &noise) };
    refused(&zip(&all), FaultKind::Limit);
}

#[test]
fn records_are_the_ones_that_torch_has() {
    let with = |name: &str, data: &[u8]| {
        let mut all = good();
        all.push(member(name, data));
        zip(&all)
    };
    refused(&with("a/hidden.pkl", b"x"), FaultKind::Record);
    refused(&with("b/data/1", b"x"), FaultKind::Record);
    refused(&with("loose", b"x"), FaultKind::Record);
    refused(&with("a/code/__torch__.py", b"x"), FaultKind::Script);
    assert_eq!(read(&with("a/data/1", b"x")).unwrap().oddities.len(), 1);
    refused(&changed(1, |m| m.data = b"middle".to_vec()), FaultKind::Record);
    refused(&changed(1, |m| m.data = vec![b' '; 100]), FaultKind::Record);
    refused(&changed(3, |m| m.data = b"11\n".to_vec()), FaultKind::Record);
    refused(&changed(3, |m| m.name = "a/versions".into()), FaultKind::Record);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = zip(&good());
    for len in 0..whole.len() {
        assert!(read(&whole[..len]).is_err(), "cut at {len}");
    }
    // A length that is another than the source's, too: the file changed while it was read.
    assert_eq!(torch::read(&mut Cursor::new(&whole[..50]), whole.len() as u64).unwrap_err().kind, FaultKind::Truncated);
}
