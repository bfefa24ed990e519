//! What goes with an object in headers, and what is refused.

use super::*;

const PAST: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_their_precedence() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let etag = s3.put("/shop/a", "0123456789").await.header("etag");
    let etag = etag.as_str();
    for (headers, status) in [
        (vec![("if-modified-since", PAST)], 200),
        (vec![("if-modified-since", FUTURE)], 304),
        (vec![("if-unmodified-since", PAST)], 412),
        (vec![("if-unmodified-since", FUTURE)], 200),
        (vec![("if-match", etag), ("if-unmodified-since", PAST)], 200),
        (vec![("if-none-match", "\"no\""), ("if-modified-since", FUTURE)], 200),
        (vec![("if-none-match", etag), ("if-modified-since", PAST)], 304),
        (vec![("if-none-match", "*")], 304),
        (vec![("if-match", "*")], 200),
        (vec![("range", "bytes=2-3"), ("if-match", "\"no\"")], 412),
        (vec![("range", "bytes=2-3"), ("if-match", etag)], 206),
        (vec![("range", "bytes=10-")], 416),
        (vec![("range", "bytes=-0")], 416),
        (vec![("range", "bytes=4-400")], 206),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = s3.call(method, "/shop/a", &[], &headers, "").await;
            assert_eq!(answer.status, status, "{method} {headers:?}");
            if status == 304 {
                assert_eq!((answer.header("etag").as_str(), answer.body.len()), (etag, 0));
            }
        }
    }
    for (headers, status) in
        [(vec![("if-none-match", "*")], 412), (vec![("if-match", "\"no\"")], 412), (vec![("if-match", etag)], 200)]
    {
        assert_eq!(s3.call("PUT", "/shop/a", &[], &headers, "0123456789").await.status, status, "{headers:?}");
    }
    assert_eq!(s3.call("PUT", "/shop/new", &[], &[("if-match", etag)], "x").await.status, 404);
    assert_eq!(s3.call("PUT", "/shop/new", &[], &[("if-none-match", "*")], "x").await.status, 200);
    assert_eq!(rig.usage().await, (2, 11));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_can_be_told_their_headers() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    ok(&s3.call("PUT", "/shop/a", &[], &[("expires", FUTURE), ("content-language", "de")], "x").await);
    let plain = s3.get("/shop/a").await;
    assert_eq!((plain.header("expires"), plain.header("content-language")), (FUTURE.into(), "de".into()));
    assert_eq!(
        (plain.header("content-type"), plain.header("accept-ranges")),
        ("binary/octet-stream".into(), "bytes".into())
    );
    let told = [
        ("response-content-type", "text/html"),
        ("response-content-language", "en"),
        ("response-expires", PAST),
        ("response-cache-control", "no-store"),
        ("response-content-disposition", "attachment; filename=\"a b.txt\""),
        ("response-content-encoding", "identity"),
    ];
    let answer = s3.call("GET", "/shop/a", &told, &[], "").await;
    for (query, value) in told {
        assert_eq!(answer.header(query.strip_prefix("response-").unwrap()), value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_refused_and_not_dropped() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    for (name, value) in [
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-acl", "public-read"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-storage-class", "GLACIER"),
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-website-redirect-location", "/b"),
    ] {
        let refused = s3.call("PUT", "/shop/a", &[], &[(name, value)], "x").await;
        assert_eq!((refused.code(), refused.status), ("NotImplemented".into(), 501), "{name}");
        assert!(refused.text().contains(name), "{}", refused.text());
    }
    for (name, value) in [("x-amz-acl", "private"), ("x-amz-storage-class", "STANDARD")] {
        ok(&s3.call("PUT", "/shop/a", &[], &[(name, value)], "x").await);
    }
    for (method, path, query, code) in [
        ("PUT", "/shop", "versioning", "NotImplemented"),
        ("PUT", "/shop", "policy", "NotImplemented"),
        ("PUT", "/shop", "tagging", "NotImplemented"),
        ("PUT", "/shop/a", "tagging", "NotImplemented"),
        ("PUT", "/shop/a", "acl", "NotImplemented"),
        ("GET", "/shop", "policy", "NoSuchBucketPolicy"),
        ("GET", "/shop", "cors", "NoSuchCORSConfiguration"),
        ("GET", "/shop", "tagging", "NoSuchTagSet"),
        ("GET", "/shop", "website", "NoSuchWebsiteConfiguration"),
        ("GET", "/shop", "lifecycle", "NoSuchLifecycleConfiguration"),
        ("GET", "/shop", "encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("GET", "/shop", "object-lock", "ObjectLockConfigurationNotFoundError"),
        ("GET", "/shop", "replication", "ReplicationConfigurationNotFoundError"),
        ("GET", "/shop/missing", "tagging", "NoSuchKey"),
        ("GET", "/shop/missing", "acl", "NoSuchKey"),
    ] {
        let answer = s3.call(method, path, &[(query, "")], &[], "").await;
        assert_eq!(answer.code(), code, "{method} {path}?{query} {}", answer.text());
    }
    for (path, query, element, value) in [
        ("/shop", "location", "LocationConstraint", "local-1"),
        ("/shop", "versioning", "Status", ""),
        ("/shop", "acl", "Permission", "FULL_CONTROL"),
        ("/shop/a", "acl", "Permission", "FULL_CONTROL"),
        ("/shop/a", "tagging", "Tag", ""),
        ("/shop", "requestPayment", "Payer", "BucketOwner"),
        ("/shop", "logging", "LoggingEnabled", ""),
        ("/shop", "notification", "Queue", ""),
    ] {
        let answer = s3.call("GET", path, &[(query, "")], &[], "").await;
        ok(&answer);
        let found = answer.one(element);
        assert!(
            found == value || answer.text().contains(&format!(">{value}</LocationConstraint>")),
            "{}",
            answer.text()
        );
    }
    let head = s3.call("HEAD", "/shop", &[], &[], "").await;
    assert_eq!(head.header("x-amz-bucket-region"), "local-1");
    let asked = [("x-amz-object-attributes", "ETag,ObjectSize,StorageClass")];
    let attributes = s3.call("GET", "/shop/a", &[("attributes", "")], &asked, "").await;
    assert_eq!(
        (attributes.one("ObjectSize"), attributes.one("StorageClass")),
        ("1".into(), "STANDARD".into()),
        "{}",
        attributes.text()
    );
    assert_eq!(s3.call("GET", "/shop/a", &[("versionId", "1")], &[], "").await.code(), "NoSuchVersion");
    assert_eq!(s3.call("GET", "/shop/a", &[("versionId", "null")], &[], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_metadata_have_limits() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let (long, longer) = ("k".repeat(1024), "k".repeat(1025));
    for key in [long.as_str(), " ", "a//b", "//", "..x", "ü/日本", "a%2Fb", "q?x=1&y#z", "new\nline", "\u{1}", "+"] {
        let path = format!("/shop/{key}");
        let put = s3.put(&path, key).await;
        assert_eq!(put.status, 200, "{key:?} {}", put.text());
        assert!(s3.get(&path).await.body == key.as_bytes(), "{key:?}");
        let listed = s3.call("GET", "/shop", &[("prefix", key), ("encoding-type", "url")], &[], "").await;
        assert_eq!(listed.all("Key"), [client::encode(key, true)], "{key:?}");
        ok(&s3.delete(&path).await);
    }
    assert_eq!(s3.put(&format!("/shop/{longer}"), "").await.code(), "KeyTooLongError");
    assert_eq!(s3.put("/shop/a\0b", "").await.code(), "InvalidArgument");
    let (full, over) = ("v".repeat(2047), "v".repeat(2048));
    ok(&s3.call("PUT", "/shop/m", &[], &[("x-amz-meta-k", &full)], "").await);
    let refused = s3.call("PUT", "/shop/n", &[], &[("x-amz-meta-k", &over)], "").await;
    assert_eq!((refused.code(), refused.status), ("MetadataTooLarge".into(), 400));
    assert_eq!(s3.call("HEAD", "/shop/m", &[], &[], "").await.header("x-amz-meta-k"), full);
    // Said, not sent: the body never comes.
    let huge = ((5_u64 << 30) + 1).to_string();
    let headers = [("x-amz-decoded-content-length", huge.as_str()), ("x-amz-trailer", "x-amz-checksum-crc32")];
    let sent = s3.send_hashed(
        "PUT".parse().unwrap(),
        "/shop/huge",
        &[],
        &headers,
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "0\r\n\r\n".into(),
    );
    assert_eq!(client::read(sent.await.unwrap()).await.code(), "EntityTooLarge");
}
