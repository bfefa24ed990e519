use super::*;

fn order(parts: &[(u32, String)]) -> String {
    let part =
        |(number, etag): &(u32, String)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.iter().map(part).collect::<String>())
}

async fn begin(s3: &Client, path: &str) -> String {
    s3.call("POST", path, &[("uploads", "")], &[("x-amz-meta-kind", "big")], "").await.one("UploadId")
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_become_one_object() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let id = begin(&s3, "/shop/big").await;
    let bodies: Vec<_> =
        [5 << 20, 5 << 20, 100].into_iter().enumerate().map(|(n, size)| noise(n as u64, size)).collect();
    let mut parts = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        let number = (n + 1).to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", id.as_str())];
        // The first time something else: the last one counts.
        ok(&s3.call("PUT", "/shop/big", &query, &[], "first").await);
        let put = s3.call("PUT", "/shop/big", &query, &[], body.clone()).await;
        parts.push((u32::try_from(n + 1).unwrap(), put.header("etag")));
    }
    assert_eq!(rig.usage().await, (0, 0));
    let listed = s3.call("GET", "/shop/big", &[("uploadId", &id), ("max-parts", "2")], &[], "").await;
    assert_eq!((listed.all("PartNumber"), listed.one("IsTruncated")), (vec!["1".into(), "2".into()], "true".into()));
    let uploads = s3.call("GET", "/shop", &[("uploads", "")], &[], "").await;
    assert_eq!(uploads.all("UploadId"), std::slice::from_ref(&id));
    let complete = |parts: Vec<(u32, String)>| {
        let (s3, id) = (rig.client(), id.clone());
        async move { s3.call("POST", "/shop/big", &[("uploadId", &id)], &[], order(&parts)).await }
    };
    let swapped = vec![parts[1].clone(), parts[0].clone()];
    assert_eq!(complete(swapped).await.code(), "InvalidPartOrder");
    assert_eq!(complete(vec![(1, "\"00\"".into())]).await.code(), "InvalidPart");
    assert_eq!(complete(vec![(9, parts[0].1.clone())]).await.code(), "InvalidPart");
    assert_eq!(complete(vec![]).await.status, 400);
    assert_eq!(complete(vec![(0, parts[0].1.clone())]).await.code(), "InvalidArgument");
    let done = complete(parts.clone()).await;
    ok(&done);
    assert!(done.one("ETag").contains("-3"), "{}", done.text());
    // Whose answer was lost asks again.
    let again = complete(parts.clone()).await;
    assert_eq!((again.status, again.one("ETag")), (200, done.one("ETag")));
    let whole: Vec<u8> = bodies.concat();
    let got = s3.get("/shop/big").await;
    assert!(got.body == whole && got.header("x-amz-meta-kind") == "big");
    let across = s3.call("GET", "/shop/big", &[], &[("range", "bytes=5242870-10485765")], "").await;
    assert!(across.body == whole[5_242_870..=10_485_765]);
    assert_eq!((rig.usage().await, rig.blobs().len()), ((1, whole.len() as u64), 3));
    for (number, body) in (1..).zip(&bodies) {
        let number = number.to_string();
        for method in ["GET", "HEAD"] {
            let part = s3.call(method, "/shop/big", &[("partNumber", &number)], &[], "").await;
            assert_eq!((part.status, part.header("x-amz-mp-parts-count")), (206, "3".into()));
            assert_eq!(part.header("content-length"), body.len().to_string());
            assert!(part.body == *body || method == "HEAD");
            assert!(part.header("content-range").ends_with(&format!("/{}", whole.len())));
        }
    }
    let beyond = s3.call("GET", "/shop/big", &[("partNumber", "4")], &[], "").await;
    assert_eq!((beyond.code(), beyond.status), ("InvalidPartNumber".into(), 416));
    let both = s3.call("GET", "/shop/big", &[("partNumber", "1")], &[("range", "bytes=0-1")], "").await;
    assert_eq!(both.code(), "InvalidRequest");
    ok(&s3.delete("/shop/big").await);
    assert_eq!(complete(parts).await.code(), "NoSuchUpload");
    assert_eq!((rig.usage().await, rig.blobs().len()), ((0, 0), 0));
    ok(&s3.put("/shop/plain", "plain").await);
    let only = s3.call("GET", "/shop/plain", &[("partNumber", "1")], &[], "").await;
    assert_eq!((only.text(), only.header("x-amz-mp-parts-count")), ("plain".into(), String::new()));
    assert_eq!(s3.call("GET", "/shop/plain", &[("partNumber", "2")], &[], "").await.status, 416);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_cannot_be_completed() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let id = begin(&s3, "/shop/big").await;
    let mut parts = Vec::new();
    for number in ["1", "2"] {
        let query = [("partNumber", number), ("uploadId", id.as_str())];
        parts.push((number.parse().unwrap(), s3.call("PUT", "/shop/big", &query, &[], "small").await.header("etag")));
    }
    let complete = |id: String, headers: &'static [(&str, &str)], parts: Vec<(u32, String)>| {
        let s3 = &s3;
        async move { s3.call("POST", "/shop/big", &[("uploadId", &id)], headers, order(&parts)).await }
    };
    assert_eq!(complete(id.clone(), &[], parts.clone()).await.code(), "EntityTooSmall");
    assert_eq!(complete("up-nothing".into(), &[], parts.clone()).await.code(), "NoSuchUpload");
    for number in ["0", "10001", "-1"] {
        let put = s3.call("PUT", "/shop/big", &[("partNumber", number), ("uploadId", &id)], &[], "x").await;
        assert_eq!(put.code(), "InvalidArgument", "{number}");
    }
    let elsewhere = s3.call("PUT", "/shop/other", &[("partNumber", "1"), ("uploadId", &id)], &[], "x").await;
    assert_eq!(elsewhere.code(), "NoSuchUpload");
    ok(&s3.put("/shop/big", "there").await);
    let last = vec![parts[1].clone()];
    let refused = complete(id.clone(), &[("if-none-match", "*")], last.clone()).await;
    assert_eq!(refused.status, 412);
    // Parts that are not named go; a part need not be the first.
    ok(&complete(id.clone(), &[], last.clone()).await);
    ok(&complete(id, &[("if-none-match", "*")], last).await);
    assert_eq!((s3.get("/shop/big").await.text(), rig.blobs().len()), ("small".into(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let id = begin(&s3, "/shop/big").await;
    ok(&s3.call("PUT", "/shop/big", &[("partNumber", "1"), ("uploadId", &id)], &[], noise(1, 9000)).await);
    ok(&s3.call("PUT", "/shop/big", &[("partNumber", "2"), ("uploadId", &id)], &[], noise(2, 9000)).await);
    let etag = |n: u64| format!("{n}");
    let small = s3.call("POST", "/shop/big", &[("uploadId", &id)], &[], order(&[(1, etag(1))])).await;
    assert_eq!(small.code(), "InvalidPart");
    assert_eq!(rig.blobs().len(), 2);
    ok(&s3.delete_upload("/shop/big", &id).await);
    assert_eq!(s3.delete_upload("/shop/big", &id).await.code(), "NoSuchUpload");
    let late = s3.call("PUT", "/shop/big", &[("partNumber", "1"), ("uploadId", &id)], &[], "late").await;
    assert_eq!((late.code(), rig.blobs().len()), ("NoSuchUpload".to_owned(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_can_be_copied() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let body = noise(1, 6 << 20);
    ok(&s3.put("/shop/source", body.clone()).await);
    let id = begin(&s3, "/shop/joined").await;
    let mut parts = Vec::new();
    for (number, range) in [("1", "bytes=100-5242979"), ("2", "bytes=0-9")] {
        let headers = [("x-amz-copy-source", "shop/source"), ("x-amz-copy-source-range", range)];
        let query = [("partNumber", number), ("uploadId", id.as_str())];
        let copied = s3.call("PUT", "/shop/joined", &query, &headers, "").await;
        ok(&copied);
        parts.push((number.parse().unwrap(), copied.one("ETag").replace("&quot;", "\"")));
    }
    let done = s3.call("POST", "/shop/joined", &[("uploadId", &id)], &[], order(&parts)).await;
    ok(&done);
    ok(&s3.delete("/shop/source").await);
    let expected = [&body[100..5_242_980], &body[..10]].concat();
    assert!(s3.get("/shop/joined").await.body == expected);
    assert_eq!((rig.usage().await, rig.blobs().len()), ((1, expected.len() as u64), 1));
}

impl Client {
    async fn delete_upload(&self, path: &str, id: &str) -> Answer {
        self.call("DELETE", path, &[("uploadId", id)], &[], "").await
    }
}
