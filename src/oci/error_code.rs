//! The error codes a registry answers with.

/// A code of the distribution specification ("Error Codes") or of the Docker era, with its fixed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Something went wrong on our side.
    Unknown,
    /// The operation is not offered.
    Unsupported,
    /// Credentials are needed, or the ones given do not suffice.
    Unauthorized,
    /// The caller may not do this.
    Denied,
    /// The registry cannot do this at the moment.
    Unavailable,
    /// The caller asks too often.
    TooManyRequests,
    /// The digest is malformed or is not that of the content.
    DigestInvalid,
    /// The length differs from what was announced.
    SizeInvalid,
    /// The bytes do not start where the upload stands.
    RangeInvalid,
    /// The repository's name is malformed.
    NameInvalid,
    /// The tag is malformed.
    TagInvalid,
    /// There is no such repository.
    NameUnknown,
    /// There is no such manifest.
    ManifestUnknown,
    /// The manifest is malformed.
    ManifestInvalid,
    /// The manifest names content that the repository does not have.
    ManifestBlobUnknown,
    /// There is no such blob.
    BlobUnknown,
    /// There is no such upload.
    BlobUploadUnknown,
    /// The upload's state is not one that we gave out.
    BlobUploadInvalid,
    /// The number of results asked for is not acceptable.
    PaginationNumberInvalid,
}

impl ErrorCode {
    /// The code as it stands in the body.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unavailable => "UNAVAILABLE",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::NameInvalid => "NAME_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
        }
    }

    /// The fixed sentence beside the code.
    pub fn message(self) -> &'static str {
        match self {
            Self::Unknown => "unknown error",
            Self::Unsupported => "The operation is unsupported.",
            Self::Unauthorized => "authentication required",
            Self::Denied => "requested access to the resource is denied",
            Self::Unavailable => "service unavailable",
            Self::TooManyRequests => "too many requests",
            Self::DigestInvalid => "provided digest did not match uploaded content",
            Self::SizeInvalid => "provided length did not match content length",
            Self::RangeInvalid => "invalid content range",
            Self::NameInvalid => "invalid repository name",
            Self::TagInvalid => "manifest tag did not match URI",
            Self::NameUnknown => "repository name not known to registry",
            Self::ManifestUnknown => "manifest unknown",
            Self::ManifestInvalid => "manifest invalid",
            Self::ManifestBlobUnknown => "blob unknown to registry",
            Self::BlobUnknown => "blob unknown to registry",
            Self::BlobUploadUnknown => "blob upload unknown to registry",
            Self::BlobUploadInvalid => "blob upload invalid",
            Self::PaginationNumberInvalid => "invalid number of results requested",
        }
    }
}
