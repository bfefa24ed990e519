//! S3's operations on the vault.

mod copies;
mod lists;
mod multipart;
mod objects;
mod shapes;

use s3s::{S3, S3Request, S3Response, S3Result, dto, s3_error};

use super::{
    access::{Allowed, OpenBucket},
    vault::Vault,
};

/// S3 over the vault.
pub(super) struct Service {
    pub(super) vault: Vault,
}

/// The bucket that the gate let the request into.
fn bucket_of<T>(request: &S3Request<T>) -> S3Result<OpenBucket> {
    let allowed = request.extensions.get::<Allowed>();
    Ok(allowed.ok_or_else(|| s3_error!(AccessDenied))?.bucket.clone())
}

macro_rules! operations {
    ($($name:ident($input:ident) -> $output:ident = $at:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Service {
            $(async fn $name(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                $at(self, request).await.map(S3Response::new)
            })*

            async fn get_object(
                &self,
                request: S3Request<dto::GetObjectInput>,
            ) -> S3Result<S3Response<dto::GetObjectOutput>> {
                objects::get(self, request).await
            }
        }
    };
}

operations! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput = lists::buckets;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = lists::head_bucket;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = lists::location;
    list_objects(ListObjectsInput) -> ListObjectsOutput = lists::objects;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = lists::objects_v2;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = lists::uploads;
    list_parts(ListPartsInput) -> ListPartsOutput = lists::parts;
    put_object(PutObjectInput) -> PutObjectOutput = objects::put;
    head_object(HeadObjectInput) -> HeadObjectOutput = objects::head;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = objects::delete;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = objects::delete_many;
    copy_object(CopyObjectInput) -> CopyObjectOutput = copies::object;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = copies::part;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = multipart::create;
    upload_part(UploadPartInput) -> UploadPartOutput = multipart::part;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = multipart::complete;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = multipart::abort;
}
