use super::*;

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

/// Keys and common prefixes of a page, in this order.
fn named(page: &Answer) -> Vec<String> {
    let prefixes = page.all("CommonPrefixes").into_iter();
    let bare = |text: String| text.replace("<Prefix>", "").replace("</Prefix>", "");
    page.all("Key").into_iter().chain(prefixes.map(bare)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    for key in ["asdf", "boo/bar", "boo/baz/xyzzy", "cquux/thud", "cquux/bla", "p q+r", "~tilde"] {
        ok(&s3.put(&format!("/shop/{key}"), "x").await);
    }
    let all = ["asdf", "boo/bar", "boo/baz/xyzzy", "cquux/bla", "cquux/thud", "p q+r", "~tilde"];
    for (query, expected, truncated) in [
        (vec![], &all[..], false),
        (vec![("delimiter", "/")], &["asdf", "p q+r", "~tilde", "boo/", "cquux/"], false),
        (vec![("delimiter", "")], &all, false),
        (
            vec![("delimiter", "z")],
            &["asdf", "boo/bar", "cquux/bla", "cquux/thud", "p q+r", "~tilde", "boo/baz"],
            false,
        ),
        (vec![("prefix", "boo/"), ("delimiter", "/")], &["boo/bar", "boo/baz/"], false),
        (vec![("prefix", "boo")], &["boo/bar", "boo/baz/xyzzy"], false),
        (vec![("prefix", "nothing")], &[], false),
        (vec![("prefix", "")], &all, false),
        (vec![("max-keys", "0")], &[], false),
        (vec![("max-keys", "2")], &["asdf", "boo/bar"], true),
        (vec![("max-keys", "5000")], &all, false),
        (vec![("max-keys", "1"), ("prefix", "cquux/"), ("delimiter", "/")], &["cquux/bla"], true),
        (vec![("start-after", "cquux/bla"), ("list-type", "2")], &["cquux/thud", "p q+r", "~tilde"], false),
        (vec![("start-after", "zzz"), ("list-type", "2")], &["~tilde"], false),
        (vec![("marker", "cquux/bla")], &["cquux/thud", "p q+r", "~tilde"], false),
        (vec![("marker", "boo/"), ("delimiter", "/")], &["p q+r", "~tilde", "cquux/"], false),
        (vec![("encoding-type", "url"), ("prefix", "p")], &["p%20q%2Br"], false),
        (vec![("versions", ""), ("prefix", "c")], &["cquux/bla", "cquux/thud"], false),
        (vec![("versions", ""), ("delimiter", "/")], &["asdf", "p q+r", "~tilde", "boo/", "cquux/"], false),
    ] {
        let page = s3.call("GET", "/shop", &query, &[], "").await;
        ok(&page);
        let mut expected = expected.to_vec();
        let mut found = named(&page);
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "{query:?}");
        assert_eq!(page.one("IsTruncated"), truncated.to_string(), "{query:?}");
        let second = query.contains(&("list-type", "2"));
        assert_eq!(page.one("KeyCount"), if second { found.len().to_string() } else { String::new() }, "{query:?}");
    }
    for (query, code) in [
        (vec![("max-keys", "-1")], "InvalidArgument"),
        (vec![("max-keys", "many")], "InvalidArgument"),
        (vec![("continuation-token", "ours?"), ("list-type", "2")], "InvalidArgument"),
    ] {
        let refused = s3.call("GET", "/shop", &query, &[], "").await;
        assert_eq!((refused.status, refused.code().as_str()), (400, code), "{query:?}");
    }
    let listed = s3.call("GET", "/shop", &[("prefix", "asdf")], &[], "").await;
    assert_eq!(
        (listed.one("Size"), listed.one("StorageClass"), listed.one("ID")),
        ("1".into(), "STANDARD".into(), "loopback".into())
    );
    assert_eq!(listed.one("ETag").replace("&quot;", "\""), s3.get("/shop/asdf").await.header("etag"));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_deletes() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    for key in ["a", "b", "c d&"] {
        ok(&s3.put(&format!("/shop/{key}"), "x").await);
    }
    let order = |keys: &[&str], rest: &str| {
        let keys: String = keys.iter().map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
        format!("<Delete>{keys}{rest}</Delete>")
    };
    let delete = |body: String| async { s3.call("POST", "/shop", &[("delete", "")], &[], body).await };
    let quiet = delete(order(&["a", "missing"], "<Quiet>true</Quiet>")).await;
    assert_eq!((quiet.status, quiet.all("Key").len()), (200, 0));
    assert_eq!(delete(order(&["c d&amp;"], "")).await.all("Key"), ["c d&amp;"]);
    assert_eq!(rig.usage().await, (1, 1));
    let many: Vec<String> = (0..1001).map(|n| format!("k{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(delete(order(&many, "")).await.code(), "MalformedXML");
    assert_eq!(delete(order(&many[1..], "")).await.all("Key").len(), 1000);
    assert_eq!(delete(order(&[], "")).await.code(), "MalformedXML");
    assert_eq!(delete("<Delete><Obj".into()).await.status, 400);
    assert_eq!(rig.usage().await, (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_not_finished() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    for path in ["/shop/a", "/shop/b/1", "/shop/b/1", "/shop/b/2", "/shop/c-d"] {
        ok(&s3.call("POST", path, &[("uploads", "")], &[], "").await);
    }
    for (query, expected) in [
        (vec![], vec!["a", "b/1", "b/1", "b/2", "c-d"]),
        (vec![("prefix", "b/")], vec!["b/1", "b/1", "b/2"]),
        (vec![("delimiter", "/")], vec!["a", "c-d", "b/"]),
        (vec![("delimiter", "-")], vec!["a", "b/1", "b/1", "b/2", "c-"]),
        (vec![("prefix", "b/"), ("delimiter", "/")], vec!["b/1", "b/1", "b/2"]),
        (vec![("key-marker", "b/1")], vec!["b/2", "c-d"]),
        (vec![("key-marker", "b/"), ("delimiter", "/")], vec!["c-d"]),
    ] {
        let query: Vec<_> = query.into_iter().chain([("uploads", "")]).collect();
        assert_eq!(named(&s3.call("GET", "/shop", &query, &[], "").await), expected, "{query:?}");
    }
    for delimiter in ["", "/"] {
        let (mut seen, mut markers) = (Vec::new(), (String::new(), String::new()));
        loop {
            let query = [
                ("uploads", ""),
                ("max-uploads", "1"),
                ("delimiter", delimiter),
                ("key-marker", &markers.0),
                ("upload-id-marker", &markers.1),
            ];
            let page = s3.call("GET", "/shop", &query, &[], "").await;
            assert_eq!(named(&page).len(), 1);
            seen.extend(named(&page));
            if page.one("IsTruncated") != "true" {
                break;
            }
            markers = (page.one("NextKeyMarker"), page.one("NextUploadIdMarker"));
        }
        let expected =
            if delimiter.is_empty() { vec!["a", "b/1", "b/1", "b/2", "c-d"] } else { vec!["a", "b/", "c-d"] };
        assert_eq!(seen, expected);
    }
}
