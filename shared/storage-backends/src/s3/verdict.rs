//! From the code of an answer to a kind and advice. Codes are looked at before the status: servers disagree about the latter.

use n2s_domain::FailureKind;

/// The parts of an answer that decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub status: u16,
    /// S3's error code; empty where the answer had no body, as that to HEAD.
    pub code: &'a str,
    /// The region the server says to use.
    pub region: Option<&'a str>,
}

/// What it means, and what to do about it.
pub(super) fn judge(answer: &Answer<'_>) -> (FailureKind, Option<String>) {
    use FailureKind as K;
    let wrong_region = answer.status == 400 && answer.code.is_empty() && answer.region.is_some();
    if wrong_region || matches!(answer.code, "AuthorizationHeaderMalformed") {
        return (K::Misconfigured, Some(region_advice(answer.region)));
    }
    let (kind, advice) = by_code(answer.code).unwrap_or_else(|| by_status(answer.status));
    let advice = match advice {
        "region" => Some(region_advice(answer.region)),
        "" => None,
        advice => Some(advice.to_owned()),
    };
    (kind, advice)
}

fn region_advice(region: Option<&str>) -> String {
    match region {
        Some(region) => format!("the bucket lies in another region: set region = \"{region}\""),
        None => "the bucket lies in another region, or behind another endpoint; correct region or endpoint"
            .to_owned(),
    }
}

fn by_code(code: &str) -> Option<(FailureKind, &'static str)> {
    use FailureKind as K;
    Some(match code {
        "NoSuchKey" | "NoSuchVersion" => (K::NotFound, ""),
        "NoSuchBucket" => (
            K::Misconfigured,
            "there is no such bucket: make it, or correct bucket (where the server has no name per bucket, set path_style = true)",
        ),
        "AccessDenied" | "AccountProblem" | "AllAccessDisabled" => (
            K::Denied,
            // Some servers (Garage) have this one code for wrong keys, too, and tell them apart in the message alone.
            "these credentials may not do this: they need GetObject, PutObject, DeleteObject and ListBucket (without the last, what is absent looks denied, too); some servers say so of a wrong access_key_id or secret_access_key",
        ),
        "InvalidAccessKeyId" => (K::Denied, "the server does not know this access_key_id"),
        "SignatureDoesNotMatch" => (K::Denied, "secret_access_key is not the one of this access_key_id"),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            (K::Denied, "the session of the default chain's credentials is over; log in again")
        }
        "InvalidObjectState" => (K::Denied, "the object lies in an archive class; restore it first"),
        "RequestTimeTooSkewed" => {
            (K::Misconfigured, "this machine's clock and the server's differ; set the clock")
        }
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException"
        | "IncorrectEndpoint" => (K::Misconfigured, "region"),
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "RequestThrottled"
        | "BandwidthLimitExceeded" => (K::Throttled, ""),
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            (K::Corrupt, "the bytes changed on their way to the server")
        }
        "InvalidRange" => (K::Corrupt, "the object is shorter than the range asked for"),
        "InvalidStorageClass" => (K::Misconfigured, "the server has no such storage_class"),
        "InvalidBucketName" => (K::Misconfigured, "bucket is no name a bucket can have"),
        "MethodNotAllowed" | "NotImplemented" => (K::Misconfigured, NOT_S3),
        "QuotaExceeded" | "InsufficientCapacity" | "XMinioStorageFull" => {
            (K::Unavailable, "the store is full; free space on it or raise its quota")
        }
        "RequestTimeout" | "IncompleteBody" | "InternalError" | "ServiceUnavailable" => (K::Unavailable, ""),
        _ => return None,
    })
}

const NOT_S3: &str = "the server does not offer this; look at endpoint and path_style";

fn by_status(status: u16) -> (FailureKind, &'static str) {
    use FailureKind as K;
    match status {
        404 => (K::NotFound, ""),
        401 | 403 => (
            K::Denied,
            "the server refuses these credentials; look at access_key_id, secret_access_key and what they may do (without ListBucket, what is absent looks denied, too)",
        ),
        301 | 307 => (K::Misconfigured, "region"),
        412 => (K::Corrupt, "the name is taken"),
        416 => (K::Corrupt, "the object is shorter than the range asked for"),
        429 => (K::Throttled, ""),
        408 | 409 | 500 | 502..=599 => (K::Unavailable, ""),
        _ => (K::Misconfigured, NOT_S3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, code: &str) -> FailureKind {
        judge(&Answer { status, code, region: None }).0
    }

    #[test]
    fn absence_is_told_from_a_missing_bucket_and_from_denial() {
        use FailureKind as K;
        let cases = [
            (404, "NoSuchKey", K::NotFound),
            (404, "", K::NotFound),
            (404, "NoSuchBucket", K::Misconfigured),
            (403, "AccessDenied", K::Denied),
            (403, "", K::Denied),
            (403, "RequestTimeTooSkewed", K::Misconfigured),
            (429, "", K::Throttled),
            (503, "SlowDown", K::Throttled),
            (400, "ThrottlingException", K::Throttled),
            (503, "", K::Unavailable),
            (500, "InternalError", K::Unavailable),
            (400, "BadDigest", K::Corrupt),
            (416, "InvalidRange", K::Corrupt),
            (405, "", K::Misconfigured),
        ];
        for (status, code, expected) in cases {
            assert_eq!(kind(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn advice_names_the_setting() {
        let advice = |status, code, region| judge(&Answer { status, code, region }).1.unwrap();
        assert!(advice(301, "PermanentRedirect", Some("eu-west-1")).contains("region = \"eu-west-1\""));
        assert!(advice(400, "AuthorizationHeaderMalformed", Some("garage")).contains("region = \"garage\""));
        assert!(advice(400, "", Some("eu-west-1")).contains("region = \"eu-west-1\""));
        assert!(advice(301, "", None).contains("correct region or endpoint"));
        assert!(advice(404, "NoSuchBucket", None).contains("bucket"));
        assert!(advice(403, "InvalidAccessKeyId", None).contains("access_key_id"));
        assert!(advice(403, "SignatureDoesNotMatch", None).contains("secret_access_key"));
    }
}
