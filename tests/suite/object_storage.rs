//! The object store with the clients that people use: the AWS CLI and boto3. Each test has a backend of its own, so that it
//! can be measured and killed.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::Duration,
};

use loopback_operator::dev::{controlplane::free_port, tls};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::{
    rig::{Program, Wire, until},
    tools::{installed, root, run},
};

const PROJECT: &str = "shop";
const BUCKET: &str = "shop-assets";
/// What the backend may hold in memory, whatever is put into it, in KiB.
const MEMORY: u64 = 150 << 10;

struct Store {
    folder: tempfile::TempDir,
    backend: Program,
    wire: Wire,
    bucket: String,
    variables: Vec<(String, String)>,
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")))
}

impl Store {
    /// A backend with a bucket and a key pair for it, made through the wire API.
    async fn start() -> Self {
        tls::ensure_provider();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let (api, s3, state) = (local(), local(), folder.path().join("state"));
        let (api_text, s3_text, state_text) = (api.to_string(), s3.to_string(), state.to_string_lossy().into_owned());
        let options = ["--api-listen", &api_text, "--s3-listen", &s3_text, "--state-dir", &state_text];
        // No DNS, which would take a fixed port; debug, because what is logged is looked at.
        let rest = ["--dns-listen", "127.0.0.1:0", "--log", "debug"];
        let arguments = ["backend"].into_iter().chain(options).chain(rest);
        let backend = Program::start(&folder.path().join("backend.log"), arguments, []);
        let wire = Wire::admin(api, &state.join("admin-token")).await;
        wire.project(PROJECT).await;
        let owner = json!({"cluster": "c1", "kind": "ObjectBucket", "namespace": "ns", "name": "b", "uid": "u1"});
        let bucket = wire.create(PROJECT, "object-stores", Some(owner), json!({"bucketName": BUCKET})).await.id;
        let mut store = Self { folder, backend, wire, bucket, variables: Vec::new() };
        store.variables = store.variables("ReadWrite").await;
        store
    }

