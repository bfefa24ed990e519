//! S3's operations on the vault.

mod copies;
mod facts;
mod lists;
mod multipart;
mod objects;
mod shapes;
mod unfinished;

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
    (
        set { $($name:ident($input:ident) -> $output:ident = $at:path;)* }
        unset { $($unset:ident($question:ident) -> $answer:ident = $code:ident;)* }
    ) => {
        #[async_trait::async_trait]
        impl S3 for Service {
            $(async fn $name(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                $at(self, request).await.map(S3Response::new)
            })*

            $(async fn $unset(&self, _: S3Request<dto::$question>) -> S3Result<S3Response<dto::$answer>> {
                Err(s3_error!($code, "nothing of this kind is set on the bucket, and nothing can be"))
            })*
        }
    };
}

operations! {
    set {
        list_buckets(ListBucketsInput) -> ListBucketsOutput = lists::buckets;
        head_bucket(HeadBucketInput) -> HeadBucketOutput = lists::head_bucket;
        get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = lists::location;
        list_objects(ListObjectsInput) -> ListObjectsOutput = lists::objects;
        list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = lists::objects_v2;
        list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput = lists::versions;
        list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = unfinished::uploads;
        list_parts(ListPartsInput) -> ListPartsOutput = unfinished::parts;
        put_object(PutObjectInput) -> PutObjectOutput = objects::put;
        get_object(GetObjectInput) -> GetObjectOutput = objects::get;
        head_object(HeadObjectInput) -> HeadObjectOutput = objects::head;
        delete_object(DeleteObjectInput) -> DeleteObjectOutput = objects::delete;
        delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = objects::delete_many;
        copy_object(CopyObjectInput) -> CopyObjectOutput = copies::object;
        upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = copies::part;
        create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = multipart::create;
        upload_part(UploadPartInput) -> UploadPartOutput = multipart::part;
        complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = multipart::complete;
        abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = multipart::abort;
        get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = facts::versioning;
        get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput = facts::logging;
        get_bucket_notification_configuration(GetBucketNotificationConfigurationInput)
            -> GetBucketNotificationConfigurationOutput = facts::notifications;
        get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput = facts::payer;
        get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput = facts::bucket_acl;
        get_object_acl(GetObjectAclInput) -> GetObjectAclOutput = facts::object_acl;
        get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = facts::object_tagging;
        get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput = facts::attributes;
    }
    unset {
        get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput = NoSuchBucketPolicy;
        get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput = NoSuchCORSConfiguration;
        get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = NoSuchTagSet;
        get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput = NoSuchWebsiteConfiguration;
        get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput)
            -> GetBucketLifecycleConfigurationOutput = NoSuchLifecycleConfiguration;
        get_bucket_encryption(GetBucketEncryptionInput)
            -> GetBucketEncryptionOutput = ServerSideEncryptionConfigurationNotFoundError;
        get_bucket_replication(GetBucketReplicationInput)
            -> GetBucketReplicationOutput = ReplicationConfigurationNotFoundError;
        get_object_lock_configuration(GetObjectLockConfigurationInput)
            -> GetObjectLockConfigurationOutput = ObjectLockConfigurationNotFoundError;
    }
}
