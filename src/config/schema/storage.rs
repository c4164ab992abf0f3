//! The names under `storage`.

use super::Key;
use super::Kind::{Any, Bool, Choice, Duration, Integer, Parameters, Secret, Text};

const NO_DRIVER: &str = "this storage driver is not there yet; use `filesystem`, or stay with registry:2 for this storage";
const REMOVED: &str = "this storage driver was removed from registry 3 and is not there; move the data to another storage first";

/// `storage`.
pub(super) const STORAGE: &[Key] = &[Key::honoured("storage", Choice(DRIVERS))];

const DRIVERS: &[Key] = &[
    Key::honoured("filesystem", Parameters(FILESYSTEM)),
    Key::refused(
        "inmemory",
        Any,
        "this storage driver is not there yet; use `filesystem` with a `rootdirectory` on a temporary file system",
    ),
    Key::refused("s3", Parameters(S3), NO_DRIVER),
    Key::refused("s3aws", Parameters(S3), NO_DRIVER),
    Key::refused("azure", Parameters(AZURE), NO_DRIVER),
    Key::refused("gcs", Parameters(GCS), NO_DRIVER),
    Key::refused("oss", Any, REMOVED),
    Key::refused("swift", Any, REMOVED),
    Key::honoured("maintenance", Parameters(MAINTENANCE)),
    Key::honoured("cache", Parameters(CACHE)),
    Key::honoured("delete", Parameters(&[Key::honoured("enabled", Bool)])),
    Key::honoured("redirect", Parameters(&[Key::honoured("disable", Bool)])),
    Key::honoured("tag", Parameters(&[Key::honoured("concurrencylimit", Integer)])),
];

const FILESYSTEM: &[Key] = &[Key::honoured("rootdirectory", Text), Key::moot("maxthreads", Integer)];

const MAINTENANCE: &[Key] = &[
    Key::honoured(
        "uploadpurging",
        Parameters(&[
            Key::honoured("enabled", Bool),
            Key::honoured("age", Duration),
            Key::honoured("interval", Duration),
            Key::honoured("dryrun", Bool),
        ]),
    ),
    Key::honoured("readonly", Parameters(&[Key::honoured("enabled", Bool)])),
];

const CACHE: &[Key] = &[Key::honoured("blobdescriptor", Text), Key::honoured("layerinfo", Text), Key::moot("blobdescriptorsize", Integer)];

const S3: &[Key] = &[
    Key::moot("accesskey", Secret),
    Key::moot("secretkey", Secret),
    Key::moot("sessiontoken", Secret),
    Key::moot("region", Text),
    Key::moot("regionendpoint", Text),
    Key::moot("forcepathstyle", Bool),
    Key::moot("accelerate", Bool),
    Key::moot("bucket", Text),
    Key::moot("encrypt", Bool),
    Key::moot("keyid", Text),
    Key::moot("secure", Bool),
    Key::moot("skipverify", Bool),
    Key::moot("v4auth", Bool),
    Key::moot("chunksize", Integer),
    Key::moot("multipartcopychunksize", Integer),
    Key::moot("multipartcopymaxconcurrency", Integer),
    Key::moot("multipartcopythresholdsize", Integer),
    Key::moot("rootdirectory", Text),
    Key::moot("storageclass", Text),
    Key::moot("useragent", Text),
    Key::moot("objectacl", Text),
    Key::moot("usedualstack", Bool),
    Key::moot("usefipsendpoint", Bool),
    Key::moot("loglevel", Text),
    Key::moot("redirectendpoint", Text),
];

const AZURE: &[Key] = &[
    Key::moot("accountname", Text),
    Key::moot("accountkey", Secret),
    Key::moot("connectionstring", Secret),
    Key::moot("container", Text),
    Key::moot(
        "credentials",
        Parameters(&[Key::moot("type", Text), Key::moot("clientid", Text), Key::moot("tenantid", Text), Key::moot("secret", Secret)]),
    ),
    Key::moot("realm", Text),
    Key::moot("serviceurl", Text),
    Key::moot("rootdirectory", Text),
    Key::moot("max_retries", Integer),
    Key::moot("retry_delay", Duration),
    Key::moot("skipverify", Bool),
];

const GCS: &[Key] = &[
    Key::moot("bucket", Text),
    Key::moot("keyfile", Text),
    Key::moot("credentials", Any),
    Key::moot("rootdirectory", Text),
    Key::moot("chunksize", Integer),
    Key::moot("maxconcurrency", Integer),
];
