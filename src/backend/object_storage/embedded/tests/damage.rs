//! Disks that give back other bytes than they were given.

use std::{fs, ops::Range};

use super::*;
use crate::backend::object_storage::embedded::{
    blocks::BLOCK,
    rows::{ObjectRow, Segment},
};

/// Set in the process that reads a damaged object.
const CHILD: &str = "LOOPBACK_TEST_DAMAGE_CHILD";

/// Bytes that came, and whether they were all that was announced. What came is never other than what was put.
async fn fetch(s3: &Client, path: &str, range: Range<usize>, whole: &[u8]) -> (u16, bool) {
    let range_header = format!("bytes={}-{}", range.start, range.end - 1);
    let headers = [("range", range_header.as_str())];
    let hash = "UNSIGNED-PAYLOAD";
    let mut answer = s3.send_hashed(reqwest::Method::GET, path, &[], &headers, hash, "".into()).await.unwrap();
    let (status, mut came) = (answer.status().as_u16(), Vec::new());
    if status >= 300 {
        assert!(answer.text().await.unwrap().contains("<Code>InternalError</Code>"));
        return (status, false);
    }
    let all = loop {
        match answer.chunk().await {
            Ok(Some(bytes)) => came.extend_from_slice(&bytes),
            ended => break ended.is_ok(),
        }
    };
    assert!(whole[range.clone()].starts_with(&came), "wrong bytes were served");
    assert_eq!(all, came.len() == range.len());
    (status, all)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let before = fs::read(path).unwrap();
    let mut bytes = before.clone();
    change(&mut bytes);
    assert!(bytes != before);
    fs::write(path, bytes).unwrap();
    before
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_whole_is_read_whole_and_in_pieces() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    for size in [1, BLOCK - 1, BLOCK, BLOCK + 1, 8 * BLOCK, 20 * BLOCK + 77] {
        let body = noise(size as u64, size);
        ok(&s3.put("/shop/a", body.clone()).await);
        assert!(s3.get("/shop/a").await.body == body);
        let ends = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 8 * BLOCK - 1, 8 * BLOCK + 3, size - 1, size];
        for (from, to) in ends.into_iter().flat_map(|from| ends.into_iter().map(move |to| (from, to))) {
            if from < to && to <= size {
                assert_eq!(fetch(&s3, "/shop/a", from..to, &body).await, (206, true), "{from}..{to} of {size}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_are_never_served() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let size = 20 * BLOCK + 77;
    let body = noise(1, size);
    ok(&s3.put("/shop/a", body.clone()).await);
    let file = rig.blobs().pop().unwrap();
    let stride = BLOCK + 8;
    // Where a bit flips in the file: in bytes and in checksums, of the first block, one far behind it, and the last.
    for (at, block) in
        [(0, 0), (BLOCK, 0), (stride, 1), (12 * stride - 1, 11), (20 * stride, 20), (20 * stride + 80, 20)]
    {
        let before = change(&file, |bytes| bytes[at] ^= 0x10);
        let (status, all) = fetch(&s3, "/shop/a", 0..size, &body).await;
        assert!(!all && status == if block < 8 { 500 } else { 206 }, "{at}: {status}");
        let start = block * BLOCK;
        assert_eq!(fetch(&s3, "/shop/a", start..start + 1, &body).await, (500, false), "{at}");
        if block > 0 {
            assert_eq!(fetch(&s3, "/shop/a", 0..start, &body).await, (206, true), "{at}");
        }
        if block < 20 {
            assert_eq!(fetch(&s3, "/shop/a", start + BLOCK..size, &body).await, (206, true), "{at}");
        }
        fs::write(&file, before).unwrap();
    }
    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(0),
        |bytes: &mut Vec<u8>| bytes.truncate(20 * (BLOCK + 8)),
        |bytes: &mut Vec<u8>| bytes.truncate(20 * (BLOCK + 8) + 40),
        |bytes: &mut Vec<u8>| bytes.copy_within(..BLOCK + 8, BLOCK + 8),
        |bytes: &mut Vec<u8>| bytes.rotate_left(BLOCK + 8),
    ] {
        let before = change(&file, damage);
        assert!(!fetch(&s3, "/shop/a", 0..size, &body).await.1);
        fs::write(&file, before).unwrap();
    }
    assert_eq!(fetch(&s3, "/shop/a", 0..size, &body).await, (206, true));
    // The whole file of another object, of the same size.
    ok(&s3.put("/shop/b", noise(2, size)).await);
    let other = rig.blobs().into_iter().find(|path| *path != file).unwrap();
    fs::copy(other, &file).unwrap();
    assert_eq!(fetch(&s3, "/shop/a", 0..size, &body).await, (500, false));
    fs::remove_file(&file).unwrap();
    assert_eq!(fetch(&s3, "/shop/a", 0..size, &body).await, (500, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_part_is_made_of_damaged_bytes() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    ok(&s3.put("/shop/a", noise(1, 1_000_000)).await);
    change(&rig.blobs()[0], |bytes| bytes[900_000] ^= 1);
    let upload = s3.call("POST", "/shop/b", &[("uploads", "")], &[], "").await.one("UploadId");
    let query = [("partNumber", "1"), ("uploadId", upload.as_str())];
    let copied = s3.call("PUT", "/shop/b", &query, &[("x-amz-copy-source", "/shop/a")], "").await;
    assert_eq!((copied.status, copied.code()), (500, "InternalError".into()));
    let parts = s3.call("GET", "/shop/b", &query[1..], &[], "").await;
    assert_eq!((parts.status, parts.all("PartNumber").len()), (200, 0), "{}", parts.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_without_checksums_are_read_as_before() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let body = noise(1, 3 * BLOCK + 5);
    let id = rig.vault.blobs.name();
    fs::write(rig.folder.join("blobs").join(&id[..2]).join(&id[2..]), &body).unwrap();
    let segments = vec![Segment { blob: id, offset: 0, length: body.len() as u64, first: false }];
    let row = ObjectRow { version: "v".into(), size: body.len() as u64, etag: "e".into(), ..ObjectRow::default() };
    let put = rig.vault.change(move |edit| {
        edit.hold(&segments)?;
        edit.place("os-shop", "old", row.clone(), segments.clone())
    });
    put.await.unwrap();
    assert!(s3.get("/shop/old").await.body == body);
    assert_eq!(fetch(&s3, "/shop/old", 7..2 * BLOCK, &body).await, (206, true));
    ok(&s3.delete("/shop/old").await);
    assert!(rig.blobs().is_empty());
}

/// Not a test by itself: has a process to itself, whose log is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn child_reads_a_damaged_object() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stdout).init();
    let rig = Rig::new().await;
    let s3 = rig.client();
    ok(&s3.put("/shop/some key", "hello").await);
    change(&rig.blobs()[0], |bytes| bytes[0] ^= 1);
    assert_eq!(s3.get("/shop/some key").await.status, 500);
}

#[test]
fn the_log_names_the_object() {
    let test = "backend::object_storage::embedded::tests::damage::child_reads_a_damaged_object";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let log = String::from_utf8(child.stdout).unwrap();
    let line = log.lines().find(|line| line.contains("cannot be read")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("ERROR") && line.contains("os-shop") && line.contains("some key"), "{line}");
}
