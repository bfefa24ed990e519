//! What clients ask about buckets and objects beside their content. Nothing of it can be set: the answers are those of a
//! bucket on which nobody set anything.

use s3s::{S3Request, S3Result, dto};

use super::{Service, bucket_of, lists::owner, shapes};

fn everything_to_the_owner() -> Vec<dto::Grant> {
    let owner = owner();
    let grantee = dto::Grantee {
        display_name: owner.display_name,
        email_address: None,
        id: owner.id,
        type_: dto::Type::from_static(dto::Type::CANONICAL_USER),
        uri: None,
    };
    let permission = dto::Permission::from_static(dto::Permission::FULL_CONTROL);
    vec![dto::Grant { grantee: Some(grantee), permission: Some(permission) }]
}

pub(super) async fn versioning(
    _: &Service,
    _: S3Request<dto::GetBucketVersioningInput>,
) -> S3Result<dto::GetBucketVersioningOutput> {
    Ok(dto::GetBucketVersioningOutput::default())
}

pub(super) async fn logging(
    _: &Service,
    _: S3Request<dto::GetBucketLoggingInput>,
) -> S3Result<dto::GetBucketLoggingOutput> {
    Ok(dto::GetBucketLoggingOutput::default())
}

pub(super) async fn notifications(
    _: &Service,
    _: S3Request<dto::GetBucketNotificationConfigurationInput>,
) -> S3Result<dto::GetBucketNotificationConfigurationOutput> {
    Ok(dto::GetBucketNotificationConfigurationOutput::default())
}

pub(super) async fn payer(
    _: &Service,
    _: S3Request<dto::GetBucketRequestPaymentInput>,
) -> S3Result<dto::GetBucketRequestPaymentOutput> {
    Ok(dto::GetBucketRequestPaymentOutput { payer: Some(dto::Payer::from_static(dto::Payer::BUCKET_OWNER)) })
}

pub(super) async fn bucket_acl(_: &Service, _: S3Request<dto::GetBucketAclInput>) -> S3Result<dto::GetBucketAclOutput> {
    Ok(dto::GetBucketAclOutput { grants: Some(everything_to_the_owner()), owner: Some(owner()) })
}

pub(super) async fn object_acl(
    service: &Service,
    request: S3Request<dto::GetObjectAclInput>,
) -> S3Result<dto::GetObjectAclOutput> {
    let bucket = bucket_of(&request)?;
    service.vault.head(&bucket.id, &request.input.key).await?;
    let grants = Some(everything_to_the_owner());
    Ok(dto::GetObjectAclOutput { grants, owner: Some(owner()), request_charged: None })
}

pub(super) async fn object_tagging(
    service: &Service,
    request: S3Request<dto::GetObjectTaggingInput>,
) -> S3Result<dto::GetObjectTaggingOutput> {
    let bucket = bucket_of(&request)?;
    service.vault.head(&bucket.id, &request.input.key).await?;
    Ok(dto::GetObjectTaggingOutput { tag_set: Vec::new(), version_id: None })
}

pub(super) async fn attributes(
    service: &Service,
    request: S3Request<dto::GetObjectAttributesInput>,
) -> S3Result<dto::GetObjectAttributesOutput> {
    let bucket = bucket_of(&request)?;
    let row = service.vault.head(&bucket.id, &request.input.key).await?;
    let names = request.input.object_attributes.iter().flat_map(|names| names.as_str().split(','));
    let names: Vec<&str> = names.map(str::trim).collect();
    let asked = |name: &str| names.contains(&name);
    let parts = row.parts.and_then(|parts| i32::try_from(parts).ok());
    Ok(dto::GetObjectAttributesOutput {
        checksum: asked("Checksum").then(|| shapes::checksum(row.checksum.as_ref())),
        // Without quotes here, other than everywhere else; the library writes them.
        e_tag: asked("ETag").then(|| shapes::etag(&row.etag)),
        last_modified: Some(shapes::timestamp(row.modified)),
        object_parts: parts
            .filter(|_| asked("ObjectParts"))
            .map(|parts| dto::GetObjectAttributesParts { total_parts_count: Some(parts), ..Default::default() }),
        object_size: asked("ObjectSize").then(|| shapes::size(row.size)),
        storage_class: asked("StorageClass").then(|| dto::StorageClass::from_static(dto::StorageClass::STANDARD)),
        ..Default::default()
    })
}
