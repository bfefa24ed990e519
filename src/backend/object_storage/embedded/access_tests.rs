use super::*;

fn tables() -> Tables {
    let bucket = |n: u8| OpenBucket { id: format!("os-{n}"), name: format!("b{n}"), region: "r".into(), made: 0 };
    let buckets = [1, 2].map(|n| (format!("os-{n}"), bucket(n)));
    Tables { buckets: buckets.into(), grants: BTreeMap::new() }
}

fn may(access: Access, operation: &str, bucket: Option<&str>) -> Result<(), String> {
    let grant = Grant { secret: "s".into(), access, bucket: "os-1".into() };
    permit(&tables(), &grant, operation, bucket).map(drop).map_err(|problem| problem.code().as_str().to_owned())
}

#[test]
fn each_access_does_what_its_name_says() {
    let reads = ["GetObject", "HeadObject", "ListObjects", "ListObjectsV2"];
    let writes = ["PutObject", "DeleteObject", "DeleteObjects", "CreateMultipartUpload", "UploadPart", "ListParts"];
    let both = ["CopyObject", "UploadPartCopy"];
    for (access, read, write, copy) in [
        (Access::ReadOnly, true, false, false),
        (Access::WriteOnly, false, true, false),
        (Access::ReadWrite, true, true, true),
    ] {
        for (operations, allowed) in [(&reads[..], read), (&writes[..], write), (&both[..], copy)] {
            for operation in operations {
                assert_eq!(may(access, operation, Some("b1")).is_ok(), allowed, "{access} {operation}");
                assert_eq!(may(access, operation, Some("b2")), Err("AccessDenied".into()), "{access} {operation}");
                assert_eq!(may(access, operation, Some("b3")), Err("AccessDenied".into()), "{access} {operation}");
            }
        }
        assert!(may(access, "ListBuckets", None).is_ok() && may(access, "HeadBucket", Some("b1")).is_ok());
        for managed in ["CreateBucket", "DeleteBucket"] {
            assert_eq!(may(access, managed, Some("b1")), Err("AccessDenied".into()));
        }
        assert_eq!(may(access, "PutBucketPolicy", Some("b1")), Err("NotImplemented".into()));
    }
}

#[test]
fn weak_signatures_are_refused() {
    assert!(signature(b"AWS4-HMAC-SHA256 Credential=...", "list-type=2").is_ok());
    assert!(signature(b"", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=604800").is_ok());
    for (header, query) in [
        (&b"AWS AKIA:signature"[..], ""),
        (b"", "AWSAccessKeyId=AKIA&Signature=x&Expires=1"),
        (b"", "X-Amz-Expires=604801"),
        (b"", "x-amz-expires=604801"),
        (b"", "X-Amz-Expires=0"),
        (b"", "X-Amz-Expires=-1"),
        (b"", "X-Amz-%45xpires=999999999"),
    ] {
        assert!(signature(header, query).is_err(), "{query}");
    }
}
