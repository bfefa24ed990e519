use super::*;

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
    rig.directory.change(|tables| drop(tables.grants.remove("shop-ReadOnly")));
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
async fn headers_that_ask_for_something_must_be_signed() {
    let rig = Rig::new().await;
    let s3 = rig.client();
    ok(&s3.put("/shop/secret", "secret").await);
    // Who may put one object does not read others by it.
    let url = s3.presign("PUT", "/shop/drop", 60);
    let sent =
        |header: &'static str, value: &'static str| s3.http.put(url.clone()).header(header, value).body("").send();
    for (header, value) in [("x-amz-copy-source", "/shop/secret"), ("x-amz-meta-a", "b"), ("X-Amz-Acl", "private")] {
        let refused = client::read(sent(header, value).await.unwrap()).await;
        assert_eq!((refused.status, refused.code()), (403, "AccessDenied".into()), "{header}");
        assert!(refused.text().contains(&header.to_lowercase()), "{}", refused.text());
    }
    assert_eq!(s3.get("/shop/drop").await.status, 404);
    assert_eq!(sent("content-type", "text/plain").await.unwrap().status(), 200);
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(sent("x-amz-content-sha256", hash).await.unwrap().status(), 200);
    let unhosted = url.replace("SignedHeaders=host", "SignedHeaders=date");
    assert_eq!(s3.http.put(unhosted).body("").send().await.unwrap().status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_signed_wrong() {
    let rig = Rig::new().await;
    ok(&rig.client().put("/shop/a", "a").await);
    for (client, code, status) in [
        (Client { ahead: 1200, ..rig.client() }, "RequestTimeTooSkewed", 403),
        (Client { ahead: -1200, ..rig.client() }, "RequestTimeTooSkewed", 403),
        (Client { secret: "guess".into(), ..rig.client() }, "SignatureDoesNotMatch", 403),
        (Client { key: "LPAKNOBODY".into(), ..rig.client() }, "InvalidAccessKeyId", 403),
        (Client { region: "us-east-1", ..rig.client() }, "AuthorizationHeaderMalformed", 400),
        (Client { region: "us-east-1", key: "LPAKNOBODY".into(), ..rig.client() }, "InvalidAccessKeyId", 403),
        (Client { ahead: 60, ..rig.client() }, "", 200),
    ] {
        let answer = client.get("/shop/a").await;
        assert_eq!((answer.code().as_str(), answer.status), (code, status), "{}", answer.text());
    }
    let abroad = Client { region: "us-east-1", ..rig.client() };
    let told = abroad.get("/shop/a").await;
    assert_eq!((told.one("Region"), told.header("x-amz-bucket-region")), ("local-1".into(), "local-1".into()));
    let url = abroad.presign("GET", "/shop/a", 60);
    let told = client::read(rig.client().http.get(url).send().await.unwrap()).await;
    assert_eq!((told.code(), told.one("Region")), ("AuthorizationQueryParametersError".into(), "local-1".into()));
    let old = Client { ahead: -600, ..rig.client() };
    let expired = client::read(rig.client().http.get(old.presign("GET", "/shop/a", 60)).send().await.unwrap()).await;
    assert_eq!((expired.code(), expired.status), ("AccessDenied".into(), 403));
    assert!(expired.text().contains("expired"), "{}", expired.text());
    let anonymous = |method| rig.client().http.request(method, format!("{}/shop/a", rig.endpoint));
    for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE] {
        let refused = client::read(anonymous(method).send().await.unwrap()).await;
        assert_eq!((refused.code(), refused.status), ("AccessDenied".into(), 403));
    }
    // Version 2, and the form of a browser, which would be held in memory before anybody knows who sends it.
    let second = anonymous(reqwest::Method::GET).header("authorization", "AWS shop-ReadWrite:c2ln").header("date", "x");
    assert!(client::read(second.send().await.unwrap()).await.status >= 400);
    let form = rig.client().http.post(format!("{}/shop", rig.endpoint));
    let form = form.header("content-type", "multipart/form-data; boundary=x").body("--x--");
    assert_eq!(client::read(form.send().await.unwrap()).await.code(), "NotImplemented");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_access_over_the_socket() {
    let rig = Rig::new().await;
    ok(&rig.client().put("/shop/a", "a").await);
    let copy = [("x-amz-copy-source", "/shop/a")];
    let none: [(&str, &str); 0] = [];
    let delete = "<Delete><Object><Key>b</Key></Object></Delete>";
    // Method, path, query, headers, body; what a reader, a writer and one who may both are answered.
    for (method, path, query, headers, body, statuses) in [
        ("GET", "/shop/a", &none[..], &none[..], "", [200, 403, 200]),
        ("HEAD", "/shop/a", &none, &none, "", [200, 403, 200]),
        ("GET", "/shop/a", &[("attributes", "")], &[("x-amz-object-attributes", "ETag")], "", [200, 403, 200]),
        ("GET", "/shop/a", &[("tagging", "")], &none, "", [200, 403, 200]),
        ("GET", "/shop", &[("list-type", "2")], &none, "", [200, 403, 200]),
        ("GET", "/shop", &none, &none, "", [200, 403, 200]),
        ("GET", "/shop", &[("versions", "")], &none, "", [200, 403, 200]),
        ("HEAD", "/shop", &none, &none, "", [200, 200, 200]),
        ("GET", "/shop", &[("location", "")], &none, "", [200, 200, 200]),
        ("GET", "/", &none, &none, "", [200, 200, 200]),
        ("PUT", "/shop/b", &none, &none, "b", [403, 200, 200]),
        ("DELETE", "/shop/b", &none, &none, "", [403, 204, 204]),
        ("POST", "/shop", &[("delete", "")], &none, delete, [403, 200, 200]),
        ("POST", "/shop/b", &[("uploads", "")], &none, "", [403, 200, 200]),
        ("GET", "/shop", &[("uploads", "")], &none, "", [403, 200, 200]),
        ("PUT", "/shop/b", &none, &copy, "", [403, 403, 200]),
        ("PUT", "/shop", &none, &none, "", [403, 403, 403]),
        ("DELETE", "/shop", &none, &none, "", [403, 403, 403]),
        ("PUT", "/shop", &[("acl", "")], &none, "", [501, 501, 501]),
    ] {
        for (key, status) in ["ReadOnly", "WriteOnly", "ReadWrite"].into_iter().zip(statuses) {
            let answer = rig.client_as(&format!("shop-{key}")).call(method, path, query, headers, body).await;
            assert_eq!(answer.status, status, "{key} {method} {path} {query:?}: {}", answer.text());
            if path != "/" {
                let abroad = rig.client_as(&format!("other-{key}")).call(method, path, query, headers, body).await;
                assert_eq!(abroad.status, 403, "other-{key} {method} {path} {query:?}");
            }
        }
    }
}
