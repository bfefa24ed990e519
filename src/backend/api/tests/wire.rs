//! Requests that no client of ours sends.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::rig::{LIST, Rig, reply};

/// Status and code that a raw body gets.
async fn send(rig: &Rig, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String) {
    let client = reqwest::Client::new();
    let mut request = client.request(method, rig.url(path)).bearer_auth(&rig.admin).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = reply(request.send().await.unwrap()).await;
    assert!(reply.status < 400 || reply.media == "application/problem+json", "{path}: {reply:?}");
    (reply.status, reply.code().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_of_a_create() {
    let rig = Rig::new().await;
    let deep = format!("{{\"intent\":{}{}}}", "{\"a\":".repeat(100), "1".to_owned() + &"}".repeat(100));
    let bottomless = format!("{{\"intent\":{}", "[".repeat(200_000));
    let huge = format!("{{\"intent\":{{\"name\":\"{}\"}}}}", "x".repeat(2 << 20));
    let wide = json!({"intent": {"name": "x".repeat(300)}}).to_string();
    let key = json!({"intent": {"name": "a", "targets": {"k".repeat(300): {"address": "::1", "port": 1}}}}).to_string();
    let port = |port: &str| format!(r#"{{"intent":{{"name":"a","services":{{"w":{{"port":{port}}}}}}}}}"#);
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("empty", vec![], 400),
        ("half", b"{\"intent\":".to_vec(), 400),
        ("not JSON", b"intent: name".to_vec(), 400),
        ("two values", b"{\"intent\":{\"name\":\"a\"}} {}".to_vec(), 400),
        ("not UTF-8", b"{\"intent\":{\"name\":\"\xff\xfe\"}}".to_vec(), 400),
        ("half a surrogate", br#"{"intent":{"name":"\ud800"}}"#.to_vec(), 400),
        ("not a number", port("NaN").into_bytes(), 400),
        ("too deep", bottomless.into_bytes(), 400),
        ("deep", deep.into_bytes(), 422),
        ("huge", huge.into_bytes(), 413),
        ("array", b"[]".to_vec(), 422),
        ("text", b"\"intent\"".to_vec(), 422),
        ("null", b"null".to_vec(), 422),
        ("no intent", b"{}".to_vec(), 422),
        ("intent is null", br#"{"intent":null}"#.to_vec(), 422),
        ("intent is a list", br#"{"intent":[]}"#.to_vec(), 422),
        ("intent twice", br#"{"intent":{"name":"a"},"intent":{"name":"b"}}"#.to_vec(), 422),
        ("unknown field", br#"{"intent":{"name":"a"},"x":1}"#.to_vec(), 422),
        ("unknown field of the intent", br#"{"intent":{"name":"a","x":1}}"#.to_vec(), 422),
        ("no name", br#"{"intent":{}}"#.to_vec(), 422),
        ("empty name", br#"{"intent":{"name":""}}"#.to_vec(), 422),
        ("control character", br#"{"intent":{"name":"a\u0000b"}}"#.to_vec(), 422),
        ("long name", wide.into_bytes(), 422),
        ("long key", key.into_bytes(), 422),
        ("port of text", port("\"80\"").into_bytes(), 422),
        ("port too large", port("65536").into_bytes(), 422),
        ("port negative", port("-1").into_bytes(), 422),
        ("port with a fraction", port("80.5").into_bytes(), 422),
        ("port beyond numbers", port("1e999").into_bytes(), 400),
        ("owner without uid", br#"{"intent":{"name":"a"},"owner":{"cluster":"c"}}"#.to_vec(), 422),
        ("owner is text", br#"{"intent":{"name":"a"},"owner":"me"}"#.to_vec(), 422),
    ];
    for (what, body, status) in cases {
        let (found, code) = send(&rig, Method::POST, LIST, &[], body).await;
        assert_eq!(found, status, "{what}: {code}");
    }
    let left = rig.admin(Method::GET, LIST, None).await;
    assert_eq!(left.body, json!({"items": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_not_sent_back() {
    let rig = Rig::new().await;
    let long = "\u{1}".repeat(100_000);
    for body in [
        json!({"intent": {"name": "a", &long: 1}}),
        json!({"intent": {"name": "a", "services": long}}),
        json!({"intent": {"name": "a", "services": {&long: {"port": 1}}}}),
        json!({"intent": {}, "owner": long}),
    ] {
        let reply = rig.admin(Method::POST, LIST, Some(body)).await;
        assert_eq!(reply.status, 422, "{reply:?}");
        assert!(reply.body.to_string().len() < 20_000, "a problem of {} bytes", reply.body.to_string().len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_patches_claims_and_preconditions() {
    let rig = Rig::new().await;
    let made = rig.create(&rig.admin, "web", Some("u1")).await;
    let one = format!("{LIST}/{}", made.id());
    for (what, header, body, status) in [
        ("list", "*", &b"[]"[..], 422),
        ("null", "*", b"null", 422),
        ("half", "*", b"{", 400),
        ("name removed", "*", b"{\"name\":null}", 422),
        ("wrong type", "*", b"{\"services\":7}", 422),
        ("unquoted", "abc", b"{}", 400),
        ("empty", "", b"{}", 400),
        ("weak", "W/\"abc\"", b"{}", 412),
        ("other", "\"abc\"", b"{}", 412),
        ("broken", "\"abc", b"{}", 400),
    ] {
        let (found, code) = send(&rig, Method::PATCH, &one, &[("If-Match", header)], body.to_vec()).await;
        assert_eq!(found, status, "{what}: {code}");
    }
    let two = [("If-Match", "\"a\""), ("If-Match", "\"b\"")];
    assert_eq!(send(&rig, Method::PATCH, &one, &two, b"{}".to_vec()).await.0, 400);
    let owner = format!("{one}/owner");
    for (body, status) in [(&b"{}"[..], 422), (b"{\"to\":null}", 422), (b"x", 400), (b"{\"to\":{},\"x\":1}", 422)] {
        assert_eq!(send(&rig, Method::PUT, &owner, &[], body.to_vec()).await.0, status);
    }
    assert_eq!(rig.admin(Method::GET, &one, None).await.etag, made.etag);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_queries_and_paths() {
    let rig = Rig::new().await;
    let long = format!("{LIST}/{}", "x".repeat(2000));
    for (path, status) in [
        (&format!("{LIST}?page=!!!"), 400),
        (&format!("{LIST}?page=cDE6"), 400),
        (&format!("{LIST}?limit=0"), 400),
        (&format!("{LIST}?limit=9999"), 400),
        (&format!("{LIST}?limit=1&limit=2"), 400),
        (&format!("{LIST}?unknown=1"), 400),
        (&format!("{LIST}?name=a%00b"), 400),
        (&"/v3/projects/shop/changes?after=x".to_owned(), 400),
        (&"/v3/projects/shop/changes?after=".to_owned(), 400),
        (&long, 400),
        (&format!("{LIST}/a%00b"), 400),
        (&format!("{LIST}/%ff%fe"), 400),
        (&format!("{LIST}/a%2F..%2Fb"), 404),
        (&format!("{LIST}/%2e%2e"), 404),
        (&format!("{LIST}/"), 404),
        (&format!("/{LIST}"), 404),
        (&"/v3/projects//load-balancers".to_owned(), 404),
        (&"/v3/projects/shop/nonsense".to_owned(), 404),
        (&"/".to_owned(), 404),
        (&"/v3".to_owned(), 404),
        (&"/V3/tokens".to_owned(), 404),
    ] {
        let reply = rig.admin(Method::GET, path, None).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert_eq!(reply.media, "application/problem+json", "{path}");
    }
    for path in ["/v3/organizations/A", "/v3/organizations/a.b", "/v3/organizations/..%2Fx", "/v3/organizations/-a"] {
        assert_eq!(rig.admin(Method::PUT, path, None).await.status, 422, "{path}");
    }
    let odd = rig.admin(Method::DELETE, "/v3/projects/shop/owners/c1/u1?purge=maybe", None).await;
    assert_eq!((odd.status, odd.code()), (400, "bad_request"));
    let method = rig.admin(Method::PUT, LIST, None).await;
    assert_eq!((method.status, method.code()), (405, "method_not_allowed"));
}

/// The first line and the rest of what raw bytes get as an answer.
async fn raw(rig: &Rig, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(rig.running.api).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(std::time::Duration::from_secs(5), stream.read_to_end(&mut answer));
    drop(read.await.expect("the connection stays open"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request() {
    let rig = Rig::new().await;
    let admin = &rig.admin;
    for bytes in [
        "nonsense\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000)),
        format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(5000)),
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7f\x03\x03".to_owned() + &"x".repeat(600),
    ] {
        let answer = raw(&rig, bytes.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // A body that says nothing of its end is too large at some point, and one that ends early is no create.
    let head = format!("POST {LIST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {admin}\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, "x".repeat(1 << 16));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(20));
    assert!(raw(&rig, chunked.as_bytes()).await.starts_with("HTTP/1.1 413"));
    let answer = raw(&rig, format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let two = format!(
        "GET {LIST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {admin}\r\nAuthorization: Bearer {admin}\r\n\r\n"
    );
    assert!(raw(&rig, two.as_bytes()).await.starts_with("HTTP/1.1 401"));
    assert_eq!(rig.admin(Method::GET, "/healthz", None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_callers_learn_nothing() {
    let rig = Rig::new().await;
    let http = reqwest::Client::new();
    for path in [LIST, "/v3/projects/absent", "/v3/tokens", "/v3/organizations", "/v3/projects/shop/changes"] {
        let reply = reply(http.get(rig.url(path)).send().await.unwrap()).await;
        assert_eq!((reply.status, reply.code()), (401, "unauthenticated"), "{path}");
        assert_eq!(reply.body.as_object().unwrap().get("permission"), None::<&Value>);
    }
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(http.get(rig.url(path)).send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_is_one_answer_and_not_the_end() {
    let rig = Rig::new().await;
    let defect = rig.create(&rig.admin, "panic", Some("u1")).await;
    assert_eq!((defect.status, defect.code()), (500, "internal"));
    assert_eq!(rig.create(&rig.admin, "fine", Some("u1")).await.status, 201);
    assert_eq!(rig.admin(Method::GET, "/readyz", None).await.status, 200);
}
