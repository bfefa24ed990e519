use data_encoding::BASE64;

use super::*;
use crate::backend::object_storage::embedded::{
    digest::Hashes,
    rows::Algorithm::{self, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256},
};

const ALL: [(Algorithm, &str); 5] =
    [(Crc32, "crc32"), (Crc32c, "crc32c"), (Crc64Nvme, "crc64nvme"), (Sha1, "sha1"), (Sha256, "sha256")];

fn sum(algorithm: Algorithm, bytes: &[u8]) -> String {
    let mut hashes = Hashes::new(Some(algorithm));
    hashes.update(bytes);
    hashes.finish().checksum.unwrap().value
}

#[tokio::test(flavor = "multi_thread")]
async fn of_whole_bodies() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let body = noise(1, 1_500_000);
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    for (algorithm, name) in ALL {
        let (header, right, wrong) =
            (format!("x-amz-checksum-{name}"), sum(algorithm, &body), sum(algorithm, b"other"));
        ok(&s3.call("PUT", "/shop/a", &[], &[(&header, &right)], body.clone()).await);
        let got = s3.call("GET", "/shop/a", &[], &mode, "").await;
        assert!(got.body == body);
        assert_eq!((got.header(&header), got.header("x-amz-checksum-type")), (right.clone(), "FULL_OBJECT".into()));
        let part = s3.call("GET", "/shop/a", &[], &[mode[0], ("range", "bytes=0-1")], "").await;
        assert_eq!((part.header(&header), s3.get("/shop/a").await.header(&header)), (String::new(), String::new()));
        for (value, code) in [(wrong.as_str(), "BadDigest"), ("AAAA", "InvalidRequest"), ("?", "InvalidRequest")] {
            let refused = s3.call("PUT", "/shop/b", &[], &[(&header, value)], body.clone()).await;
            assert_eq!((refused.code().as_str(), refused.status), (code, 400), "{name} {value}");
        }
        ok(&s3.put_trailed("/shop/t", &body, (&header, &right)).await);
        let got = s3.call("GET", "/shop/t", &[], &mode, "").await;
        assert!(got.body == body && got.header(&header) == right, "{name}");
        assert_eq!(s3.put_trailed("/shop/b", &body, (&header, &wrong)).await.code(), "BadDigest", "{name}");
        let named = [("x-amz-sdk-checksum-algorithm", name)];
        assert_eq!(s3.call("PUT", "/shop/n", &[], &named, body.clone()).await.header(&header), right);
        let copied = s3.call("PUT", "/shop/c", &[], &[("x-amz-copy-source", "/shop/a")], "").await;
        assert_eq!(copied.one(&format!("Checksum{}", name.to_uppercase())), right);
    }
    let (one, two) = (sum(Crc32, b"x"), sum(Sha1, b"x"));
    let both = [("x-amz-checksum-crc32", one.as_str()), ("x-amz-checksum-sha1", two.as_str())];
    assert_eq!(s3.call("PUT", "/shop/b", &[], &both, "x").await.code(), "InvalidRequest");
    for (md5, code) in
        [("AAAA", "InvalidDigest"), ("not base64", "InvalidDigest"), ("1B2M2Y8AsgTpgAmY7PhCfg==", "BadDigest")]
    {
        assert_eq!(s3.call("PUT", "/shop/b", &[], &[("content-md5", md5)], "x").await.code(), code);
    }
    let md5 = BASE64.encode(&Hashes::new(None).finish().md5);
    ok(&s3.call("PUT", "/shop/empty", &[], &[("content-md5", &md5)], "").await);
    assert_eq!(s3.get("/shop/b").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_signed_bodies() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let (one, two) = (noise(1, 70_000), noise(2, 9));
    ok(&s3.put_chunks("/shop/a", &[&one, &two], false).await);
    let got = s3.get("/shop/a").await;
    assert!(got.body == [one.clone(), two.clone()].concat());
    assert_eq!(got.header("content-encoding"), "", "how it was sent is not what it is");
    let forged = s3.put_chunks("/shop/b", &[&one, &two], true).await;
    assert_eq!((forged.code(), forged.status), ("SignatureDoesNotMatch".into(), 403));
    let put = "PUT".parse::<reqwest::Method>().unwrap();
    let lied = s3.send_hashed(put, "/shop/b", &[], &[], &"0".repeat(64), "x".into()).await.unwrap();
    let lied = client::read(lied).await;
    assert_eq!((lied.code(), lied.status), ("XAmzContentSHA256Mismatch".into(), 400));
    let delete = "<Delete><Object><Key>a</Key></Object></Delete>";
    let (post, zeros) = ("POST".parse().unwrap(), "0".repeat(64));
    let lied = s3.send_hashed(post, "/shop", &[("delete", "")], &[], &zeros, delete.into());
    let lied = client::read(lied.await.unwrap()).await;
    assert_eq!((lied.code(), lied.status), ("IncompleteBody".into(), 400), "it is not our failure");
    assert_eq!(s3.get("/shop/a").await.status, 200);
    // A checksum that is announced and does not come.
    let headers = [("x-amz-decoded-content-length", "1"), ("x-amz-trailer", "x-amz-checksum-crc32")];
    let unsigned = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    for (body, code) in [
        ("1\r\nx\r\n0\r\n\r\n", "InvalidRequest"),
        ("1\r\nx\r\n", "IncompleteBody"),
        ("+1\r\nx\r\n0\r\nx-amz-checksum-crc32:jNwNkw==\r\n\r\n", "IncompleteBody"),
    ] {
        let put =
            s3.send_hashed("PUT".parse().unwrap(), "/shop/b", &[], &headers, unsigned, body.into()).await.unwrap();
        let put = client::read(put).await;
        assert_eq!((put.code().as_str(), put.status), (code, 400), "{body:?}");
    }
    // One chunk of any size.
    let large = noise(3, 5 << 20);
    ok(&s3.put_trailed("/shop/large", &large, ("x-amz-checksum-crc32", &sum(Crc32, &large))).await);
    assert!(s3.get("/shop/large").await.body == large);
    assert_eq!((s3.get("/shop/b").await.status, rig.blobs().len()), (404, 2));
}

