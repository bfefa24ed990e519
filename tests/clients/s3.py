"""What the tests do with boto3. Usage: s3.py CASE [ARGUMENT...]; the bucket and the key pair come from the environment."""

import concurrent.futures
import hashlib
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = os.environ["BUCKET_NAME"]
MIB = 1 << 20


def client(**settings):
    """Path style, because the bucket's name is no host here. One attempt, so that nothing wrong is tried away."""
    style = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=20)
    return boto3.client("s3", config=style, **settings)


s3 = client()


def refused(code, call, **arguments):
    """Asserts that a call is answered with this error."""
    try:
        call(**arguments)
    except ClientError as problem:
        assert problem.response["Error"]["Code"] == code, problem
        return problem.response
    raise AssertionError(f"not refused: {arguments}")


def put(key, body=b"x", **rest):
    return s3.put_object(Bucket=BUCKET, Key=key, Body=body, **rest)


def get(key, **rest):
    return s3.get_object(Bucket=BUCKET, Key=key, **rest)["Body"].read()


def pages():
    keys = sorted([f"list/{n % 7}/{n}" for n in range(60)] + ["list/a b+c&d", "list/\u00fc/1", "list/\u0001"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(put, keys))
    for name in ["list_objects", "list_objects_v2"]:
        for size in [1, 7, 1000]:
            found = s3.get_paginator(name).paginate(Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": size})
            assert [entry["Key"] for page in found for entry in page["Contents"]] == keys, (name, size)
        found = s3.get_paginator(name).paginate(
            Bucket=BUCKET, Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 2}
        )
        prefixes = [entry["Prefix"] for page in found for entry in page.get("CommonPrefixes", [])]
        assert prefixes == [f"list/{n}/" for n in range(7)] + ["list/\u00fc/"], (name, prefixes)
    versions = s3.get_paginator("list_object_versions").paginate(
        Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 9}
    )
    assert [entry["Key"] for page in versions for entry in page["Versions"]] == keys
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [BUCKET]


def fetch(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(url, method=method, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read()


def presigned():
    def sign(method, key, **rest):
        parameters = {"Bucket": BUCKET, "Key": key, **rest.pop("parameters", {})}
        return s3.generate_presigned_url(method, Params=parameters, **rest)

    assert fetch(sign("put_object", "pre/a b"), "PUT", b"hello")[0] == 200
    assert fetch(sign("get_object", "pre/a b")) == (200, b"hello")
    told = sign("get_object", "pre/a b", parameters={"ResponseContentType": "text/html"})
    with urllib.request.urlopen(told) as answer:
        assert answer.headers["content-type"] == "text/html"
    assert fetch(sign("get_object", "pre/a b"), "PUT", b"x")[0] == 403
    assert fetch(sign("get_object", "pre/a b").replace("pre/a", "pre/b"))[0] == 403
    assert fetch(sign("get_object", "pre/a b", ExpiresIn=604801))[0] == 400
    short = sign("get_object", "pre/a b", ExpiresIn=1)
    end = time.monotonic() + 30
    while (answer := fetch(short))[0] == 200:
        assert time.monotonic() < end, "a URL lives on"
        time.sleep(0.1)
    assert answer[0] == 403 and b"expired" in answer[1], answer


def multipart():
    body = os.urandom(12 * MIB + 5)
    path = "/".join([os.environ["HOME"], "multipart"])
    with open(path, "wb") as file:
        file.write(body)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_file(path, BUCKET, "multi/whole", Config=config, ExtraArgs={"Metadata": {"colour": "blue"}})
    s3.download_file(BUCKET, "multi/whole", path + ".back", Config=config)
    with open(path + ".back", "rb") as file:
        assert file.read() == body
    head = s3.head_object(Bucket=BUCKET, Key="multi/whole")
    assert head["Metadata"] == {"colour": "blue"} and head["ETag"].endswith('-3"'), head
    part = s3.get_object(Bucket=BUCKET, Key="multi/whole", PartNumber=2)
    assert part["PartsCount"] == 3 and part["Body"].read() == body[5 * MIB : 10 * MIB]
    s3.copy({"Bucket": BUCKET, "Key": "multi/whole"}, BUCKET, "multi/copy", Config=config)
    assert get("multi/copy") == body
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="multi/open")["UploadId"]
    this = {"Bucket": BUCKET, "Key": "multi/open", "UploadId": upload}
    tags = [s3.upload_part(**this, PartNumber=n, Body=b"small")["ETag"] for n in [1, 2]]
    assert [part["PartNumber"] for part in s3.list_parts(**this)["Parts"]] == [1, 2]
    assert [open["UploadId"] for open in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [upload]

    def order(*numbers):
        return {"Parts": [{"PartNumber": n, "ETag": tags[n - 1]} for n in numbers]}

    refused("EntityTooSmall", s3.complete_multipart_upload, **this, MultipartUpload=order(1, 2))
    refused("InvalidPartOrder", s3.complete_multipart_upload, **this, MultipartUpload=order(2, 1))
    first = s3.complete_multipart_upload(**this, MultipartUpload=order(2))
    assert s3.complete_multipart_upload(**this, MultipartUpload=order(2))["ETag"] == first["ETag"]
    refused("NoSuchUpload", s3.abort_multipart_upload, **this)


def conditional():
    etag = put("cond", b"one", IfNoneMatch="*")["ETag"]
    refused("PreconditionFailed", put, key="cond", body=b"two", IfNoneMatch="*")
    refused("PreconditionFailed", put, key="cond", body=b"two", IfMatch='"no"')
    refused("NoSuchKey", put, key="cond-missing", body=b"two", IfMatch=etag)
    refused("304", get, key="cond", IfNoneMatch=etag)
    refused("PreconditionFailed", get, key="cond", IfMatch='"no"')
    put("cond", b"two", IfMatch=etag)
    assert get("cond") == b"two"

    def race(n):
        try:
            put("cond-race", str(n).encode(), IfNoneMatch="*")
            return [str(n).encode()]
        except ClientError:
            return []

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        winners = sum(pool.map(race, range(16)), [])
    assert winners == [get("cond-race")], winners


def batch():
    keys = [f"batch/{n} <&>" for n in range(25)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(put, keys))
    objects = [{"Key": key} for key in [*keys, "batch/missing"]]
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects})
    assert [entry["Key"] for entry in answer["Deleted"]] == [entry["Key"] for entry in objects], answer
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="batch/")["KeyCount"] == 0
    quiet = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects, "Quiet": True})
    assert "Deleted" not in quiet and "Errors" not in quiet, quiet


