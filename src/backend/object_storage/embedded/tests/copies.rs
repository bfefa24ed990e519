use super::*;

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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_takes_along() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let facts = [("content-type", "text/plain"), ("x-amz-meta-a", "1")];
    let etag = s3.call("PUT", "/shop/a", &[], &facts, "text").await.header("etag");
    let source = ("x-amz-copy-source", "shop/a");
    let (past, future) = ("Mon, 01 Jan 2024 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    for (headers, code) in [
        (vec![("x-amz-copy-source-if-match", etag.as_str())], ""),
        (vec![("x-amz-copy-source-if-match", "\"no\"")], "PreconditionFailed"),
        (vec![("x-amz-copy-source-if-none-match", etag.as_str())], "PreconditionFailed"),
        (vec![("x-amz-copy-source-if-none-match", "\"no\"")], ""),
        (vec![("x-amz-copy-source-if-modified-since", past)], ""),
        (vec![("x-amz-copy-source-if-unmodified-since", past)], "PreconditionFailed"),
        (vec![("x-amz-copy-source-if-unmodified-since", future)], ""),
        (vec![("x-amz-copy-source-if-match", etag.as_str()), ("x-amz-copy-source-if-unmodified-since", past)], ""),
        (vec![("x-amz-metadata-directive", "COPY"), ("x-amz-meta-a", "2")], ""),
    ] {
        let headers: Vec<_> = headers.into_iter().chain([source]).collect();
        let copied = s3.call("PUT", "/shop/copy", &[], &headers, "").await;
        assert_eq!(copied.code(), code, "{headers:?} {}", copied.text());
        if code.is_empty() {
            let copy = s3.get("/shop/copy").await;
            assert_eq!((copy.text(), copy.header("content-type")), ("text".into(), "text/plain".into()));
            assert_eq!((copy.header("x-amz-meta-a"), copy.header("etag")), ("1".into(), etag.clone()));
            ok(&s3.delete("/shop/copy").await);
        }
    }
    let onto_itself = [source, ("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-b", "2")];
    ok(&s3.call("PUT", "/shop/a", &[], &onto_itself, "").await);
    let replaced = s3.get("/shop/a").await;
    assert_eq!((replaced.text(), replaced.header("x-amz-meta-a")), ("text".into(), String::new()));
    assert_eq!(
        (replaced.header("x-amz-meta-b"), replaced.header("content-type")),
        ("2".into(), "binary/octet-stream".into())
    );
    for (from, code) in [
        ("shop/missing", "NoSuchKey"),
        ("other/a", "AccessDenied"),
        ("nowhere-at-all/a", "AccessDenied"),
        ("shop/a?versionId=x", "NoSuchVersion"),
        ("shop", "InvalidArgument"),
    ] {
        let refused = s3.call("PUT", "/shop/copy", &[], &[("x-amz-copy-source", from)], "").await;
        assert_eq!(refused.code(), code, "{from} {}", refused.text());
    }
    assert_eq!((rig.usage().await, rig.blobs().len()), ((1, 4), 1));
}
