//! S3 behind the signature: requests that are signed as they should be, and hostile in everything else. One backend answers
//! all of them, and is brought back to what it held before each.

#[allow(dead_code, reason = "the tests of the object store use more of it")]
#[path = "../../../src/backend/object_storage/embedded/tests/client.rs"]
mod client;
mod sign;
mod stage;

use std::cell::RefCell;

use self::{
    sign::Case,
    stage::{CANARY, Stage},
};
use crate::engine::{Fuzz, cases};

/// Longest refusal, in bytes: what was sent is not sent back at any length.
const REFUSAL: usize = 80 << 10;

const WORDS: &[&str] = &[
    "GET ",
    "PUT ",
    "POST ",
    "HEAD ",
    "DELETE ",
    "/shop-bucket/",
    "/other-bucket/secret",
    "?uploads",
    "?uploadId={upload}",
    "&partNumber=1",
    "?delete",
    "?list-type=2",
    "&continuation-token={token}",
    "&max-keys=",
    "&encoding-type=url",
    "&delimiter=/",
    "&prefix=",
    "&versionId=null",
    "?versions",
    "%2F",
    "%00",
    "%2e%2e/",
    "../",
    "%ff",
    "+",
    "range: bytes=0-\n",
    "range: bytes=-1\n",
    "bytes=18446744073709551615-",
    "x-amz-copy-source: /shop-bucket/a\n",
    "x-amz-copy-source: /other-bucket/secret\n",
    "x-amz-copy-source-range: bytes=0-1\n",
    "x-amz-metadata-directive: REPLACE\n",
    "if-match: *\n",
    "if-none-match: \"x\"\n",
    "if-modified-since: Thu, 01 Jan 1970 00:00:00 GMT\n",
    "x-amz-checksum-crc32: AAAAAA==\n",
    "x-amz-sdk-checksum-algorithm: SHA1\n",
    "content-md5: 1B2M2Y8AsgTpgAmY7PhCfg==\n",
    "x-amz-content-sha256: UNSIGNED-PAYLOAD\n",
    "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\n",
    "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n",
    "x-amz-decoded-content-length: 5\n",
    "x-amz-trailer: x-amz-checksum-crc32\n",
    "content-length: 5\n",
    "transfer-encoding: chunked\n",
    "!x-amz-acl: private\n",
    "{sign}",
    "{trail}",
    "{9000 times <Part>}",
    ";chunk-signature=",
    "\r\n0\r\n\r\n",
    "<Key>",
    "</Key>",
    "<Part>",
    "<PartNumber>1</PartNumber>",
    "<ETag>{etag}</ETag>",
    "<!ENTITY a \"b\">",
    "&a;",
    "&#0;",
    "&#x110000;",
    "<![CDATA[",
    "<?xml version=\"1.0\" encoding=\"UTF-16\"?>",
];

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|part| part == what)
}

/// Status and code of an answer that breaks no law.
fn judge(stage: &Stage, answer: &[u8], framed: bool) -> (u16, String) {
    let text = String::from_utf8_lossy(answer);
    let last = text.rfind("HTTP/1.1 ").map_or("", |at| &text[at + 9..]);
    let status = last.get(..3).and_then(|status| status.parse().ok()).unwrap_or(0);
    assert!(status != 0 || framed, "no answer");
    assert!(status < 500 || status == 501, "{text}");
    for secret in [stage.shop.secret.as_bytes(), stage.other.secret.as_bytes(), CANARY] {
        assert!(!contains(answer, secret), "a secret is answered: {text}");
    }
    assert!(status < 400 || answer.len() < REFUSAL, "a refusal of {} bytes", answer.len());
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    (status, code.map_or("", |(code, _)| code).to_owned())
}

async fn one(stage: &mut Stage, input: &[u8]) -> String {
    if stage.changed {
        stage.restore().await;
    }
    let Some(case) = Case::read(&stage.filled(input)) else { return "no request".into() };
    let (about, framed) = (case.about(), case.framed);
    let answer = stage.send(case).await;
    let after = stage.state().await;
    stage.changed = after != stage.base;
    let (status, code) = judge(stage, &answer, framed);
    assert!(after.other == stage.base.other, "another bucket has changed");
    if stage.changed {
        assert!((200..300).contains(&status), "{status} {code}, and it was done");
        stage.check(&after).await;
    }
    format!("{about} {status} {code}")
}

/// Stored cases that have to be refused, whatever else they are good for.
const REFUSED: [&str; 45] = [
    "chunks_after_last",
    "chunks_forged",
    "chunks_large",
    "chunks_length",
    "chunks_long_line",
    "chunks_minus",
    "chunks_no_last",
    "chunks_overflow",
    "chunks_plus",
    "chunks_swapped",
    "chunks_trailing",
    "chunks_wide",
    "complete_chunked",
    "complete_deep",
    "complete_hash",
    "complete_many",
    "complete_number",
    "complete_short",
    "complete_twice",
    "copy_arn",
    "copy_dots",
    "copy_encoded",
    "copy_other",
    "delete_bomb",
    "delete_crowd",
    "delete_external",
    "delete_half",
    "delete_huge",
    "delete_other",
    "delete_two",
    "get_other",
    "part_copy_other",
    "part_of_another_key",
    "part_overflow",
    "plain_missing",
    "plain_no_last",
    "plain_rest",
    "plain_trailers",
    "put_crc_wrong",
    "put_hash_wrong",
    "put_long_header",
    "put_nul",
    "put_short",
    "put_unsigned_header",
    "trailer_forged",
];

#[test]
fn what_must_be_refused_is() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stage = Stage::new().await;
        for name in REFUSED {
            let path = cases("s3").into_iter().find(|path| path.ends_with(name)).expect(name);
            let case = Case::read(&stage.filled(&std::fs::read(path).unwrap())).unwrap();
            let framed = case.framed;
            let (status, code) = judge(&stage, &stage.send(case).await, framed);
            assert!(status == 0 || status >= 400, "{name}: {status} {code}");
        }
        assert!(stage.state().await == stage.base);
        stage.close().await;
    });
}

#[test]
fn s3() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stage = RefCell::new(runtime.block_on(Stage::new()));
    let fuzz = Fuzz { name: "s3", words: WORDS, inputs: 200, memory: 64 << 20 };
    fuzz.run(|input| runtime.block_on(one(&mut stage.borrow_mut(), input)));
    let mut stage = stage.into_inner();
    runtime.block_on(stage.restore());
    runtime.block_on(stage.close());
}
