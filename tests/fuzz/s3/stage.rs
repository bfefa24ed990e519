//! The backend, what it holds before each input, and how that comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use loopback_operator::{
    backend::{Options, Running, start},
    runtime::{Drain, World},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    client::{Client, encode},
    sign::{Case, digest, etag},
};

/// What another project's bucket holds, and nobody else may read.
pub const CANARY: &[u8] = b"canary-of-another-bucket";
const SHOP: &str = "shop-bucket";
const OTHER: &str = "other-bucket";
const PATIENCE: Duration = Duration::from_secs(60);

/// What can be seen of the buckets, as their owners see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub shop: Bucket,
    pub other: Bucket,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Key, encoded: ETag and size.
    objects: BTreeMap<String, (String, String)>,
    /// Key, encoded, and id, with the list of parts.
    uploads: BTreeMap<(String, String), [u8; 32]>,
}

pub struct Stage {
    running: Running,
    folder: tempfile::TempDir,
    pub s3: SocketAddr,
    pub shop: Client,
    pub other: Client,
    pub base: State,
    /// Whether it holds something else now.
    pub changed: bool,
    upload: String,
    token: String,
    part: String,
}

async fn wire(running: &Running, method: &str, path: &str, body: Value) -> Value {
    let token = std::fs::read_to_string(&running.admin_token_file).unwrap();
    let request = reqwest::Client::new().request(method.parse().unwrap(), format!("http://{}{path}", running.api));
    let answer = request.bearer_auth(token.trim()).header("content-type", "application/json").body(body.to_string());
    let answer = answer.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{method} {path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

/// Asks until the field is there.
async fn reality(running: &Running, path: &str, field: &str) {
    let begin = Instant::now();
    while !wire(running, "GET", path, Value::Null).await["reality"]["state"][field].is_string() {
        assert!(begin.elapsed() < PATIENCE, "{path} never has {field}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A bucket and a client with a key pair for it.
async fn bucket(running: &Running, name: &str) -> Client {
    let stores = "/v3/projects/shop/object-stores";
    let bucket = wire(running, "POST", stores, json!({"intent": {"bucketName": name}})).await;
    let bucket = format!("{stores}/{}", bucket["id"].as_str().unwrap());
    reality(running, &bucket, "endpoint").await;
    let intent = json!({"intent": {"name": "all", "access": "ReadWrite"}});
    let credential = wire(running, "POST", &format!("{bucket}/credentials"), intent).await;
    let credential = format!("{bucket}/credentials/{}", credential["id"].as_str().unwrap());
    reality(running, &credential, "accessKeyId").await;
    let secret = wire(running, "GET", &format!("{credential}/secret"), Value::Null).await;
    let text = |name: &str| secret["values"][name].as_str().unwrap().to_owned();
    Client {
        http: reqwest::Client::new(),
        endpoint: format!("http://{}", running.s3.unwrap()),
        key: text("accessKeyId"),
        secret: text("secretAccessKey"),
        region: "local-1",
        ahead: 0,
    }
}

/// Objects that are there.
fn present() -> [(&'static str, Vec<u8>); 4] {
    [("a", b"hello".to_vec()), ("dir/b", vec![b'b'; 70_000]), ("dir/\u{fc} c", b"c".to_vec()), ("empty", Vec::new())]
}

impl Stage {
    pub async fn new() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let options = Options { s3_listen: any, ..Options::new(any, folder.path().join("state")) };
        let running = start(options, World::real(), &Drain::new()).await.unwrap();
        running.seed("acme", "shop", &[], &folder.path().join("token"), Vec::new()).await.unwrap();
        let (shop, other) = (bucket(&running, SHOP).await, bucket(&running, OTHER).await);
        assert_eq!(other.put("/other-bucket/secret", CANARY).await.status, 200);
        let base = State { shop: Bucket::default(), other: Bucket::default() };
        let (upload, token, part) = (String::new(), String::new(), String::new());
        let s3 = running.s3.unwrap();
        let mut stage = Self { running, folder, s3, shop, other, base, changed: false, upload, token, part };
        stage.begin().await;
        stage
    }

    /// Puts what is missing of all that is there before an input.
    async fn begin(&mut self) {
        for (key, body) in present() {
            let path = format!("/{SHOP}/{key}");
            let there = self.base.shop.objects.get(&encode(key, true)).is_some_and(|(tag, _)| *tag == etag(&body));
            if !there {
                assert_eq!(self.shop.put(&path, body).await.status, 200, "{path}");
            }
        }
        if self.base.shop.uploads.is_empty() {
            let begun = self.shop.call("POST", "/shop-bucket/open", &[("uploads", "")], &[], "").await;
            self.upload = begun.one("UploadId");
            let query = [("partNumber", "1"), ("uploadId", self.upload.as_str())];
            self.part = self.shop.call("PUT", "/shop-bucket/open", &query, &[], "part").await.header("etag");
        }
        let page = self.shop.call("GET", "/shop-bucket", &[("list-type", "2"), ("max-keys", "1")], &[], "").await;
        self.token = page.one("NextContinuationToken");
        self.base = self.state().await;
        let keys: BTreeSet<String> = present().iter().map(|(key, _)| encode(key, true)).collect();
        assert_eq!(self.base.shop.objects.keys().cloned().collect::<BTreeSet<_>>(), keys);
        assert_eq!(self.base.shop.uploads.len(), 1);
    }

    /// With what stands for what in cases.
    pub fn filled(&self, input: &[u8]) -> Vec<u8> {
        let names = [("{upload}", &self.upload), ("{token}", &self.token), ("{etag}", &self.part)];
        names.iter().fold(input.to_vec(), |case, (name, with)| crate::parsers::replaced(&case, name.as_bytes(), with))
    }

    pub async fn state(&self) -> State {
        let mut state =
            State { shop: bucket_state(&self.shop, SHOP).await, other: bucket_state(&self.other, OTHER).await };
        for ((key, id), parts) in &mut state.shop.uploads {
            let (status, list) = self.ask("GET", key, &format!("?uploadId={id}")).await;
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&list));
            *parts = digest(&list);
        }
        state
    }

    /// What is new is whole: it can be read, and is what its ETag and its size say.
    pub async fn check(&self, now: &State) {
        for (key, (tag, size)) in &now.shop.objects {
            if self.base.shop.objects.get(key) == Some(&(tag.clone(), size.clone())) {
                continue;
            }
            let (status, body) = self.ask("GET", key, "").await;
            assert_eq!((status, body.len().to_string()), (200, size.clone()), "{key}");
            assert!(tag.contains('-') || *tag == etag(&body), "{key} has the ETag {tag}");
        }
    }

    /// Everything that a client can put it can also delete.
    pub async fn restore(&mut self) {
        let now = self.state().await.shop;
        for (key, row) in &now.objects {
            if self.base.shop.objects.get(key) != Some(row) {
                assert_eq!(self.ask("DELETE", key, "").await.0, 204, "{key}");
            }
        }
        for ((key, id), parts) in &now.uploads {
            if self.base.shop.uploads.get(&(key.clone(), id.clone())) != Some(parts) {
                assert_eq!(self.ask("DELETE", key, &format!("?uploadId={id}")).await.0, 204, "{key}");
            }
        }
        self.base = self.state().await;
        self.begin().await;
        self.changed = false;
    }

    /// Sends a request and reads what comes.
    pub async fn send(&self, case: Case) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.s3).await.unwrap();
        let ends = case.framed;
        // a server may close before all was sent
        let _ = timeout(PATIENCE, stream.write_all(&case.request(&self.shop))).await;
        if ends {
            let _ = stream.shutdown().await;
        }
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection stays open");
        answer
    }

    /// Asks about one key, which is encoded, and may be one that clients do not send as it is.
    async fn ask(&self, method: &str, key: &str, query: &str) -> (u16, Vec<u8>) {
        let case = format!("{method} /{SHOP}/{key}{query}\n\n");
        let answer = self.send(Case::read(case.as_bytes()).unwrap()).await;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer");
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }

    /// Files that no row names are gone, and the backend ends.
    pub async fn close(self) {
        let begin = Instant::now();
        // three bodies, a part, and the canary; an empty one has no file
        while files(&self.folder.path().join("state/object-storage/blobs")) != 5 {
            assert!(begin.elapsed() < PATIENCE, "files are left of what was refused or deleted");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(self.running.stop().await);
    }
}

fn files(folder: &Path) -> usize {
    let shards = std::fs::read_dir(folder).unwrap();
    shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

async fn bucket_state(client: &Client, name: &str) -> Bucket {
    let mut bucket = Bucket::default();
    let path = format!("/{name}");
    let list = client.call("GET", &path, &[("list-type", "2"), ("encoding-type", "url")], &[], "").await;
    assert_eq!((list.status, list.one("IsTruncated").as_str()), (200, "false"), "{}", list.text());
    let rows = list.all("ETag").into_iter().zip(list.all("Size"));
    bucket.objects.extend(list.all("Key").into_iter().zip(rows));
    let list = client.call("GET", &path, &[("uploads", ""), ("encoding-type", "url")], &[], "").await;
    assert_eq!((list.status, list.one("IsTruncated").as_str()), (200, "false"), "{}", list.text());
    for (key, id) in list.all("Key").into_iter().zip(list.all("UploadId")) {
        bucket.uploads.insert((key, id), [0; 32]);
    }
    bucket
}