fn order(parts: &[(usize, String, String)], name: &str) -> String {
    let element = format!("Checksum{}", name.to_uppercase());
    let part = |(number, etag, sum): &(usize, String, String)| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><{element}>{sum}</{element}></Part>")
    };
    format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.iter().map(part).collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_uploads_in_parts() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    let bodies = [noise(1, 5 << 20), noise(2, 1000)];
    let whole = bodies.concat();
    for (algorithm, name, kind) in
        ALL.into_iter().flat_map(|(algorithm, name)| ["COMPOSITE", "FULL_OBJECT"].map(|kind| (algorithm, name, kind)))
    {
        let header = format!("x-amz-checksum-{name}");
        let begin = [("x-amz-checksum-algorithm", name), ("x-amz-checksum-type", kind)];
        let begun = s3.call("POST", "/shop/big", &[("uploads", "")], &begin, "").await;
        let never = matches!((algorithm, kind), (Sha1 | Sha256, "FULL_OBJECT") | (Crc64Nvme, "COMPOSITE"));
        assert_eq!(begun.code() == "InvalidRequest", never, "{name} {kind} {}", begun.text());
        if never {
            continue;
        }
        let id = begun.one("UploadId");
        let mut parts = Vec::new();
        for (number, body) in (1..).zip(&bodies) {
            let (text, value) = (number.to_string(), sum(algorithm, body));
            let query = [("partNumber", text.as_str()), ("uploadId", id.as_str())];
            let put = s3.call("PUT", "/shop/big", &query, &[(&header, &value)], body.clone()).await;
            assert_eq!(put.header(&header), value);
            parts.push((number, put.header("etag"), value));
        }
        let other = if algorithm == Sha1 { "x-amz-checksum-sha256" } else { "x-amz-checksum-sha1" };
        let value = sum(if algorithm == Sha1 { Sha256 } else { Sha1 }, b"x");
        let query = [("partNumber", "3"), ("uploadId", id.as_str())];
        assert_eq!(s3.call("PUT", "/shop/big", &query, &[(other, &value)], "x").await.code(), "InvalidRequest");
        let expected = if kind == "FULL_OBJECT" {
            sum(algorithm, &whole)
        } else {
            let inner: Vec<u8> = parts.iter().flat_map(|part| BASE64.decode(part.2.as_bytes()).unwrap()).collect();
            format!("{}-2", sum(algorithm, &inner))
        };
        let complete = |headers: Vec<(String, String)>| {
            let (body, id) = (order(&parts, name), id.clone());
            let s3 = &s3;
            async move {
                let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                s3.call("POST", "/shop/big", &[("uploadId", &id)], &headers, body).await
            }
        };
        let lie = sum(algorithm, b"lie");
        assert_eq!(complete(vec![(header.clone(), lie)]).await.code(), "BadDigest");
        assert_eq!(complete(vec![("x-amz-mp-object-size".into(), "7".into())]).await.code(), "InvalidRequest");
        let size = ("x-amz-mp-object-size".to_owned(), whole.len().to_string());
        let done = complete(vec![(header.clone(), expected.clone()), size]).await;
        ok(&done);
        assert_eq!(done.one("ChecksumType"), kind);
        let head = s3.call("HEAD", "/shop/big", &[], &[("x-amz-checksum-mode", "ENABLED")], "").await;
        assert_eq!((head.header(&header), head.header("x-amz-checksum-type")), (expected, kind.to_owned()));
    }
    assert!(s3.get("/shop/big").await.body == whole);
}