    /// What a Secret of a credential has in it, as variables of a process, and nothing of the user who runs the tests.
    async fn variables(&self, access: &str) -> Vec<(String, String)> {
        let credentials = format!("object-stores/{}/credentials", self.bucket);
        let intent = json!({"name": access, "access": access});
        let credential = self.wire.create(PROJECT, &credentials, None, intent).await;
        let path = format!("/v3/projects/{PROJECT}/{credentials}/{}/secret", credential.id);
        let secret = self.wire.ask(Method::GET, &path, None, None).await;
        let mut state = Value::Null;
        until("the key pair is in force", async || {
            let found = self.wire.get(PROJECT, &credentials, &credential.id).await;
            state = self.wire.get(PROJECT, "object-stores", &self.bucket).await.reality.state;
            found.reality.state["accessKeyId"].is_string() && state["endpoint"].is_string()
        })
        .await;
        let home = self.folder.path().to_string_lossy().into_owned();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        [
            ("AWS_ACCESS_KEY_ID", text(&secret["values"]["accessKeyId"])),
            ("AWS_SECRET_ACCESS_KEY", text(&secret["values"]["secretAccessKey"])),
            ("AWS_ENDPOINT_URL", text(&state["endpoint"])),
            ("AWS_REGION", text(&state["region"])),
            ("AWS_DEFAULT_REGION", text(&state["region"])),
            ("BUCKET_NAME", BUCKET.to_owned()),
            ("AWS_CONFIG_FILE", format!("{home}/none")),
            ("AWS_SHARED_CREDENTIALS_FILE", format!("{home}/none")),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("HOME", home),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn with(&self, mut command: Command) -> Command {
        command.envs(self.variables.iter().cloned()).kill_on_drop(true);
        command
    }

    /// The AWS CLI; it must succeed.
    async fn aws(&self, arguments: &[&str]) -> String {
        run(self.with(installed("aws")).args(arguments)).await.good()
    }

    fn script(&self, case: &str) -> Command {
        let mut command = self.with(installed("python-clients"));
        command.arg(root().join("tests/clients/s3.py")).arg(case);
        command
    }

    /// A case of the script with boto3; it must succeed.
    async fn boto3(&self, case: &str) -> String {
        run(&mut self.script(case)).await.good()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// The most memory that the backend ever held, in KiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.backend.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    async fn usage(&self) -> Value {
        let path = format!("/v3/projects/{PROJECT}/object-stores/usage");
        self.wire.ask(Method::GET, &path, None, None).await["items"][0].clone()
    }

    /// No mistake of a client is an error of ours, and no secret is in the log.
    fn check_log(&self) {
        let log = self.backend.log();
        let wrong: Vec<&str> = log.lines().filter(|line| line.contains("ERROR") || line.contains(" WARN ")).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let secrets = self.variables.iter().filter(|(name, _)| name == "AWS_SECRET_ACCESS_KEY");
        for (_, secret) in secrets {
            assert!(!log.contains(secret.as_str()));
        }
        assert!(!log.contains("X-Amz-Signature") && !log.contains("Credential="), "signatures are in the log");
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.backend.kill();
    }
}

fn hash(path: &str) -> Vec<u8> {
    let (mut file, mut hash, mut piece) = (File::open(path).expect("a file"), Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).expect("bytes") {
            0 => return hash.finalize().to_vec(),
            length => hash.update(&piece[..length]),
        }
    }
}

/// A file that does not repeat itself.
fn write_file(path: &str, megabytes: u32) {
    let mut file = File::create(path).expect("a file");
    let mut piece: Vec<u8> = (0..1_u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for n in 0..megabytes {
        piece[..4].copy_from_slice(&n.to_le_bytes());
        file.write_all(&piece).expect("bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_up_and_down_in_little_memory() {
    let store = Store::start().await;
    let (file, back, target) = (store.path("large"), store.path("back"), format!("s3://{BUCKET}/large"));
    write_file(&file, 500);
    store.aws(&["s3", "cp", "--no-progress", &file, &target]).await;
    store.aws(&["s3", "cp", "--no-progress", &target, &back]).await;
    assert_eq!(hash(&file), hash(&back));
    assert_eq!(store.usage().await["bytes"], 500 << 20);
    let peak = store.peak();
    println!("500 MB up and down; the backend held at most {} MiB", peak >> 10);
    assert!(peak < MEMORY, "{peak} KiB");
    store.aws(&["s3", "rm", &target]).await;
    assert_eq!(store.usage().await["objects"], 0);
    store.check_log();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_are_synced() {
    let store = Store::start().await;
    let (here, back, target) = (store.path("here"), store.path("back"), format!("s3://{BUCKET}/tree"));
    let mut bytes = 0;
    for n in 0..2000_usize {
        let folder = Path::new(&here).join(format!("{} é", n % 20));
        fs::create_dir_all(&folder).expect("a folder");
        let body = format!("{n} ").repeat(n % 700);
        bytes += body.len();
        fs::write(folder.join(format!("{n}.txt")), body).expect("a file");
    }
    store.aws(&["s3", "sync", "--quiet", &here, &target]).await;
    assert_eq!(store.usage().await, json!({"id": store.bucket, "objects": 2000, "bytes": bytes}));
    store.aws(&["s3", "sync", "--quiet", &target, &back]).await;
    for n in 0..2000_usize {
        let name = format!("{} é/{n}.txt", n % 20);
        let read = |folder: &str| fs::read(Path::new(folder).join(&name)).expect("a file");
        assert_eq!(read(&here), read(&back), "{name}");
    }
    // Nothing is left to do.
    assert_eq!(store.aws(&["s3", "sync", &here, &target]).await.trim(), "");
    let listed = store.aws(&["s3api", "list-objects-v2", "--bucket", BUCKET, "--query", "length(Contents)"]).await;
    assert_eq!(listed.trim(), "2000");
    assert!(store.peak() < MEMORY, "{} KiB", store.peak());
    store.check_log();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_a_kill() {
    let store = Store::start().await;
    let answers = store.path("answers");
    let output = File::create(&answers).expect("a file");
    let mut writing = store.script("writes").stdout(Stdio::from(output)).spawn().expect("a process");
    let lines = || fs::read_to_string(&answers).expect("a file").lines().count();
    for round in 1..=2 {
        let before = lines();
        until("objects were put", async || lines() >= before + 40 * round).await;
        store.backend.kill();
        assert!(writing.wait().await.expect("it ends").success());
        store.backend.again();
        store.wire.wait().await;
        until("the object store answers", async || {
            let path = format!("/v3/projects/{PROJECT}/object-stores/usage");
            store.wire.send(Method::GET, &path, None, None).await.status().is_success()
        })
        .await;
        let counted = run(store.script("count").arg(&answers)).await.good();
        let counted: Value = serde_json::from_str(&counted).expect("JSON");
        let usage = store.usage().await;
        assert_eq!((&usage["objects"], &usage["bytes"]), (&counted["objects"], &counted["bytes"]));
        println!("after kill {round}: {counted}");
        let output = File::options().append(true).open(&answers).expect("a file");
        writing = store.script("writes").stdout(Stdio::from(output)).spawn().expect("a process");
    }
    writing.kill().await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_does_what_it_can() {
    let store = Store::start().await;
    for case in ["pages", "presigned", "multipart", "conditional", "batch", "checksums", "refusals"] {
        store.boto3(case).await;
    }
    assert!(store.peak() < MEMORY, "{} KiB", store.peak());
    store.check_log();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_and_its_checksums() {
    let store = Store::start().await;
    let (file, back) = (store.path("file"), store.path("back"));
    write_file(&file, 20);
    for algorithm in ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"] {
        let target = format!("s3://{BUCKET}/{algorithm}");
        store.aws(&["s3", "cp", "--no-progress", "--checksum-algorithm", algorithm, &file, &target]).await;
        store.aws(&["s3", "cp", "--no-progress", "--checksum-mode", "ENABLED", &target, &back]).await;
        assert_eq!(hash(&file), hash(&back), "{algorithm}");
        let head = ["s3api", "head-object", "--bucket", BUCKET, "--key", algorithm, "--checksum-mode", "ENABLED"];
        let head: Value = serde_json::from_str(&store.aws(&head).await).expect("JSON");
        assert!(head[format!("Checksum{algorithm}")].is_string(), "{head}");
    }
    let (from, to) = (format!("s3://{BUCKET}/CRC32"), format!("s3://{BUCKET}/moved"));
    store.aws(&["s3", "mv", "--no-progress", &from, &to]).await;
    store.aws(&["s3", "rm", "--recursive", "--quiet", &format!("s3://{BUCKET}/")]).await;
    assert_eq!(store.usage().await["objects"], 0);
    let denied = run(store.with(installed("aws")).args(["s3", "rb", &format!("s3://{BUCKET}")])).await;
    assert!(!denied.success && denied.err.contains("through the Loopback API"), "{denied:?}");
    let mut reader = store.with(installed("aws"));
    reader.envs(store.variables("ReadOnly").await);
    let write = run(reader.args(["s3", "cp", &file, &to])).await;
    assert!(!write.success && write.err.contains("ReadOnly"), "{write:?}");
    store.check_log();
}

/// How long a bucket that is full is watched.
const A_WHILE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bucket_waits_and_says_what_to_do() {
    let store = Store::start().await;
    let file = store.path("file");
    write_file(&file, 1);
    store.aws(&["s3", "cp", "--no-progress", &file, &format!("s3://{BUCKET}/file")]).await;
    let owner = format!("/v3/projects/{PROJECT}/owners/c1/u1");
    store.wire.ask(Method::DELETE, &owner, None, None).await;
    let mut message = String::new();
    until("it says why it waits", async || {
        let bucket = store.wire.get(PROJECT, "object-stores", &store.bucket).await;
        message = bucket.reality.members.get("content").map(|content| content.message.clone()).unwrap_or_default();
        message.contains("key pairs are revoked")
    })
    .await;
    assert!(message.contains("1 object ") && message.contains("Purge"), "{message}");
    let gone = async || store.wire.list(PROJECT, "object-stores").await.is_empty();
    assert!(!crate::rig::within(A_WHILE, gone).await, "a bucket with an object in it went");
    // The keys went with the bucket; what is said is what helps.
    let late = run(store.with(installed("aws")).args(["s3", "ls"])).await;
    assert!(late.err.contains("InvalidAccessKeyId"), "{late:?}");
    store.wire.ask(Method::DELETE, &format!("{owner}?purge=true"), None, None).await;
    until("the bucket goes with what is in it", gone).await;
}
