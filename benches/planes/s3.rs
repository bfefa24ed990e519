//! Objects over S3, with presigned URLs. A PUT is answered when its bytes are on the disk.

#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../../src/backend/object_storage/embedded/tests/client.rs"]
mod signing;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use loopback_operator::protocol::{
    Intent,
    client::Route,
    object_storage::{Bucket, Credential, key_pair},
};
use serde_json::json;

use crate::{
    Ground,
    http1::Connection,
    ours::Ours,
    rig::until,
    table::Table,
    turns::{Field, Seen, callers, in_turn},
};

const BUCKET: &str = "planes";
const SMALL: usize = 4 << 10;
const LARGE: usize = 1 << 20;
/// Objects of each size that are read.
const OBJECTS: usize = 16;
/// How long a presigned URL is good, in seconds.
const GOOD: u64 = 3_600;

/// What is asked, by how many clients, and what others were seen to do.
struct Case {
    method: &'static str,
    size: usize,
    clients: usize,
    reference: &'static str,
}

/// Debian has no peer. The reference are requests a second of Garage 2.5 and Ceph RGW 16.2 (one OSD).
const CASES: [Case; 6] = [
    put(1, "Garage 18 (1049 without fsync), Ceph 329"),
    put(8, "Garage 38 (1193 without fsync), Ceph 672"),
    get(SMALL, 1, "Garage 23, Ceph 23"),
    get(SMALL, 8, "Garage 182, Ceph 182 (1095 with tcp_nodelay)"),
    get(LARGE, 1, "Garage 960, Ceph 335"),
    get(LARGE, 8, "Garage 994, Ceph 799"),
];

const fn put(clients: usize, reference: &'static str) -> Case {
    Case { method: "PUT", size: SMALL, clients, reference }
}

const fn get(size: usize, clients: usize, reference: &'static str) -> Case {
    Case { method: "GET", size, clients, reference }
}

impl Case {
    fn title(&self) -> String {
        let size = if self.size == SMALL { "4 KiB" } else { "1 MiB" };
        let durable = if self.method == "PUT" { " durable" } else { "" };
        let clients = if self.clients == 1 { "client" } else { "clients" };
        format!("S3 {} {size}{durable}, {} {clients}, kept connections", self.method, self.clients)
    }
}

pub async fn measure(ground: &Ground, table: &mut Table) {
    let ours = Ours::start(&ground.folder("s3")).await;
    let mut requests = Requests::new(client(&ours).await);
    for size in [SMALL, LARGE] {
        requests.fill(ours.s3, size).await;
    }
    let requests = Arc::new(requests);
    let field = Field { ours: (ours.s3, ours.process.id()), peers: vec![] };
    for case in &CASES {
        let load = async |at, end| {
            callers(case.clients, |number| caller(at, end, requests.clone(), (case.method, case.size, number))).await
        };
        table.add(in_turn(&case.title(), ground.time, &field, load).await.reference(case.reference));
    }
}

async fn client(ours: &Ours) -> signing::Client {
    let bucket = ours.create(Bucket::COLLECTION, json!({"bucketName": BUCKET})).await;
    let route = Route::of::<Credential>(Some(&bucket.id));
    let credential = ours.create(route, json!({"name": "planes", "access": "ReadWrite"})).await;
    let values = ours.secret(route, &credential.id).await.0;
    signing::Client {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        endpoint: format!("http://{}", ours.s3),
        key: values[key_pair::ACCESS_KEY].clone(),
        secret: values[key_pair::SECRET_KEY].clone(),
        region: "local-1",
        ahead: 0,
    }
}

/// Requests that are ready, and what makes more.
struct Requests {
    client: signing::Client,
    body: Vec<u8>,
    written: AtomicU64,
    /// GETs by size.
    reads: BTreeMap<usize, Vec<Vec<u8>>>,
}

impl Requests {
    fn new(client: signing::Client) -> Self {
        Self { client, body: bytes(SMALL), written: AtomicU64::new(0), reads: BTreeMap::new() }
    }

    /// A presigned request, ready to be sent.
    fn make(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let url = self.client.presign(method, path, GOOD);
        let target = &url[self.client.endpoint.len()..];
        let (host, length) = (self.client.host(), body.len());
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    /// Puts the objects of a size that are read.
    async fn fill(&mut self, at: SocketAddr, size: usize) {
        let mut connection = Connection::open(at).await.unwrap();
        let body = bytes(size);
        for number in 0..OBJECTS {
            let path = format!("/{BUCKET}/read/{size}/{number}");
            let put = self.make("PUT", &path, &body);
            // A credential works a moment after it was made.
            until("an object is put", async || connection.ask(&put).await.unwrap().status == 200).await;
            let get = self.make("GET", &path, b"");
            self.reads.entry(size).or_default().push(get);
        }
    }

    /// A PUT of an object that was not there before.
    fn put(&self) -> Vec<u8> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        self.make("PUT", &format!("/{BUCKET}/written/{number}"), &self.body)
    }
}

/// Bytes that no filter makes smaller.
fn bytes(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rand::fill(&mut bytes[..]);
    bytes
}

/// One client on one connection; it reads the objects in turn, each client from another one on.
async fn caller(
    at: SocketAddr,
    end: Instant,
    requests: Arc<Requests>,
    (method, size, number): (&'static str, usize, usize),
) -> Seen {
    let mut seen = Seen::default();
    let reads = &requests.reads[&size];
    let mut connection = Connection::open(at).await.unwrap();
    for turn in number.. {
        let put = (method == "PUT").then(|| requests.put());
        let request = put.as_ref().unwrap_or(&reads[turn % OBJECTS]);
        let began = Instant::now();
        if began >= end {
            break;
        }
        match connection.ask(request).await {
            Ok(answer) if answer.status == 200 => seen.answered(began),
            Ok(_) => seen.errors += 1,
            Err(_) => {
                seen.errors += 1;
                connection = Connection::open(at).await.unwrap();
            }
        }
    }
    seen
}
