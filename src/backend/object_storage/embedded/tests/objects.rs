use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::*;
use crate::backend::object_storage::embedded::{digest::Expected, intake::receive, rows::Facts};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_comes_back_as_it_was_put() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let headers = [
        ("content-type", "text/plain"),
        ("cache-control", "no-cache"),
        ("content-disposition", "inline"),
        ("content-encoding", "gzip"),
        ("x-amz-meta-colour", "blue"),
    ];
    for (key, size) in [("a/empty", 0), ("small", 4096), ("dir/bigger é+ %41.bin", 3 << 20)] {
        let (path, body) = (format!("/shop/{key}"), noise(size as u64, size));
        let put = s3.call("PUT", &path, &[], &headers, body.clone()).await;
        ok(&put);
        let got = s3.get(&path).await;
        ok(&got);
        assert!(got.body == body, "{key}");
        for (name, value) in headers {
            assert_eq!(got.header(name), value, "{key}");
        }
        let head = s3.call("HEAD", &path, &[], &[], "").await;
        assert_eq!((head.status, head.header("content-length")), (200, size.to_string()));
        assert_eq!(head.header("etag"), put.header("etag"));
        assert!(!head.header("last-modified").is_empty());
    }
    assert_eq!(rig.usage().await, (3, 4096 + (3 << 20)));
    ok(&s3.delete("/shop/small").await);
    ok(&s3.delete("/shop/small").await);
    assert_eq!(s3.get("/shop/small").await.code(), "NoSuchKey");
    assert_eq!(rig.usage().await, (2, 3 << 20));
    assert_eq!(rig.blobs().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_conditions() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let body = noise(1, 2 << 20);
    let etag = s3.put("/shop/a", body.clone()).await.header("etag");
    let get = |name: &'static str, value: String| async {
        let value = value;
        rig.client().call("GET", "/shop/a", &[], &[(name, &value)], "").await
    };
    for (range, from, to) in
        [("bytes=0-0", 0, 1), ("bytes=1000000-1600000", 1_000_000, 1_600_001), ("bytes=-7", body.len() - 7, body.len())]
    {
        let got = get("range", range.into()).await;
        assert_eq!((got.status, &got.body[..]), (206, &body[from..to]), "{range}");
        assert_eq!(got.header("content-range"), format!("bytes {from}-{}/{}", to - 1, body.len()));
    }
    assert_eq!(get("range", "bytes=2097152-".into()).await.code(), "InvalidRange");
    assert_eq!(get("if-none-match", etag.clone()).await.status, 304);
    assert_eq!(get("if-match", etag.clone()).await.status, 200);
    assert_eq!(get("if-match", "\"other\"".into()).await.status, 412);
    assert_eq!(get("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT".into()).await.status, 304);
    assert_eq!(get("if-unmodified-since", "Fri, 01 Jan 2021 00:00:00 GMT".into()).await.status, 412);
    for (name, value, status) in
        [("if-none-match", "*", 412), ("if-match", "\"x\"", 412), ("if-match", etag.as_str(), 200)]
    {
        assert_eq!(s3.call("PUT", "/shop/a", &[], &[(name, value)], "new").await.status, status, "{name}: {value}");
    }
    assert_eq!(s3.call("PUT", "/shop/b", &[], &[("if-none-match", "*")], "b").await.status, 200);
    assert_eq!(s3.get("/shop/a").await.text(), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_what_was_said_leaves_nothing() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let body = noise(1, 100_000);
    let sum = BASE64.encode(&Sha256::digest(&body));
    let wrong = BASE64.encode(&Sha256::digest("other"));
    for (headers, status) in [
        (vec![("x-amz-checksum-sha256", sum.as_str())], 200),
        (vec![("x-amz-checksum-sha256", wrong.as_str())], 400),
        (vec![("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")], 400),
        (vec![("x-amz-checksum-crc32", "AAAAAA==")], 400),
    ] {
        let put = s3.call("PUT", "/shop/sum", &[], &headers, body.clone()).await;
        assert_eq!(put.status, status, "{headers:?} {}", put.text());
    }
    let lied =
        s3.send_hashed("PUT".parse().unwrap(), "/shop/lie", &[], &[], &"0".repeat(64), body.clone().into()).await;
    assert!(client::read(lied.unwrap()).await.status >= 400);
    let kept = s3.call("GET", "/shop/sum", &[], &[("x-amz-checksum-mode", "ENABLED")], "").await;
    assert_eq!(kept.header("x-amz-checksum-sha256"), sum);
    assert_eq!((rig.usage().await, rig.blobs().len()), ((1, 100_000), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_key_leave_one_whole_object() {
    let rig = shared(Rig::new().await);
    let bodies: Vec<Vec<u8>> = (0..12).map(|n| noise(n, 700_000 + usize::try_from(n).unwrap())).collect();
    let writers = bodies.iter().cloned().map(|body| {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move { ok(&rig.client().put("/shop/same", body).await) })
    });
    let reader = tokio::spawn({
        let (rig, bodies) = (Arc::clone(&rig), bodies.clone());
        async move {
            for _ in 0..40 {
                let got = rig.client().get("/shop/same").await;
                assert!(got.status == 404 || bodies.contains(&got.body), "a mixture was read: {}", got.status);
            }
        }
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    reader.await.unwrap();
    let last = rig.client().get("/shop/same").await.body;
    assert!(bodies.contains(&last));
    assert_eq!((rig.usage().await, rig.blobs().len()), ((1, last.len() as u64), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_a_bounded_number_at_a_time() {
    let rig = Rig::new().await;
    let puts = (0..1200).map(|n| {
        let vault = rig.vault.clone();
        async move {
            let body = receive(&vault.blobs, None, Expected::default(), || None).await.unwrap();
            vault.put("os-shop", &format!("{n}"), Facts::default(), body, Arc::new(|_| Ok(()))).await.unwrap();
        }
    });
    futures::future::join_all(puts).await;
    let mut left = Vec::new();
    while rig.vault.close_bucket("os-shop").await.unwrap().is_some() {
        left.push(rig.usage().await.0);
        assert!(rig.vault.purge_some("os-shop").await.unwrap());
    }
    assert_eq!(left, [1200, 700, 200]);
    assert_eq!(rig.client().put("/shop/late", "x").await.code(), "NoSuchBucket");
    assert_eq!(rig.blobs().len(), 0);
}
