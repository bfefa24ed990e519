use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::*;

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
async fn only_who_may_does() {
    let rig = Rig::new().await;
    ok(&rig.client().put("/shop/a", "a").await);
    let may = |key: &'static str, method: &'static str, path: &'static str| {
        let s3 = rig.client_as(key);
        async move { s3.call(method, path, &[], &[], "").await.status }
    };
    for (key, get, put, list) in [
        ("shop-ReadOnly", 200, 403, 200),
        ("shop-WriteOnly", 403, 200, 403),
        ("shop-ReadWrite", 200, 200, 200),
        ("other-ReadWrite", 403, 403, 403),
        ("nobody", 403, 403, 403),
    ] {
        assert_eq!(may(key, "GET", "/shop/a").await, get, "{key}");
        assert_eq!(may(key, "PUT", "/shop/b").await, put, "{key}");
        assert_eq!(may(key, "GET", "/shop").await, list, "{key}");
    }
    assert_eq!(may("shop-ReadWrite", "PUT", "/new-bucket").await, 403);
    assert_eq!(may("shop-ReadWrite", "DELETE", "/shop").await, 403);
    let thief = rig.client_as("other-ReadWrite");
    let stolen = thief.call("PUT", "/other/x", &[], &[("x-amz-copy-source", "/shop/a")], "");
    assert_eq!(stolen.await.status, 403);
    let unsigned = rig.client().http.get(format!("{}/shop/a", rig.endpoint)).send().await.unwrap();
    assert_eq!(unsigned.status(), 403);
    let forged = Client { secret: "guess".into(), ..rig.client() };
    assert_eq!(forged.get("/shop/a").await.code(), "SignatureDoesNotMatch");
    let buckets = rig.client_as("shop-ReadOnly").get("/").await;
    assert_eq!(buckets.all("Name"), ["shop"]);
    let mut tables = tables();
    tables.grants.remove("shop-ReadOnly");
    rig.directory.replace(tables);
    assert_eq!(may("shop-ReadOnly", "GET", "/shop/a").await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn presigned_urls() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let put = s3.http.put(s3.presign("PUT", "/shop/p q", 60)).body("hello").send().await.unwrap();
    assert_eq!(put.status(), 200);
    let get = |url: String| async { client::read(rig.client().http.get(url).send().await.unwrap()).await };
    assert_eq!(get(s3.presign("GET", "/shop/p q", 604_800)).await.text(), "hello");
    assert!(get(s3.presign("GET", "/shop/p q", 604_801)).await.status >= 400);
    assert_eq!(get(s3.presign("PUT", "/shop/p q", 60)).await.status, 403);
    let moved = s3.presign("GET", "/shop/other", 60).replace("/shop/other", "/shop/p%20q");
    assert_eq!(get(moved).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_over_the_socket() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    for key in ["a", "b/1", "b/2", "c&<é", "d"] {
        ok(&s3.put(&format!("/shop/{key}"), "x").await);
    }
    let all = s3.call("GET", "/shop", &[("list-type", "2"), ("encoding-type", "url")], &[], "").await;
    assert_eq!(all.all("Key"), ["a", "b/1", "b/2", "c%26%3C%C3%A9", "d"]);
    let mut seen = Vec::new();
    let mut token = String::new();
    for _ in 0..9 {
        let mut query = vec![("list-type", "2"), ("delimiter", "/"), ("max-keys", "1")];
        if !token.is_empty() {
            query.push(("continuation-token", &token));
        }
        let page = s3.call("GET", "/shop", &query, &[], "").await;
        seen.extend(page.all("Key"));
        seen.extend(
            page.all("CommonPrefixes").iter().map(|inner| inner.replace("<Prefix>", "").replace("</Prefix>", "")),
        );
        token = page.one("NextContinuationToken");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b/", "c&amp;&lt;é", "d"]);
    let old = s3.call("GET", "/shop", &[("prefix", "b/"), ("marker", "b/1")], &[], "").await;
    assert_eq!(old.all("Key"), ["b/2"]);
    let batch =
        "<Delete><Object><Key>a</Key></Object><Object><Key>b/1</Key></Object><Object><Key>gone</Key></Object></Delete>";
    let md5 = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    let deleted = s3.call("POST", "/shop", &[("delete", "")], &md5[..0], batch).await;
    assert_eq!(deleted.all("Key"), ["a", "b/1", "gone"]);
    assert_eq!(rig.usage().await.0, 3);
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
async fn copies_share_bytes_and_outlive_their_source() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let body = noise(3, 1 << 20);
    ok(&s3.call("PUT", "/shop/a b", &[], &[("x-amz-meta-n", "1")], body.clone()).await);
    let copy = s3.call("PUT", "/shop/copy", &[], &[("x-amz-copy-source", "/shop/a%20b")], "").await;
    ok(&copy);
    let replace =
        [("x-amz-copy-source", "/shop/a%20b"), ("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-n", "2")];
    ok(&s3.call("PUT", "/shop/replaced", &[], &replace, "").await);
    assert_eq!((rig.blobs().len(), rig.usage().await), (1, (3, 3 << 20)));
    ok(&s3.delete("/shop/a%20b".replace("%20", " ").as_str()).await);
    let (kept, replaced) = (s3.get("/shop/copy").await, s3.get("/shop/replaced").await);
    assert!(kept.body == body && replaced.body == body);
    assert_eq!((kept.header("x-amz-meta-n"), replaced.header("x-amz-meta-n")), ("1".into(), "2".into()));
    assert_eq!(s3.call("PUT", "/shop/copy", &[], &[("x-amz-copy-source", "/shop/copy")], "").await.status, 400);
    ok(&s3.delete("/shop/copy").await);
    ok(&s3.delete("/shop/replaced").await);
    assert_eq!((rig.blobs().len(), rig.usage().await), (0, (0, 0)));
}
