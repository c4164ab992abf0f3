//! The closed sets that the labels of metrics come from.

/// A value of a label.
pub trait Label: Sized + Copy + 'static {
    /// All values, in the order in which they are declared.
    const ALL: &'static [Self];

    /// As it stands in a series.
    fn text(self) -> &'static str;
}

/// Declares a set: its variants, what each means, and how it is written.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$about])* $variant,)*
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

labels! {
    /// What a request asks for: the handlers of registry:2, and ours.
    Endpoint {
        /// `/v2/`.
        Base = "base",
        /// A manifest.
        Manifest = "manifest",
        /// A list of tags.
        Tags = "tags",
        /// A blob.
        Blob = "blob",
        /// The begin of an upload.
        BlobUpload = "blob_upload",
        /// An upload under way.
        BlobUploadChunk = "blob_upload_chunk",
        /// The list of repositories.
        Catalog = "catalog",
        /// The list of a manifest's referrers.
        Referrers = "referrers",
        /// The token realm.
        Token = "token",
        /// Probes, metrics, and what is nothing.
        Other = "other",
    }
}

labels! {
    /// The method of a request.
    Method {
        /// GET.
        Get = "get",
        /// HEAD.
        Head = "head",
        /// PUT.
        Put = "put",
        /// POST.
        Post = "post",
        /// PATCH.
        Patch = "patch",
        /// DELETE.
        Delete = "delete",
        /// Any other.
        Other = "other",
    }
}

labels! {
    /// What the store did, in registry:2's words.
    StorageAction {
        /// Looked whether something is there.
        Stat = "Stat",
        /// Read something small.
        GetContent = "GetContent",
        /// Opened something.
        Reader = "Reader",
        /// Wrote something small.
        PutContent = "PutContent",
        /// Began or went on with an upload.
        Writer = "Writer",
        /// Gave an upload its name.
        Move = "Move",
        /// Listed names.
        List = "List",
        /// Removed something.
        Delete = "Delete",
    }
}

labels! {
    /// How a login went.
    LoginOutcome {
        /// It was one.
        Allowed = "allowed",
        /// The credentials are wrong.
        Refused = "refused",
        /// Too many were wrong before, or too many wait.
        Limited = "limited",
    }
}

labels! {
    /// How a token was asked for.
    Grant {
        /// With a password, a machine token or another issuer's token.
        Password = "password",
        /// With a refresh token.
        Refresh = "refresh_token",
        /// With nothing.
        Anonymous = "anonymous",
    }
}

labels! {
    /// What has refused something.
    Limit {
        /// `limits.reads`.
        Reads = "reads",
        /// `limits.writes`.
        Writes = "writes",
        /// `limits.connections`.
        Connections = "connections",
        /// `limits.timeouts.handshake`.
        Handshake = "handshake",
        /// `limits.manifestsize`.
        ManifestSize = "manifestsize",
        /// `limits.blobsize`.
        BlobSize = "blobsize",
        /// `limits.reserve`.
        Reserve = "reserve",
        /// `limits.timeouts.stall` and `limits.minrate`, of a body.
        SlowBody = "slow_body",
    }
}

labels! {
    /// The way of bytes.
    Direction {
        /// From clients.
        Received = "received",
        /// To clients.
        Sent = "sent",
    }
}

labels! {
    /// How something went that is tried again and again.
    Outcome {
        /// Well.
        Succeeded = "succeeded",
        /// It did not.
        Failed = "failed",
    }
}

labels! {
    /// Which log.
    Log {
        /// One line a request.
        Access = "access",
        /// One line a decision.
        Audit = "audit",
    }
}

labels! {
    /// What a health check looks at.
    HealthKind {
        /// `health.storagedriver`.
        StorageDriver = "storagedriver",
        /// `health.file`.
        File = "file",
        /// `health.http`.
        Http = "http",
        /// `health.tcp`.
        Tcp = "tcp",
        /// Somebody has said so, at the debug listener.
        Manual = "manual",
    }
}

labels! {
    /// How an attempt to tell an endpoint of an event went, in registry:2's words.
    Attempt {
        /// It took it.
        Success = "Successes",
        /// It answered that it does not.
        Failure = "Failures",
        /// There was no answer.
        Error = "Errors",
    }
}

labels! {
    /// Why an event is not told.
    Lost {
        /// Too much waits already.
        Full = "full",
        /// The disk did not take it.
        Unwritable = "unwritable",
        /// What was read back is not what was written.
        Broken = "broken",
    }
}