def checksums():
    body = os.urandom(5 * MIB)
    for name in ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"]:
        field, key = f"Checksum{name}", f"sum/{name}"
        said = put(key, body, ChecksumAlgorithm=name)[field]
        got = s3.get_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
        # boto3 compares what comes with what was said.
        assert got["Body"].read() == body and got[field] == said, name
        refused("BadDigest", put, key="sum/wrong", body=b"other", **{field: said})
        asked = s3.get_object_attributes(Bucket=BUCKET, Key=key, ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
        assert asked["Checksum"][field] == said and asked["ObjectSize"] == len(body), asked
        for kind in ["COMPOSITE", "FULL_OBJECT"]:
            begin = dict(Bucket=BUCKET, Key=key, ChecksumAlgorithm=name, ChecksumType=kind)
            if (name[:3] == "SHA", kind) == (True, "FULL_OBJECT") or (name, kind) == ("CRC64NVME", "COMPOSITE"):
                refused("InvalidRequest", s3.create_multipart_upload, **begin)
                continue
            this = {"Bucket": BUCKET, "Key": key, "UploadId": s3.create_multipart_upload(**begin)["UploadId"]}
            parts = []
            for number, piece in [(1, body), (2, b"tail")]:
                sent = s3.upload_part(**this, PartNumber=number, Body=piece, ChecksumAlgorithm=name)
                parts.append({"PartNumber": number, "ETag": sent["ETag"], field: sent[field]})
            done = s3.complete_multipart_upload(**this, MultipartUpload={"Parts": parts})
            assert done["ChecksumType"] == kind, done
            if kind == "FULL_OBJECT":
                # The checksum that one put of the same bytes has.
                assert put("sum/one", body + b"tail", ChecksumAlgorithm=name)[field] == done[field], name


def refusals():
    head = client(region_name="us-east-1")
    retried = head.head_bucket(Bucket=BUCKET)
    assert retried["BucketRegion"] == os.environ["AWS_REGION"], retried
    refused("InvalidAccessKeyId", client(aws_access_key_id="LPAKNOBODY", aws_secret_access_key="guess").list_buckets)
    forged = client(aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="guess")
    refused("SignatureDoesNotMatch", forged.list_buckets)
    refused("AccessDenied", s3.get_object, Bucket="other-bucket", Key="x")
    refused("AccessDenied", s3.create_bucket, Bucket="new-bucket")
    refused("NoSuchKey", get, key="missing")
    refused("404", s3.head_object, Bucket=BUCKET, Key="missing")
    put("short", b"x")
    refused("InvalidRange", get, key="short", Range="bytes=1-")
    refused("KeyTooLongError", put, key="k" * 1025)
    refused("NotImplemented", put, key="x", Tagging="a=b")
    refused("NotImplemented", s3.put_bucket_versioning, Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=BUCKET)
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)
    assert s3.get_bucket_acl(Bucket=BUCKET)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == os.environ["AWS_REGION"]


def writes():
    """Puts until the server is gone, and prints what was answered."""
    printing = threading.Lock()

    def write(writer):
        for n in range(100_000):
            key, body = f"kill/{os.getpid()}/{writer}/{n}", os.urandom(2 * MIB if n % 5 == 0 else 20_000)
            try:
                put(key, body)
            except (BotoCoreError, ClientError):
                return
            with printing:
                print(json.dumps([key, hashlib.sha256(body).hexdigest()]), flush=True)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))


def count(file):
    """Asserts that what was answered is there, whole; prints an independent count of all."""
    listed = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    sizes = {entry["Key"]: entry["Size"] for page in listed for entry in page.get("Contents", [])}
    with open(file) as lines:
        answered = [json.loads(line) for line in lines if line.endswith("]\n")]
    assert answered
    for key, digest in answered:
        body = get(key)
        assert hashlib.sha256(body).hexdigest() == digest and len(body) == sizes[key], key
    for key in sizes.keys() - {key for key, _ in answered}:
        assert len(get(key)) == sizes[key], key
    print(json.dumps({"objects": len(sizes), "bytes": sum(sizes.values()), "answered": len(answered)}))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
